"""Brings the database to the newest revision, however many replicas start at once."""

import asyncio
from pathlib import Path
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from clients.errors import DatabaseTooNew
from clients.store.database import Database

SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x0B51DE  # any number that nobody else who uses this database takes for an advisory lock

# alembic keeps the migration under way in a global, so that two stores in one process take turns.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def migrate(database: Database) -> None:
    """Bring a database, empty or older, to the newest revision; one at the newest is left as it is.

    Raises:
        DatabaseTooNew: it is at a revision that this version does not know.
    """
    if database.engine.dialect.name == "sqlite":
        await _let_readers_and_a_writer_work_side_by_side(database)
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with (
        turn,
        database.engine.begin() as connection,
    ):  # SQLite: BEGIN IMMEDIATE, so one process at a time
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)


async def _let_readers_and_a_writer_work_side_by_side(database: Database) -> None:
    """Write-ahead logging; the file remembers it. It cannot be turned on inside a transaction."""
    async with database.engine.connect() as connection:
        await connection.execution_options(sqlite_begin=None)
        await connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    if unknown := sorted(set(found) - known):
        raise DatabaseTooNew(unknown[0], newest=max(known))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
