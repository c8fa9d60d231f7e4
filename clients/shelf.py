"""Where answers are kept for a while: bytes and when they were received, under a key that names the viewer.

Beside them, when a viewer last wrote what some answers tell of: what was asked before that is not repeated.

In memory by default, in Valkey or Redis where replicas share. Nothing is pickled: what is kept is read
without executing anything.
"""

import asyncio
import contextlib
import struct
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from cashews import Cache
from cashews.backends.memory import Memory
from cashews.exceptions import CacheBackendInteractionError
from redis.exceptions import RedisError

ENTRIES_AT_MOST = 2000  # the longest unused goes first
PATIENCE_S = 0.1  # with the shared shelf: a cache that is slower than this is worth nothing
SEEK_EVERY_S = 1.0  # while it is out of reach
UNREACHABLE = (CacheBackendInteractionError, RedisError, OSError, TimeoutError)

log = structlog.get_logger()
CLOCKS_APART_S = 1.0  # of replicas, at most
_HEAD = struct.Struct(">dd")  # epoch seconds
_MARK = struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class Kept:
    """The body of a good answer, when it was received, and when it was asked for."""

    content: bytes
    received_at_s: float  # epoch
    asked_at_s: float

    @property
    def age_s(self) -> float:
        return time.time() - self.received_at_s

    @property
    def received_at(self) -> datetime:
        return datetime.fromtimestamp(self.received_at_s, UTC)

    def __copy__(self) -> "Kept":
        return self  # it never changes, and cashews copies whatever it is given

    def packed(self) -> bytes:
        return _HEAD.pack(self.received_at_s, self.asked_at_s) + self.content

    @classmethod
    def unpacked(cls, packed: object) -> "Kept | None":
        """None for what `packed` has not made: others can write to a shared shelf."""
        if not isinstance(packed, bytes) or len(packed) < _HEAD.size:
            return None
        received_at_s, asked_at_s = _HEAD.unpack_from(packed)
        if not 0 <= asked_at_s <= received_at_s <= time.time() + 60:
            return None
        return cls(packed[_HEAD.size :], received_at_s, asked_at_s)


class Shelf(Protocol):
    """Keeps answers. Never fails and never makes anybody wait long: what cannot be kept is not kept."""

    async def get(self, key: str) -> Kept | None: ...

    async def put(self, key: str, kept: Kept, *, keep_s: float) -> None: ...

    async def drop(self, key: str) -> None: ...

    async def mark_written(self, name: str, until_s: float, *, keep_s: float) -> None: ...

    async def written_until_s(self, name: str) -> float: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class MemoryShelf:
    """A shelf of this process alone."""

    state = "own"

    def __init__(self, entries: int = ENTRIES_AT_MOST) -> None:
        # Without `Cache` before it: what that offers (prefixes, tags, switches) is not used, and costs
        # fifteen times what the dictionary does. The size bounds it: no sweeper.
        self._cache = Memory(size=entries, check_interval=0)

    async def get(self, key: str) -> Kept | None:
        kept: Kept | None = await self._cache.get(key)
        return kept

    async def put(self, key: str, kept: Kept, *, keep_s: float) -> None:
        await self._cache.set(key, kept, expire=keep_s)

    async def drop(self, key: str) -> None:
        await self._cache.delete(key)

    async def mark_written(self, name: str, until_s: float, *, keep_s: float) -> None:
        """Note that `name` was written, or may be until then (epoch)."""
        await self._cache.set(name, until_s, expire=keep_s)

    async def written_until_s(self, name: str) -> float:
        """Epoch; 0 when nobody noted a write."""
        until_s: float = await self._cache.get(name, default=0.0)
        return until_s

    async def open(self) -> None:
        await self._cache.init()

    async def close(self) -> None:
        await self._cache.close()


class SharedShelf:
    """A shelf that replicas share, in Valkey or Redis, and this process's own for while that is out of reach.

    Both get what is kept, and the newer is given: a moment in which Valkey seemed lost, because we were busy,
    costs nothing that was kept in it. What goes there is bytes, unpickled: whoever can write to it can show
    sellers other figures, but runs nothing here.
    """

    def __init__(self, url: str) -> None:
        self._shared = Cache()
        self._shared.setup(url, pickle_type="null", suppress=False, socket_timeout=PATIENCE_S)
        self._own = MemoryShelf()
        self._seeking: asyncio.Task[None] | None = None
        self._untold: dict[str, tuple[float, float]] = {}  # writes that the others do not know of yet

    @property
    def lost(self) -> bool:
        """Whether the shared shelf is out of reach just now."""
        return self._seeking is not None

    @property
    def state(self) -> str:
        """`shared`, or `lost` while this process makes do with its own."""
        return "lost" if self.lost else "shared"

    async def get(self, key: str) -> Kept | None:
        own = await self._own.get(key)
        if not self.lost:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    shared = Kept.unpacked(await self._shared.get(key))
            except UNREACHABLE as exc:
                self._lose(exc)
            else:
                found = [kept for kept in (own, shared) if kept]
                return max(found, key=lambda kept: kept.received_at_s, default=None)
        return own

    async def put(self, key: str, kept: Kept, *, keep_s: float) -> None:
        await self._own.put(key, kept, keep_s=keep_s)
        if not self.lost:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._shared.set(key, kept.packed(), expire=keep_s)
            except UNREACHABLE as exc:
                self._lose(exc)

    async def drop(self, key: str) -> None:
        await self._own.drop(key)
        if not self.lost:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._shared.delete(key)
            except UNREACHABLE as exc:
                self._lose(exc)

    async def mark_written(self, name: str, until_s: float, *, keep_s: float) -> None:
        await self._own.mark_written(name, until_s, keep_s=keep_s)
        self._untold[name] = (until_s + CLOCKS_APART_S, keep_s)
        while len(self._untold) > ENTRIES_AT_MOST:
            del self._untold[next(iter(self._untold))]
        if not self.lost:
            try:
                await self._tell()
            except UNREACHABLE as exc:
                self._lose(exc)

    async def written_until_s(self, name: str) -> float:
        own = await self._own.written_until_s(name)
        if not self.lost:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return max(own, _mark_in(await self._shared.get(name)))
            except UNREACHABLE as exc:
                self._lose(exc)
        return own

    async def _tell(self) -> None:
        for name, (until_s, keep_s) in list(self._untold.items()):
            async with asyncio.timeout(PATIENCE_S):
                await self._shared.set(name, _MARK.pack(until_s), expire=keep_s)
            if self._untold.get(name) == (until_s, keep_s):
                del self._untold[name]

    async def open(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._shared.init()
                await self._shared.ping()
        except UNREACHABLE as exc:
            self._lose(exc)

    async def close(self) -> None:
        if self._seeking:
            self._seeking.cancel()
        await self._shared.close()
        await self._own.close()

    def _lose(self, cause: Exception) -> None:
        if self._seeking is None:
            log.warning("shelf.lost", cause=type(cause).__name__)
            self._seeking = asyncio.create_task(self._seek())

    async def _seek(self) -> None:
        while True:
            await asyncio.sleep(SEEK_EVERY_S)
            with contextlib.suppress(*UNREACHABLE):
                async with asyncio.timeout(PATIENCE_S):
                    await self._shared.ping()
                await self._tell()
                log.info("shelf.found")
                self._seeking = None
                return


def _mark_in(packed: object) -> float:
    if not isinstance(packed, bytes) or len(packed) != _MARK.size:
        return 0.0
    [until_s] = _MARK.unpack(packed)
    return float(until_s)


def shelf_at(url: str | None) -> MemoryShelf | SharedShelf:
    """The shelf of this process, or the one at a `redis://` address that replicas share."""
    return MemoryShelf() if url is None else SharedShelf(url)
