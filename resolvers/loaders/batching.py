"""What all loaders are made of: batches that never fail as a whole, shared fetches, bounded scans.

A batch answers one value or one error per key, and both are remembered: what failed is not asked for again in
the same operation.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from aiodataloader import DataLoader

from clients.errors import ResultTooLarge, UpstreamError
from clients.transport import Answer, Page


class Identified(Protocol):
    """A row that is told from others by its id."""

    @property
    def id(self) -> Hashable: ...


K = TypeVar("K")
T = TypeVar("T")
RowT = TypeVar("RowT", bound=Identified)


@dataclass(eq=False, slots=True)
class _Question(Generic[K, T]):
    """The keys of one level of objects, and what will be known of them."""

    keys: Sequence[K]
    answer: asyncio.Future[list[T | Exception]] | None = None  # as soon as it is asked


class Loader(Generic[K, T]):
    """A loader for one operation, asked for all keys of a level at once.

    aiodataloader gathers what is asked in one turn of the loop. What it batches are levels, not keys: a
    future and a place in a queue for each of three hundred keys cost more than finding what they name.
    """

    def __init__(self, batch: Callable[[list[K]], Awaitable[Sequence[T | Exception]]]) -> None:
        """
        Args:
            batch: gets distinct keys and answers in their order.
        """
        self._batches = _Batches(batch)
        self._brought: list[Iterable[tuple[K, T]]] = []

    def bring(self, found: Iterable[tuple[K, T]]) -> None:
        """Keys and values that need not be asked for again; looked at only when somebody loads a key."""
        self._brought.append(found)

    def load_all(self, keys: Sequence[K]) -> asyncio.Future[list[T | Exception]]:
        """What is found for each key, or the error of that key, in their order; a key may come twice."""
        found = self._batches.found
        while self._brought:
            for key, value in self._brought.pop(0):
                found.setdefault(key, value)
        if found.keys() >= set(keys):
            known: asyncio.Future[list[T | Exception]] = asyncio.get_running_loop().create_future()
            if self._batches.left(keys):
                known.cancel()
            else:
                known.set_result([found[key] for key in keys])
            return known
        question: _Question[K, T] = _Question(keys)
        question.answer = self._batches.load(question)
        return question.answer

    def load(self, key: K) -> asyncio.Future[T]:
        """What is found for one key; its error is raised where it is awaited."""
        load: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.load_all([key]).add_done_callback(functools.partial(_hand_on, load))
        return load


class _Batches(DataLoader[_Question[K, T], list[T | Exception]]):
    """Answers the questions of one turn of the loop by one batch of their distinct keys."""

    cache = False  # of questions: what is remembered are keys

    def __init__(self, batch: Callable[[list[K]], Awaitable[Sequence[T | Exception]]]) -> None:
        super().__init__()
        self._batch = batch
        self.found: dict[K, T | Exception] = {}
        self._cancelled: set[K] = set()  # the client left before they were found
        self._under_way: dict[K, asyncio.Future[None]] = {}  # done when its batch has ended

    async def batch_load_fn(self, questions: list[_Question[K, T]]) -> list[list[T | Exception]]:
        keys = dict.fromkeys(chain.from_iterable(question.keys for question in questions))
        others = {self._under_way[key] for key in keys if key in self._under_way}
        new = [key for key in keys if key not in self.found and key not in self._under_way]
        ended = asyncio.get_running_loop().create_future()
        self._under_way |= dict.fromkeys(new, ended)
        asking = self._ask(new, ended)
        if others:
            pending = {*others, asyncio.ensure_future(asking)}
            while pending:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                self._tell(questions)  # whoever has what it asked for does not wait for the rest
        else:
            await asking
            self._tell(questions)
        return [[] for _ in questions]  # aiodataloader leaves alone whoever has been told

    def left(self, keys: Sequence[K]) -> bool:
        """Whether the client left before one of them was found."""
        return bool(self._cancelled) and not self._cancelled.isdisjoint(keys)

    def _tell(self, questions: Iterable[_Question[K, T]]) -> None:
        for question in questions:
            answer = question.answer
            if answer is None or answer.done() or not self.found.keys() >= set(question.keys):
                continue
            if self.left(question.keys):  # aiodataloader would tell nobody, and they would wait for ever
                answer.cancel()
            else:
                answer.set_result([self.found[key] for key in question.keys])

    async def _ask(self, keys: list[K], ended: asyncio.Future[None]) -> None:
        if keys:
            self.found |= zip(keys, await self._asked(keys), strict=True)
            for key in keys:
                del self._under_way[key]
        ended.set_result(None)

    async def _asked(self, keys: list[K]) -> list[Any]:
        try:
            found: list[Any] = list(await self._batch(keys))
            if len(found) != len(keys):  # whoever asks for them again would wait for ever
                raise ValueError(f"{len(keys)} keys were asked for, {len(found)} were answered")
        except (Exception, asyncio.CancelledError) as error:  # raised where each key is used
            found = [error] * len(keys)
        if asyncio.CancelledError in map(type, found):
            self._cancelled |= {
                key for key, each in zip(keys, found, strict=True) if isinstance(each, asyncio.CancelledError)
            }
        return found


def _hand_on(load: asyncio.Future[T], asked: asyncio.Future[list[T | Exception]]) -> None:
    if load.done():  # nobody waits for it
        return
    if asked.cancelled():
        load.cancel()
        return
    [found] = asked.result()
    if isinstance(found, Exception):
        load.set_exception(found)
    else:
        load.set_result(found)


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
            self._task.add_done_callback(_seen)
        # Shielded: one field that gives up must not take the answer from the others.
        return await asyncio.shield(self._task)


def _seen(task: asyncio.Future[Any]) -> None:
    """Whoever waited has the error; a client that left must not bring a traceback into the log."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class Scan(Generic[T]):
    """What a bounded reading of a list brought, each row once, in the owner's order."""

    rows: list[T]
    complete: bool  # whether every row was read
    as_of: datetime  # of the oldest page
    failure: UpstreamError | None = None  # why a page is an old one

    def doubt(self, service: str, operation: str) -> UpstreamError | None:
        """Why a row that is not here may be there all the same; None: there is no such row."""
        return self.failure or (None if self.complete else ResultTooLarge(service, operation))


async def scan(
    page_at: Callable[[int], Awaitable[Page[RowT]]], *, page_size: int, pages_at_most: int
) -> Scan[RowT]:
    """Read a list by offset, to its end or to the bound.

    A total tells how many pages follow, and they are read at once. Without one, pages follow each other
    until a short one.

    A list may move between two pages, or a service send fewer rows than were asked for: where there is a
    total, the list was read when that many rows were.
    """
    pages = [await page_at(0)]
    total = pages[0].total
    if total is not None:
        offsets = range(page_size, min(total, page_size * pages_at_most), page_size)
        pages += await asyncio.gather(*(page_at(offset) for offset in offsets))
    else:
        while len(pages[-1].rows) >= page_size and len(pages) < pages_at_most:
            pages.append(await page_at(page_size * len(pages)))
    rows = {row.id: row for page in pages for row in page.rows}
    return Scan(
        rows=list(rows.values()),
        complete=len(pages[-1].rows) < page_size if total is None else len(rows) >= total,
        as_of=min(page.as_of for page in pages),
        failure=next((page.failure for page in pages if page.failure), None),
    )


def found_in(
    read: Scan[T] | Page[T], row: T | None, doubt: UpstreamError | None
) -> Answer[T | None] | UpstreamError:
    """A row of what was read, or a proven "none", or why it cannot be told."""
    if row is None and doubt:
        return doubt
    return Answer(row, read.as_of)


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
    rows, as_of, total, failure = first.rows, first.as_of, first.total or 0, first.failure
    if end > number * page_size and total > number * page_size:
        second = await page(number + 1)
        rows, as_of, failure = rows + second.rows, min(as_of, second.as_of), failure or second.failure
    skipped = (number - 1) * page_size
    return Page(rows[offset - skipped : end - skipped], total, as_of, failure)
