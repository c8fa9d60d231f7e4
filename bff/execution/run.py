"""One execution of what graphql-core handed over: what is still awaited, and what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from graphql import GraphQLResolveInfo, is_non_null_type, located_error
from graphql.pyutils import Path

from bff.execution.places import Entry, Places, Some

if TYPE_CHECKING:
    from bff.execution.executor import LevelExecutor
    from bff.execution.fields import Field
    from bff.execution.values import Values


class Run:
    """Completes one value and all that lies in it."""

    def __init__(self, executor: LevelExecutor) -> None:
        self.executor = executor
        self._failed: list[tuple[Places, int, Exception]] = []  # found since errors were last told
        self._failure: BaseException | None = None  # of the whole value
        self._pending: set[asyncio.Task[None]] = set()
        self._entry: Entry | None = None
        self._ended: asyncio.Future[Any] | None = None  # the completed value, when something is awaited

    def complete(self, values: Values, result: Any, entry: Entry) -> Any:
        """The completed value, or a future of it when something in it is awaited.

        Raises:
            GraphQLError: something failed in it that must not be null.
        """
        [entry.value] = values.complete(self, [result], entry)
        self.tell()
        if self._failure:
            self._leave()
            raise self._failure
        if not self._pending:
            return entry.value
        self._entry = entry
        self._ended = asyncio.get_running_loop().create_future()
        self._ended.add_done_callback(self._let_go)
        return self._ended

    def info(self, field: Field, path: Path) -> GraphQLResolveInfo[Any]:
        """What graphql-core tells a resolver about a field."""
        return self.executor.build_resolve_info(field.definition, field.nodes, field.parent, path)

    def fail(self, places: Places, index: int, error: Exception) -> None:
        """Note that a value could not be had; `tell` draws the consequences."""
        self._failed.append((places, index, error))

    def tell(self) -> None:
        """Tell what failed since the last time, null it, or what it is a part of.

        In the order in which graphql-core executes: with two failures in one object that must not be null,
        the first decides what is told.
        """
        if not self._failed:
            return
        failed, self._failed = self._failed, []
        if len(failed) > 1:
            failed.sort(key=_rank)
        for places, index, error in failed:
            self._null(places, index, error)

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Go on without it; the answer waits for it."""
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._done)
        return task

    def await_value(self, values: Values, awaitable: Awaitable[Any], places: Places, index: int) -> None:
        """Complete a value when it comes."""
        self.later(self._when_it_comes(values, awaitable, places, index))

    async def _when_it_comes(
        self, values: Values, awaitable: Awaitable[Any], places: Places, index: int
    ) -> None:
        try:
            value = await awaitable
        except Exception as error:  # told at its place
            value = error
        [completed] = values.complete(self, [value], Some(places, [index]))
        places.put(index, completed)
        self.tell()

    def _null(self, places: Places, index: int, error: Exception) -> None:
        told, path = self.executor.collected_errors, places.path(index)
        if self._failure or told.has_nulled_position(path):
            return
        located = located_error(error, places.field.nodes, path.as_list())
        # Of the entry graphql-core knows whether it may be null.
        while isinstance(places, Entry) or (
            self.executor.error_propagation and is_non_null_type(places.type)
        ):
            outer = places.outer(index)
            if outer is None:
                self._failure = located
                return
            places, index = outer
        told.add(located, places.path(index))
        places.put(index, None)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        if task.cancelled():
            self._failure = self._failure or asyncio.CancelledError()
        elif error := task.exception():  # not of a field: those are noted
            self._failure = self._failure or error
        ended = self._ended
        if ended is None or ended.done() or (self._pending and not self._failure):
            return
        if isinstance(self._failure, asyncio.CancelledError):
            ended.cancel()
        elif self._failure:
            ended.set_exception(self._failure)
        else:
            assert self._entry, "its value is awaited"
            ended.set_result(self._entry.value)

    def _let_go(self, ended: asyncio.Future[Any]) -> None:
        """Whoever waited has the value, the error, or has left."""
        if ended.cancelled():
            for task in list(self._pending):
                task.cancel()
        elif ended.exception():
            self._leave()

    def _leave(self) -> None:
        """Nobody waits for the rest: let it end by itself, other operations' parts may need what it loads."""
        if self._pending:
            self.executor.settle_in_background(list(self._pending))


def _rank(failed: tuple[Places, int, Exception]) -> list[int]:
    """Where graphql-core would have met a failure."""
    places, index, _error = failed
    ranks = [places.rank(index)]
    while outer := places.outer(index):
        places, index = outer
        ranks.append(places.rank(index))
    return ranks[::-1]
