"""What the BFF itself remembers: which integer stripe knows a claim by.

Stripe names claims by 32-bit integers, everybody else by UUID. The map is a table, never a hash: 31 bits
collide, and stripe answers a colliding id with the other claim's money. Rows are never changed or deleted.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

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
        self._engine = create_async_engine(url)

    async def open(self) -> None:
        """Create the tables that are missing."""
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._engine.dispose()

    async def stripe_ids(self, claim_ids: Collection[str]) -> dict[str, int]:
        """Stripe's integers of these claims; a claim that was never charged has none and is left out."""
        query = select(stripe_claim_ids.c.claim_id, stripe_claim_ids.c.stripe_id).where(
            stripe_claim_ids.c.claim_id.in_(claim_ids)
        )
        async with self._engine.connect() as connection:
            return {row.claim_id: row.stripe_id for row in await connection.execute(query)}

    async def claim_ids(self, stripe_ids: Collection[int]) -> dict[int, str]:
        """The claims behind stripe's integers; one that this API did not record is left out."""
        query = select(stripe_claim_ids.c.stripe_id, stripe_claim_ids.c.claim_id).where(
            stripe_claim_ids.c.stripe_id.in_(stripe_ids)
        )
        async with self._engine.connect() as connection:
            return {row.stripe_id: row.claim_id for row in await connection.execute(query)}

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
