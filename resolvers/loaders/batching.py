"""What all loaders are made of: batches that never fail as a whole, shared fetches, bounded scans.

A batch answers one value or one error per key. An exception out of a batch would fail every key and, worse,
be forgotten: aiodataloader then asks the service again at the next load.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from aiodataloader import DataLoader

from clients.transport import Page

K = TypeVar("K")
T = TypeVar("T")


class Loader(DataLoader[K, T]):
    """A loader for one operation, which is also told what other questions have brought."""

    def __init__(self, batch: Callable[[list[K]], Awaitable[Sequence[T | Exception]]]) -> None:
        """
        Args:
            batch: gets distinct keys and answers in their order.
        """

        loads: dict[K, asyncio.Future[T]] = {}

        async def answers(keys: list[K]) -> list[Any]:
            try:
                found: list[Any] = list(await batch(keys))
            except Exception as error:  # raised where each key is used
                return [error] * len(keys)
            except asyncio.CancelledError as left:
                found = [left] * len(keys)
            # The client has left: whoever waits for these keys would wait for ever.
            if asyncio.CancelledError in map(type, found):
                for key, value in zip(keys, found, strict=True):
                    if isinstance(value, asyncio.CancelledError):
                        loads[key].cancel()
            return found

        self._loads = loads
        super().__init__(answers, cache_map=self._loads)
        self._brought: list[Iterable[tuple[K, T]]] = []
        self._known: dict[K, T] = {}

    def bring(self, found: Iterable[tuple[K, T]]) -> None:
        """Keys and values that need not be asked for again; looked at only when somebody loads a key."""
        self._brought.append(found)

    def load(self, key: K) -> asyncio.Future[T]:
        while self._brought:
            for brought, value in self._brought.pop(0):
                self._known.setdefault(brought, value)
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = self.loop.create_future()
            if key in self._known:
                load.set_result(self._known[key])
            else:
                self.do_resolve_reject(key, load)
        return load


async def each(keys: Sequence[K], ask: Callable[[K], Awaitable[T]], *, at_once: int) -> list[T | Exception]:
    """Ask once per key, `at_once` at a time; a failing key is its own error and nobody else's."""
    places = asyncio.Semaphore(at_once)

    async def one(key: K) -> T | Exception:
        async with places:
            try:
                return await ask(key)
            except Exception as error:  # each key has its own
                return error

    return await asyncio.gather(*(one(key) for key in keys))


class Shared(Generic[T]):
    """One fetch per operation, however many fields and loaders need it; its error is shared as well."""

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._task: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        if self._task is None:
            self._task = asyncio.ensure_future(self._fetch())
            self._task.add_done_callback(seen)
        # Shielded: one field that gives up must not take the answer from the others.
        return await asyncio.shield(self._task)


def seen(task: asyncio.Future[Any]) -> None:
    """Whoever waited has the error; a client that left must not bring a traceback into the log."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class Scan(Generic[T]):
    """What a bounded reading of a list brought, in the owner's order."""

    rows: list[T]
    complete: bool  # whether every page was read; without it, absence proves nothing
    as_of: datetime  # of the oldest page


async def scan(
    page_at: Callable[[int], Awaitable[Page[T]]], *, page_size: int, pages_at_most: int
) -> Scan[T]:
    """Read a list by offset, to its end or to the bound.

    A total tells how many pages follow, and they are read at once. Without one, pages follow each other
    until a short one.
    """
    pages = [await page_at(0)]
    total = pages[0].total
    if total is not None:
        offsets = range(page_size, min(total, page_size * pages_at_most), page_size)
        pages += await asyncio.gather(*(page_at(offset) for offset in offsets))
        complete = total <= page_size * pages_at_most
    else:
        while len(pages[-1].rows) >= page_size and len(pages) < pages_at_most:
            pages.append(await page_at(page_size * len(pages)))
        complete = len(pages[-1].rows) < page_size
    return Scan(
        rows=[row for page in pages for row in page.rows],
        complete=complete,
        as_of=min(page.as_of for page in pages),
    )


async def settled(loads: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """Wait for all of them; an error stands in its own place."""
    return await asyncio.gather(*loads, return_exceptions=True)


async def rows_between(
    page: Callable[[int], Awaitable[Page[T]]], offset: int, end: int, *, page_size: int
) -> Page[T]:
    """The rows from `offset` up to `end` of a list that is read by page number, from 1.

    One page when the span lies within it, else two; the second is not asked for when the first says that
    nothing follows. `page` tells a total.
    """
    number = offset // page_size + 1
    first = await page(number)
    rows, as_of, total = first.rows, first.as_of, first.total or 0
    if end > number * page_size and total > number * page_size:
        second = await page(number + 1)
        rows, as_of = rows + second.rows, min(as_of, second.as_of)
    skipped = (number - 1) * page_size
    return Page(rows[offset - skipped : end - skipped], total, as_of)
