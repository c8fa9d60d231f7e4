"""Where mutations are worked on: what was begun ends, whether or not its client waits.

A client that leaves takes its reads with it. A write is another matter: cut in the middle it would be half
done, and nobody would know. So it runs in a task of its own, within the deadline it was given.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger()


class Workshop:
    """The mutations under way in this process."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of some work; it goes on to its end when whoever waits for it is cancelled."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            log.info("mutation.left_alone")
            task.add_done_callback(_seen)
            raise

    async def close(self) -> None:
        """Wait for what is under way: each of them has a deadline."""
        if self._under_way:
            await asyncio.wait(self._under_way)


def _seen(task: asyncio.Task[Any]) -> None:
    """Nobody waits for the result: an error that would have been theirs goes to the log."""
    if not task.cancelled() and (error := task.exception()):
        log.warning("mutation.failed_alone", exc_info=error)
