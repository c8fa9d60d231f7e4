"""The database engine, and how long anybody waits for it.

Database.read       one query
Database.write      one short transaction, alone among the writers of SQLite
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import BigInteger, Row, Select, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from clients.errors import StoreUnavailable

SERVED = ("postgresql+asyncpg", "sqlite+aiosqlite")
PATIENCE_S = 1.0  # a lookup by key takes a millisecond, and an answer waits for it
SQLITE_WAITS_S = 5.0  # at least, for another process that writes to the file; who asks has their own bound

log = structlog.get_logger()
T = TypeVar("T")


def url_problem(url: str) -> str | None:
    """What is wrong with the address of a database, in words that follow its name and show nothing of it."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        parsed = None
    if parsed is None or parsed.drivername not in SERVED:
        return "must be as postgresql+asyncpg://user:password@host:5432/name or sqlite+aiosqlite:///file"
    if "sslmode" in parsed.query:
        return "must say ssl=… where psql says sslmode=…"
    if (file := file_of(url)) and not file.parent.is_dir():
        return "must lead into a folder that is there"
    return None


def file_of(url: str) -> Path | None:
    """The file of a database; None for one that is on a server, in memory or described otherwise."""
    parsed = make_url(url)
    name = parsed.database or ":memory:"
    return None if parsed.drivername != SERVED[1] or name.startswith((":", "file:")) else Path(name)


class now_ms(FunctionElement[int]):  # noqa: N801  # written like the SQL function that it is
    """The database's clock in milliseconds since 1970: replicas may disagree about the time, it does not."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "postgresql")
def _now_ms_of_postgresql(element: now_ms, compiler: SQLCompiler, **kw: Any) -> str:
    # Not `now()`, which is the start of the transaction: one that waited for a lock would see the past.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "sqlite")
def _now_ms_of_sqlite(element: now_ms, compiler: SQLCompiler, **kw: Any) -> str:
    # Not `unixepoch('subsec')`: SQLite knows it since 3.42 only. 2440587.5 is 1970 as a Julian day.
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


class Database:
    """One database. Whoever asks waits for a bounded time; what is under way then ends by itself."""

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        """
        Args:
            url: a SQLAlchemy URL with an async driver, such as `sqlite+aiosqlite:///bff.sqlite3`.
            patience_s: how long whoever asks waits for an answer.
        """
        self._patience_s = patience_s
        self._sqlite = url.startswith("sqlite")
        waits = {"timeout": max(SQLITE_WAITS_S, patience_s)} if self._sqlite else {}
        self.engine = create_async_engine(url, pool_pre_ping=True, connect_args=waits)
        self.in_memory = isinstance(self.engine.sync_engine.pool, StaticPool)
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[Any]] = set()  # work that nobody waits for any more
        if self._sqlite:
            event.listen(self.engine.sync_engine, "connect", _leave_begin_to_us)
            event.listen(self.engine.sync_engine, "begin", _begin)

    async def close(self) -> None:
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=self._patience_s)
        await self.engine.dispose()

    async def read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """The rows of a query.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """

        async def read(connection: AsyncConnection) -> Sequence[Row[Any]]:
            rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
            return rows

        return await self._waited_for(self._transaction(read))

    async def write(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        *,
        undone_if_left: bool = False,
        patience_s: float | None = None,
    ) -> T:
        """Do `work` in one transaction and commit it.

        Args:
            undone_if_left: nothing is kept when whoever asked was told that the database is unavailable, or
                is gone. Without it the work may still be done then.
            patience_s: how long this one is waited for; None is as long as any other.

        Raises:
            StoreUnavailable: the database did not answer in time.
        """
        asked = self._transaction(work, begin="BEGIN IMMEDIATE", undone_if_left=undone_if_left)
        return await self._waited_for(asked, patience_s)

    async def _transaction(
        self,
        work: Callable[[AsyncConnection], Awaitable[T]],
        *,
        begin: str = "BEGIN",
        undone_if_left: bool = False,
    ) -> T:
        async with AsyncExitStack() as stack:
            # In memory there is one connection: what runs side by side would be one transaction. In a file
            # there is one writer at a time, and those that wait for it there are not served in turn.
            if self.in_memory or (self._sqlite and begin != "BEGIN"):
                await stack.enter_async_context(self._turn)
            connection = await stack.enter_async_context(self.engine.connect())
            await connection.execution_options(sqlite_begin=begin)
            async with connection.begin() as transaction:
                done = await work(connection)
                if undone_if_left and asyncio.current_task() in self._leaving:
                    await transaction.rollback()
                return done

    async def _waited_for(self, asked: Coroutine[Any, Any, T], patience_s: float | None = None) -> T:
        asking = asyncio.create_task(asked)
        try:
            # Not `asyncio.timeout`: a driver that hangs takes its time to give a connection up as well.
            await asyncio.wait([asking], timeout=self._patience_s if patience_s is None else patience_s)
            if not asking.done():
                raise TimeoutError
            return asking.result()
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as exc:
            if isinstance(exc, DatabaseError) and not isinstance(exc, OperationalError):
                raise  # it did answer: the fault is ours
            log.exception("store.lost")
            raise StoreUnavailable from exc
        finally:
            if not asking.done():  # not cancelled: aiosqlite's thread would never end then
                self._leaving.add(asking)  # a task that nobody holds may vanish
                asking.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked has been told already


def _leave_begin_to_us(connection: Any, _: object) -> None:
    """Python's driver begins a transaction at the first change only, too late for what was read before it."""
    connection.isolation_level = None


def _begin(connection: Any) -> None:
    # IMMEDIATE: a reader that becomes a writer is refused at once when another process writes.
    begin = connection.get_execution_options().get("sqlite_begin", "BEGIN IMMEDIATE")
    if begin:
        connection.exec_driver_sql(begin)
