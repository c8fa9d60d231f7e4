"""Receipts: what became of a mutation that carries an idempotency key.

One row per viewer, mutation and key. Whoever begins holds it for a while (the lease) and alone may end it:

             ┌── drop ──> (free)
(free) ── begin: NEW ── held ── finish ──> finished   begin: FINISHED for 24 hours
                         │
                         ├── lease ends ┐
                         └── release ───┴──> begin: ABANDONED, held by the next one

Nobody is woken: a request that is told UNDER_WAY asks again. Outcomes and notes are kept as they are given,
readable by whoever reads the database. No keyed mutation returns a secret; a secret would have to be sealed.
"""

import secrets
import time
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from clients.errors import StoreUnavailable
from clients.store.database import Database, now_ms
from clients.store.tables import receipts

KEEP_MS = 24 * 3600 * 1000
PURGE_EVERY_S = 600.0
PURGE_ROWS = 500  # at most in one go: a request waits for it
_LOOKS = 5  # a row that comes and goes between our own statements is looked for again


class Standing(Enum):
    """How a request finds its key."""

    NEW = "NEW"  # you hold it: do the work
    FINISHED = "FINISHED"  # answer with `outcome`
    UNDER_WAY = "UNDER_WAY"  # somebody works on it, for `lease_left_s` at most
    ABANDONED = "ABANDONED"  # you hold it; what its last holder did is unknown: settle before you act
    OTHER_INPUT = "OTHER_INPUT"  # the key belongs to another input


@dataclass(frozen=True, slots=True)
class Receipt:
    """The right to end one row, until somebody else takes it over."""

    viewer_id: str
    mutation: str
    key: str
    holder: str  # random


@dataclass(frozen=True, slots=True)
class Begun:
    """The answer of `begin`; a field is set only where its standing says so."""

    standing: Standing
    receipt: Receipt | None = None  # NEW, ABANDONED
    notes: bytes | None = None  # ABANDONED: what its last holder noted, None if nothing
    outcome: bytes | None = None  # FINISHED
    lease_left_s: float | None = None  # UNDER_WAY


class Receipts:
    """Receipts in the database, the same for all replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._purge_at_s = 0.0  # monotonic

    async def begin(self, viewer_id: str, mutation: str, key: str, input_hash: str, lease_s: float) -> Begun:
        """Find out whether to do the work of a mutation, and hold its receipt if so.

        Args:
            viewer_id: whose key it is: two viewers' equal keys are two keys.
            mutation: its name in the graph, up to 64 characters.
            key: the client's, up to 255 characters.
            input_hash: of the whole input but the key, up to 128 characters.
            lease_s: how long nobody else may take it over; longer than the operation's time budget.

        Raises:
            StoreUnavailable: the database did not answer in time. Nothing is held then: what was
                written all the same is taken back, or runs out with its lease.
        """
        receipt = Receipt(viewer_id, mutation, key, secrets.token_hex(16))

        async def begun(connection: AsyncConnection) -> Begun:
            if time.monotonic() >= self._purge_at_s:
                await self._purge(connection)
            for _ in range(_LOOKS):
                if found := await _look(connection, receipt, input_hash, lease_ms=round(lease_s * 1000)):
                    return found
            raise StoreUnavailable

        return await self._database.write(begun, undone_if_left=True)

    async def note(self, receipt: Receipt, notes: bytes) -> bool:
        """Keep what the work has shown so far, for whoever may have to take it over; replaces earlier notes.

        Returns:
            Whether the receipt is still held. If not, stop: somebody else is at work.

        Raises:
            StoreUnavailable: the database did not answer in time; the notes may be kept all the same.
        """
        return await self._changed(receipt, {"notes": notes})

    async def finish(self, receipt: Receipt, outcome: bytes, *, sole: bool = False) -> bool:
        """Keep the outcome for 24 hours. Only the holder can, and once.

        Args:
            sole: not if another key of the viewer's came to the same outcome of the same mutation: what was
                found by looking belongs to one wish.

        Returns:
            Whether it was kept. If not, the receipt was taken over or ended before: `begin` tells the rest.

        Raises:
            StoreUnavailable: the database did not answer in time; it may be kept all the same.
        """
        kept = {
            "state": "finished",
            "outcome": outcome,
            "ended_at_ms": now_ms(),
            "kept_until_ms": now_ms() + KEEP_MS,
        }

        async def finished(connection: AsyncConnection) -> bool:
            if sole and await _is_anothers(connection, receipt, outcome):
                return False
            statement = update(receipts).where(_held_by(receipt)).values(kept)
            return (await connection.execute(statement)).rowcount == 1

        return await self._database.write(finished)

    async def release(self, receipt: Receipt) -> bool:
        """Give a receipt back with its outcome unknown: the next `begin` is told ABANDONED at once.

        Returns:
            Whether it was still held.

        Raises:
            StoreUnavailable: the database did not answer in time; the lease runs out if nothing else.
        """
        return await self._changed(receipt, {"state": "released", "holder": None})

    async def drop(self, receipt: Receipt) -> bool:
        """Free the key: nothing was done, and the next `begin` is NEW.

        Returns:
            Whether it was still held.

        Raises:
            StoreUnavailable: the database did not answer in time; the lease runs out if nothing else.
        """

        async def dropped(connection: AsyncConnection) -> bool:
            return (await connection.execute(delete(receipts).where(_held_by(receipt)))).rowcount == 1

        return await self._database.write(dropped)

    async def outcomes(self, viewer_id: str, mutation: str) -> set[bytes]:
        """What a viewer's finished mutations of one kind came to, of the last 24 hours.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        query = select(receipts.c.outcome).where(
            receipts.c.viewer_id == viewer_id,
            receipts.c.mutation == mutation,
            receipts.c.state == "finished",
        )
        return {row.outcome for row in await self._database.read(query)}

    async def _changed(self, receipt: Receipt, values: dict[str, object]) -> bool:
        async def changed(connection: AsyncConnection) -> bool:
            statement = update(receipts).where(_held_by(receipt)).values(values)
            return (await connection.execute(statement)).rowcount == 1

        return await self._database.write(changed)

    async def _purge(self, connection: AsyncConnection) -> None:
        """Delete what was kept for its time."""
        row = tuple_(receipts.c.viewer_id, receipts.c.mutation, receipts.c.key)
        old = (
            select(receipts.c.viewer_id, receipts.c.mutation, receipts.c.key)
            .where(receipts.c.kept_until_ms <= now_ms())
            .limit(PURGE_ROWS)
            .with_for_update(skip_locked=True)  # two replicas may purge at once; SQLite has one writer
        )
        purged = await connection.execute(delete(receipts).where(row.in_(old)))
        if purged.rowcount < PURGE_ROWS:
            self._purge_at_s = time.monotonic() + PURGE_EVERY_S


async def _look(
    connection: AsyncConnection, receipt: Receipt, input_hash: str, *, lease_ms: int
) -> Begun | None:
    """Take the row if it is free or abandoned, and else tell how it stands; None: it went away meanwhile."""
    times = {"lease_ends_at_ms": now_ms() + lease_ms, "kept_until_ms": now_ms() + KEEP_MS}
    held = {"state": "held", "holder": receipt.holder, **times}
    # The purge comes by every ten minutes only: for a client the key is free after 24 hours to the second.
    await connection.execute(delete(receipts).where(_at(receipt), receipts.c.kept_until_ms <= now_ms()))
    new = {
        "viewer_id": receipt.viewer_id,
        "mutation": receipt.mutation,
        "key": receipt.key,
        "input_hash": input_hash,
        "begun_at_ms": now_ms(),
        **held,
    }
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    inserted = insert(receipts).values(new).on_conflict_do_nothing().returning(receipts.c.key)
    if (await connection.execute(inserted)).first():
        return Begun(Standing.NEW, receipt)
    abandoned = or_(
        receipts.c.state == "released",
        and_(receipts.c.state == "held", receipts.c.lease_ends_at_ms <= now_ms()),
    )
    taken = (
        update(receipts)
        .where(_at(receipt), receipts.c.input_hash == input_hash, abandoned)
        .values(held)
        .returning(receipts.c.notes)
    )
    if row := (await connection.execute(taken)).first():
        return Begun(Standing.ABANDONED, receipt, notes=row.notes)
    seen = select(
        receipts.c.input_hash,
        receipts.c.outcome,
        (receipts.c.lease_ends_at_ms - now_ms()).label("lease_left_ms"),
    ).where(_at(receipt))
    row = (await connection.execute(seen)).first()
    if row is None:
        return None
    if row.input_hash != input_hash:
        return Begun(Standing.OTHER_INPUT)
    if row.outcome is not None:
        return Begun(Standing.FINISHED, outcome=row.outcome)
    return Begun(Standing.UNDER_WAY, lease_left_s=max(0.0, row.lease_left_ms / 1000))


async def _is_anothers(connection: AsyncConnection, receipt: Receipt, outcome: bytes) -> bool:
    """Whether another key has come to an outcome; nobody else finds out at the same time."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        turn = func.hashtextextended(f"{receipt.viewer_id}/{receipt.mutation}", 0)
        await connection.execute(select(func.pg_advisory_xact_lock(turn)))
    others = select(receipts.c.key).where(
        receipts.c.viewer_id == receipt.viewer_id,
        receipts.c.mutation == receipt.mutation,
        receipts.c.key != receipt.key,
        receipts.c.outcome == outcome,
    )
    return (await connection.execute(others)).first() is not None


def _at(receipt: Receipt) -> ColumnElement[bool]:
    return and_(
        receipts.c.viewer_id == receipt.viewer_id,
        receipts.c.mutation == receipt.mutation,
        receipts.c.key == receipt.key,
    )


def _held_by(receipt: Receipt) -> ColumnElement[bool]:
    # A lease that has ended is still its holder's, until somebody takes it over.
    return and_(_at(receipt), receipts.c.holder == receipt.holder, receipts.c.state == "held")
