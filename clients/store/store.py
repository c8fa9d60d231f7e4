"""The store: what is asked of it is in `receipts.py`, `stripe_map.py` and `audit.py`."""

from clients.store.database import PATIENCE_S, Database
from clients.store.receipts import Receipts
from clients.store.stripe_map import StripeMap
from clients.store.tables import metadata


class Store:
    """The BFF's own database: SQLite embedded, PostgreSQL in production."""

    def __init__(
        self, url: str, *, stripe_first_id: int | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        """
        Args:
            url: a SQLAlchemy URL with an async driver, such as `sqlite+aiosqlite:///bff.sqlite3`.
            stripe_first_id: where stripe's integers for new claims begin; None: claims get no new ones.
            patience_s: how long an answer waits for the database.
        """
        self.database = Database(url, patience_s=patience_s)
        self.receipts = Receipts(self.database)
        self.stripe_map = StripeMap(self.database, first_id=stripe_first_id)

    async def open(self) -> None:
        """Bring the database to the newest revision; replicas that start together wait for one another.

        Raises:
            DatabaseTooNew: a newer version of the BFF has changed it in a way that this one does not know.
        """
        try:
            await self._migrate()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.database.close()

    async def _migrate(self) -> None:
        if self.database.in_memory:  # new, and nobody else's: no revisions to catch up with
            async with self.database.engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
            return
        from clients.store.migrate import migrate  # alembic takes 0.2 s to import, and `bff dev` needs none

        await migrate(self.database)
