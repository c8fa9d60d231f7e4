"""What the BFF itself remembers: which integer stripe knows a claim by.

Stripe names claims by 32-bit integers, everybody else by UUID. The map is a table, never a hash: 31 bits
collide, and stripe answers a colliding id with the other claim's money. Rows are never changed or deleted.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Column, DateTime, Integer, MetaData, Row, Select, String, Table, insert, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from clients.errors import StoreUnavailable

PATIENCE_S = 1.0  # a lookup by key takes a millisecond, and an answer waits for it

log = structlog.get_logger()

metadata = MetaData()

stripe_claim_ids = Table(
    "stripe_claim_ids",
    metadata,
    Column("claim_id", String(36), primary_key=True),
    Column("stripe_id", Integer, unique=True, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


class Store:
    """The BFF's own database: SQLite embedded, PostgreSQL in production."""

    def __init__(self, url: str) -> None:
        """
        Args:
            url: a SQLAlchemy URL with an async driver, such as `sqlite+aiosqlite:///bff.sqlite3`.
        """
        self._engine = create_async_engine(url, pool_pre_ping=True)
        self._leaving: set[asyncio.Task[Any]] = set()  # lookups that nobody waits for any more

    async def open(self) -> None:
        """Create the tables that are missing."""
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=PATIENCE_S)
        await self._engine.dispose()

    async def stripe_ids(self, claim_ids: Collection[str]) -> dict[str, int]:
        """Stripe's integers of these claims; a claim that was never charged has none and is left out.

        Raises:
            StoreUnavailable: the database did not answer within a second.
        """
        query = select(stripe_claim_ids.c.claim_id, stripe_claim_ids.c.stripe_id).where(
            stripe_claim_ids.c.claim_id.in_(claim_ids)
        )
        return {row.claim_id: row.stripe_id for row in await self._rows(query)}

    async def claim_ids(self, stripe_ids: Collection[int]) -> dict[int, str]:
        """The claims behind stripe's integers; one that this API did not record is left out.

        Raises:
            StoreUnavailable: the database did not answer within a second.
        """
        query = select(stripe_claim_ids.c.stripe_id, stripe_claim_ids.c.claim_id).where(
            stripe_claim_ids.c.stripe_id.in_(stripe_ids)
        )
        return {row.stripe_id: row.claim_id for row in await self._rows(query)}

    async def enter_stripe_ids(self, stripe_ids: Mapping[str, int]) -> None:
        """Enter claims that were charged before the map existed, from a checked list: claim → integer.

        Raises:
            sqlalchemy.exc.IntegrityError: a claim or an integer is in the map already; nothing is entered.
        """
        now = datetime.now(UTC)
        rows = [
            {"claim_id": claim_id, "stripe_id": stripe_id, "created_at": now}
            for claim_id, stripe_id in stripe_ids.items()
        ]
        if rows:
            async with self._engine.begin() as connection:
                await connection.execute(insert(stripe_claim_ids), rows)

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        asking = asyncio.create_task(self._executed(query))
        try:
            # Not `asyncio.timeout`: a driver that hangs takes its time to give a connection up as well.
            await asyncio.wait([asking], timeout=PATIENCE_S)
            if not asking.done():
                raise TimeoutError
            return asking.result()
        except (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError) as exc:
            log.exception("store.lost")
            raise StoreUnavailable from exc
        finally:
            if not asking.done():  # not cancelled: aiosqlite's thread would never end then
                self._leaving.add(asking)  # a task that nobody holds may vanish
                asking.add_done_callback(self._left)

    async def _executed(self, query: Select[Any]) -> Sequence[Row[Any]]:
        async with self._engine.connect() as connection:
            rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
            return rows

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked has been told already
