"""The audit log's writer: rows in one chain per database, however many replicas add to it.

append   the row is in the database when it returns
keep     the same while the database answers; else the row waits here until it does
note     the row waits here and is written soon

What waits is written together, in one transaction that holds the head of the chain. Whoever finds the head
changed by other hands goes on from the last row there is, and writes that down as a row of its own.
"""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from clients.errors import StoreUnavailable
from clients.store.audit_keys import AuditKeys, Unreadable
from clients.store.audit_rows import NOTHING, Entry, Kind, end_sealed, row_of
from clients.store.database import Database, now_ms
from clients.store.tables import audit_ends, audit_rows

ROWS_AT_ONCE = 500
ROWS_WAITING = 10_000  # 5 MB; beyond them a note is dropped and counted
AGAIN_AFTER_S = 1.0  # while the database is away
CLOSING_S = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class End:
    """Where the chain ends, or where it begins: a row's number and hash."""

    number: int
    hash: str


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    written: "asyncio.Future[None] | None" = None  # None: nobody waits for it
    given_up: bool = False  # when the database is away it is told so, and is not kept


class Audit:
    """Writes the audit log."""

    def __init__(
        self,
        database: Database,
        keys: AuditKeys,
        *,
        on_dropped: Callable[[], None] = lambda: None,
        on_broken: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            on_dropped: told of each row that could not be kept.
            on_broken: told why the end of the chain is not as it was left.
        """
        self._database = database
        self._keys = keys
        self._on_dropped = on_dropped
        self._on_broken = on_broken
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._closing = False
        self._under_way = 0
        self.seen: End | None = None  # the newest end that this process has written

    async def append(self, entry: Entry) -> None:
        """Write a row; it is durable when this returns.

        Raises:
            StoreUnavailable: it could not be written. It may be there all the same.
        """
        await self._written(entry, given_up=True)

    async def keep(self, entry: Entry) -> None:
        """Write a row; while the database is away it waits here, and this returns."""
        with contextlib.suppress(StoreUnavailable):  # logged where it happened
            await self._written(entry, given_up=False)

    def note(self, entry: Entry) -> None:
        """Have a row written soon; it is dropped, and counted, where too many wait already."""
        if len(self._waiting) >= ROWS_WAITING:
            self._on_dropped()
            return
        self._add(_Waiting(entry))

    @property
    def waiting(self) -> int:
        """How many rows are not in the database yet."""
        return len(self._waiting) + self._under_way

    async def close(self) -> None:
        """Write what waits; what the database does not take within two seconds is dropped, and counted."""
        self._closing = True
        if self._writing:
            await asyncio.wait([self._writing], timeout=CLOSING_S)
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        if self._waiting:
            log.error("audit.rows_lost", rows=len(self._waiting))
            for _ in self._waiting:
                self._on_dropped()
            self._waiting.clear()

    async def _written(self, entry: Entry, *, given_up: bool) -> None:
        waiting = _Waiting(entry, asyncio.get_running_loop().create_future(), given_up)
        self._add(waiting)
        assert waiting.written
        await asyncio.shield(waiting.written)

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            # What it logs is about no request, though one of them happens to start it.
            self._writing = asyncio.create_task(self._write_all(), context=contextvars.Context())

    async def _write_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(ROWS_AT_ONCE, len(self._waiting)))]
            self._under_way = len(batch)
            try:
                chained = self._chained([each.entry for each in batch])
                self.seen, problem = await self._database.write(chained, undone_if_left=True)
            except StoreUnavailable as exc:
                self._put_back(batch, exc)
                if self._closing:
                    return
                if self._waiting:
                    await asyncio.sleep(AGAIN_AFTER_S)
            except asyncio.CancelledError:
                self._put_back(batch, StoreUnavailable())
                raise
            except Exception:  # a row that no database takes must not hold up all others
                log.exception("audit.rows_lost", rows=len(batch))
                for each in batch:
                    self._on_dropped()
                    _tell(each, StoreUnavailable())
            else:
                if problem:
                    log.error("audit.chain_broken", why=problem)
                    self._on_broken(problem)
                for each in batch:
                    _tell(each)
            finally:
                self._under_way = 0

    def _put_back(self, batch: list[_Waiting], error: StoreUnavailable) -> None:
        """Keep what is to be kept, in its order; tell all who wait."""
        self._waiting.extendleft(_Waiting(each.entry) for each in reversed(batch) if not each.given_up)
        for each in batch:
            _tell(each, error)

    def _chained(
        self, entries: list[Entry]
    ) -> Callable[[AsyncConnection], Awaitable[tuple[End, str | None]]]:
        async def chained(connection: AsyncConnection) -> tuple[End, str | None]:
            head = await held_end(connection, "head")
            # After the head is held: what is read before it may be older than another writer's rows.
            at_ms, last = (await connection.execute(select(now_ms(), _last_number()))).one()
            end, problem = await self._end(connection, head, last)
            if problem:
                entries.insert(0, Entry(Kind.BROKEN, "audit", outcome=problem))
            rows = []
            for entry in entries:
                rows.append(row_of(entry, end.number + 1, at_ms, end.hash, self._keys))
                end = End(end.number + 1, rows[-1]["hash"])
            await connection.execute(insert(audit_rows), rows)
            await put_end(connection, "head", end, self._keys)
            if not head and not last:
                await put_end(connection, "start", End(0, NOTHING), self._keys)
            return end, problem

        return chained

    async def _end(self, connection: AsyncConnection, head: Any, last: int | None) -> tuple[End, str | None]:
        """Where to go on, and what is wrong with it."""
        problem = self._problem(head, last)
        if problem is None:
            return (End(head.number, head.hash) if head else End(0, NOTHING)), None
        if not last:
            return End(head.number if head else self.seen.number if self.seen else 0, NOTHING), problem
        newest = select(audit_rows.c.number, audit_rows.c.hash).where(audit_rows.c.number == last)
        row = (await connection.execute(newest)).one()
        return End(row.number, row.hash), problem

    def _problem(self, head: Any, last: int | None) -> str | None:
        if head is None:
            return "the head is gone" if last or self.seen else None
        try:
            self._keys.check(head.seal, end_sealed("head", head.number, head.hash))
        except Unreadable:
            return "the head was changed"
        if head.number != last:
            return "rows were added or removed"
        if self.seen and head.number < self.seen.number:
            return "rows that this process wrote are gone"
        return None


def _last_number() -> Any:
    return select(func.max(audit_rows.c.number)).scalar_subquery()


def _tell(waiting: _Waiting, error: StoreUnavailable | None = None) -> None:
    if waiting.written and not waiting.written.done():
        if error:
            waiting.written.set_exception(error)
            waiting.written.exception()  # seen: whoever waited may have left
        else:
            waiting.written.set_result(None)


async def held_end(connection: AsyncConnection, name: str) -> Any:
    """An end of the chain, held until this transaction ends; None before the first row."""
    query = select(audit_ends).where(audit_ends.c.name == name).with_for_update()
    found = (await connection.execute(query)).first()
    if found is None and connection.dialect.name == "postgresql":
        # Two first rows at once: there is no row yet that the second could wait for.
        await connection.execute(text("LOCK TABLE audit_ends IN SHARE ROW EXCLUSIVE MODE"))
        found = (await connection.execute(query)).first()
    return found


async def put_end(connection: AsyncConnection, name: str, end: End, keys: AuditKeys) -> None:
    """Write an end of the chain."""
    seal = keys.seal(end_sealed(name, end.number, end.hash))
    values = {"number": end.number, "hash": end.hash, "seal": seal}
    insert_ = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert_(audit_ends).values(name=name, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
