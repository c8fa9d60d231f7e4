"""Listener: what one stream has still to be told: the newest state of each object, and never more."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """One event of a stream."""

    sequence: int  # of the stream, from 1; one that was skipped leaves a gap
    state: T
    before: T | None  # what the stream last told of this object; None in its snapshot


class Listener(Generic[T]):
    """One place per object: a stream that is read slowly skips states, and holds no queue."""

    __slots__ = ("_awake", "_offered", "_on_skipped", "_sequence", "_told", "_waiting", "keys", "moved")

    def __init__(
        self,
        keys: Iterable[str],
        *,
        moved: Callable[[T, T], bool],
        on_skipped: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            keys: the objects, each once; snapshots come in this order.
            moved: whether one state of an object differs from an earlier one in what this stream shows.
            on_skipped: told of each event that nobody will see.
        """
        self.keys = dict.fromkeys(keys)
        self.moved = moved
        self._on_skipped = on_skipped
        self._sequence = 0
        self._offered: dict[str, T] = {}  # newest state of each object
        self._told: dict[str, T] = {}
        self._waiting: dict[str, int] = {}  # object → sequence of the event that is still to be told
        self._awake = asyncio.Event()

    def offer(self, key: str, state: T) -> bool:
        """Take note of an object's state; whether that is an event for this stream."""
        before = self._offered.get(key)
        if before is not None and not self.moved(before, state):
            return False
        self._offered[key] = state
        if key in self._waiting and key not in self._told:
            return True  # its snapshot has not left yet, and is of now
        if self._waiting.pop(key, None):
            self._on_skipped()
        self._sequence += 1
        self._waiting[key] = self._sequence
        self._awake.set()
        return True

    async def ready(self) -> bool:
        """Wait until there is an event; whether it is a change, and not of the snapshot."""
        while not self._waiting:
            self._awake.clear()
            await self._awake.wait()
        return next(iter(self._waiting)) in self._told

    async def next(self) -> Told[T]:
        """Wait for the next event."""
        await self.ready()
        key = next(iter(self._waiting))
        told = Told(self._waiting.pop(key), self._offered[key], self._told.get(key))
        self._told[key] = told.state
        return told
