"""Which integer stripe knows a claim by.

Stripe names claims by 32-bit integers, everybody else by UUID. The map is a table, never a hash: 31 bits
collide, and stripe answers a colliding id with the other claim's money. Rows are never changed or deleted,
so what was read once is known. A number is entered before its charge: one that a charge carries and the map
lacks can only be imported, so it is asked for again after ten seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from clients.errors import StripeIdsNotSetUp, StripeIdsUsedUp
from clients.store.checked_list import BadLine, ListedClaim
from clients.store.database import Database
from clients.store.tables import LARGEST_STRIPE_ID, stripe_claim_ids

LIST_PATIENCE_S = 600.0  # an operator waits for it, not an answer
MISSING_S = 10.0  # how long a number that was not there is not asked for
CLAIMS_KEPT = 100_000  # in memory, 20 MB of it; the least recently used go first

log = structlog.get_logger()
T = TypeVar("T")


class StripeMap:
    """The map of claims to stripe's integers."""

    def __init__(self, database: Database, *, first_id: int | None) -> None:
        self._database = database
        self._first_id = first_id
        self._known: OrderedDict[int, str] = OrderedDict()  # the claims behind stripe's integers
        self._missing_until_s: dict[int, float] = {}  # on the monotonic clock

    async def stripe_ids(self, claim_ids: Collection[str]) -> dict[str, int]:
        """Stripe's integers of these claims; a claim that was never charged has none and is left out.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        query = select(stripe_claim_ids.c.claim_id, stripe_claim_ids.c.stripe_id).where(
            stripe_claim_ids.c.claim_id.in_(claim_ids)
        )
        return {row.claim_id: row.stripe_id for row in await self._database.read(query)}

    async def claim_ids(self, stripe_ids: Collection[int]) -> dict[int, str]:
        """The claims behind stripe's integers; one that this API did not record is left out.

        The database is asked only for those of which it has not told, a moment ago, that they are missing.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        found = {number: claim_id for number in stripe_ids if (claim_id := self._known.get(number))}
        now_s = time.monotonic()
        asked = {
            number
            for number in stripe_ids
            if number not in found and self._missing_until_s.get(number, now_s) <= now_s
        }
        if asked:
            query = select(stripe_claim_ids.c.stripe_id, stripe_claim_ids.c.claim_id).where(
                stripe_claim_ids.c.stripe_id.in_(asked)
            )
            found |= {row.stripe_id: row.claim_id for row in await self._database.read(query)}
            if len(self._missing_until_s) > CLAIMS_KEPT:
                self._missing_until_s.clear()
            self._missing_until_s |= dict.fromkeys(asked - found.keys(), now_s + MISSING_S)
        self._keep(found)
        return found

    def _keep(self, claims: Mapping[int, str]) -> None:
        for stripe_id, claim_id in claims.items():
            self._known[stripe_id] = claim_id
            self._known.move_to_end(stripe_id)
        while len(self._known) > CLAIMS_KEPT:
            self._known.popitem(last=False)

    async def stripe_id_of(self, claim_id: str) -> int:
        """Stripe's integer of a claim that is about to be charged; a new one if it has none yet.

        It is committed before it is returned, so that a charge whose answer is lost can be found again.
        A new one lies above every number in the map and not below the setting `stripe_first_id`.

        Args:
            claim_id: canonical UUID text, of a claim that exists: the row stays.

        Raises:
            StripeIdsNotSetUp: the claim has none, and nobody has said where the numbers begin.
            StripeIdsUsedUp: the claim has none, and the next would be above 2 147 483 647.
            StoreUnavailable: the database did not answer in time.
        """
        known = await self.stripe_ids([claim_id])
        if known:
            return known[claim_id]
        first_id = self._first_id
        if first_id is None:
            log.error("stripe_id.refused", reason="BFF_STRIPE_FIRST_ID is not set", claim_id=claim_id)
            raise StripeIdsNotSetUp

        async def given(connection: AsyncConnection) -> int:
            await _lock(connection)
            column = stripe_claim_ids.c.stripe_id
            if there := await connection.scalar(
                select(column).where(stripe_claim_ids.c.claim_id == claim_id)
            ):
                return int(there)  # another request was first
            highest = await connection.scalar(select(func.max(column)))
            stripe_id = max(first_id, (highest or 0) + 1)
            if stripe_id > LARGEST_STRIPE_ID:
                log.error("stripe_id.refused", reason="no number is left", highest=highest, claim_id=claim_id)
                raise StripeIdsUsedUp
            await connection.execute(insert(stripe_claim_ids), [_row(claim_id, stripe_id)])
            return stripe_id

        return await self._entered(given)

    async def enter_stripe_ids(self, stripe_ids: Mapping[str, int]) -> None:
        """Enter claims that were charged before the map existed, from a checked list: claim → integer.

        Raises:
            sqlalchemy.exc.IntegrityError: a claim or an integer is in the map already; nothing is entered.
            StoreUnavailable: the database did not answer in time.
        """
        if not stripe_ids:
            return

        async def entered(connection: AsyncConnection) -> None:
            await _lock(connection)
            await connection.execute(
                insert(stripe_claim_ids),
                [_row(claim_id, stripe_id) for claim_id, stripe_id in stripe_ids.items()],
            )

        await self._entered(entered)

    async def enter_list(self, listed: Sequence[ListedClaim]) -> None:
        """Enter a checked list, all of it or nothing.

        Raises:
            BadLine: the first line whose claim or integer is in the map already.
            StoreUnavailable: the database did not answer within ten minutes.
        """
        columns = stripe_claim_ids.c

        async def entered(connection: AsyncConnection) -> None:
            await _lock(connection)
            # All of it, and not `IN`: neither database takes a list of any length.
            there = (await connection.execute(select(columns.claim_id, columns.stripe_id))).all()
            number_of = {row.claim_id: row.stripe_id for row in there}
            claim_of = {row.stripe_id: row.claim_id for row in there}
            for line, claim_id, stripe_id in listed:
                if number := number_of.get(claim_id):
                    raise BadLine(line, f"claim {claim_id} has the number {number} already.")
                if other := claim_of.get(stripe_id):
                    raise BadLine(line, f"{stripe_id} is the number of claim {other} already.")
            rows = [_row(claim.claim_id, claim.stripe_id) for claim in listed]
            await connection.execute(insert(stripe_claim_ids), rows)

        await self._entered(entered, patience_s=LIST_PATIENCE_S)

    async def _entered(
        self, enter: Callable[[AsyncConnection], Awaitable[T]], *, patience_s: float | None = None
    ) -> T:
        try:
            return await self._database.write(enter, patience_s=patience_s)
        finally:
            self._missing_until_s.clear()


async def _lock(connection: AsyncConnection) -> None:
    """Let nobody else enter a number until this transaction ends; reading goes on.

    A sequence would do the same for PostgreSQL alone, and would not know the imported numbers.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        await connection.execute(text("LOCK TABLE stripe_claim_ids IN SHARE ROW EXCLUSIVE MODE"))


def _row(claim_id: str, stripe_id: int) -> dict[str, object]:
    return {"claim_id": claim_id, "stripe_id": stripe_id, "created_at": datetime.now(UTC)}
