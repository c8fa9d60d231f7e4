"""Where answers are kept for a while: bytes and when they were received, under a key that names the viewer.

Beside them, when a viewer last wrote what some answers tell of: what was asked before that is not repeated.

In memory by default, in Valkey or Redis where replicas share. Nothing is pickled: what is kept is read
without executing anything.
"""

import asyncio
import contextlib
import struct
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

ENTRIES_AT_MOST = 2000
BYTES_AT_MOST = 64 * 2**20  # of this process: one page of findings can have a quarter of a megabyte
ENTRY_BYTES = 500  # of an entry beside its key and its content
MARKS_AT_MOST = 10_000  # of writes
PATIENCE_S = 0.1  # with the shared shelf: a cache that is slower than this is worth nothing
SEEK_EVERY_S = 1.0  # while it is out of reach
CONNECTIONS_AT_MOST = 50  # to it; whoever finds none free waits
UNREACHABLE = (RedisError, OSError, TimeoutError)

log = structlog.get_logger()
CLOCKS_APART_S = 1.0  # of replicas, at most
_HEAD = struct.Struct(">dd")  # epoch seconds
_UNTIL = "until"  # the one member of a mark's sorted set, scored in epoch seconds


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

    async def mark_written(self, name: str, until_s: float, *, keep_s: float) -> None:
        """Note that `name` was written, or may be until then (epoch). Of several the latest counts."""

    async def written_until_s(self, name: str) -> float:
        """Epoch; 0 when nobody noted a write."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class MemoryShelf:
    """A shelf of this process alone. What was unused for longest makes room.

    A dictionary by hand: cachetools' bounds it by bytes and time as well, and takes four times as long.
    """

    state = "own"

    def __init__(self, entries: int = ENTRIES_AT_MOST, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self._entries_at_most = entries
        self._bytes_at_most = bytes_at_most
        self._bytes = 0
        # Both with the time at which they end, on the monotonic clock: a clock set back must not keep them.
        self._entries: OrderedDict[str, tuple[float, Kept]] = OrderedDict()  # the longest unused first
        self._marks: OrderedDict[str, tuple[float, float]] = OrderedDict()  # the first noted first
        self._forgotten_until_s = 0.0

    async def get(self, key: str) -> Kept | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        ends_at_s, kept = entry
        if ends_at_s <= time.monotonic():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return kept

    async def put(self, key: str, kept: Kept, *, keep_s: float) -> None:
        self._remove(key)
        self._entries[key] = (time.monotonic() + keep_s, kept)
        self._bytes += _size(key, kept)
        while len(self._entries) > self._entries_at_most or self._bytes > self._bytes_at_most:
            self._remove(next(iter(self._entries)))

    async def drop(self, key: str) -> None:
        self._remove(key)

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self._bytes -= _size(key, entry[1])

    async def mark_written(self, name: str, until_s: float, *, keep_s: float) -> None:
        now_s = time.monotonic()
        _, before_s = self._marks.pop(name, (0.0, 0.0))
        self._marks[name] = (now_s + keep_s, max(until_s, before_s))
        while len(self._marks) > MARKS_AT_MOST or next(iter(self._marks.values()))[0] <= now_s:
            _, (ends_at_s, until_s) = self._marks.popitem(last=False)
            if ends_at_s > now_s:  # whose it was is forgotten, that it was is not: it counts for everybody
                self._forgotten_until_s = max(self._forgotten_until_s, until_s)

    async def written_until_s(self, name: str) -> float:
        ends_at_s, until_s = self._marks.get(name, (0.0, 0.0))
        return max(until_s if ends_at_s > time.monotonic() else 0.0, self._forgotten_until_s)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class SharedShelf:
    """A shelf that replicas share, in Valkey or Redis, and this process's own for while that is out of reach.

    Both get what is kept, and the newer is given. What is no longer in Valkey was dropped by another replica,
    or has ended, and goes here too; except what was put or dropped here in a moment in which Valkey seemed
    lost, because we were busy: of that this process knows better. What goes there is bytes, unpickled:
    whoever can write to it can show sellers other figures, but runs nothing here.
    """

    def __init__(self, url: str) -> None:
        # Once more: after a restart the pool still holds dead connections.
        self._shared = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS_AT_MOST,
                timeout=PATIENCE_S,
                socket_timeout=PATIENCE_S,
                retry=Retry(NoBackoff(), 1),
                retry_on_error=[RedisError],
            )
        )
        self._own = MemoryShelf()
        self._seeking: asyncio.Task[None] | None = None
        # What the others do not know of yet, the oldest first.
        self._untold_writes: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._untold_keys: OrderedDict[str, None] = OrderedDict()

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
        if self.lost or key in self._untold_keys:
            return own
        shared = None
        async with self._patience():
            shared = Kept.unpacked(await self._shared.get(key))
        if self.lost:
            return own
        if shared is None:
            await self._own.drop(key)
            return None
        return max(own or shared, shared, key=lambda kept: kept.received_at_s)

    async def put(self, key: str, kept: Kept, *, keep_s: float) -> None:
        await self._own.put(key, kept, keep_s=keep_s)
        packed, keep_ms = kept.packed(), round(keep_s * 1000)
        await self._change(key, lambda: self._shared.set(key, packed, px=keep_ms))

    async def drop(self, key: str) -> None:
        await self._own.drop(key)
        await self._change(key, lambda: self._shared.delete(key))

    async def _change(self, key: str, change: Callable[[], Awaitable[object]]) -> None:
        self._untold_keys[key] = None
        if len(self._untold_keys) > ENTRIES_AT_MOST:
            self._untold_keys.popitem(last=False)
        if not self.lost:
            async with self._patience():
                await change()
                self._untold_keys.pop(key, None)

    async def mark_written(self, name: str, until_s: float, *, keep_s: float) -> None:
        await self._own.mark_written(name, until_s, keep_s=keep_s)
        told_s, _ = self._untold_writes.get(name, (0.0, 0.0))
        self._untold_writes[name] = (max(told_s, until_s + CLOCKS_APART_S), keep_s)
        if len(self._untold_writes) > MARKS_AT_MOST:
            self._untold_writes.popitem(last=False)
        if not self.lost:
            async with self._patience():
                await self._tell_writes()

    async def written_until_s(self, name: str) -> float:
        own = await self._own.written_until_s(name)
        if not self.lost:
            async with self._patience():
                return max(own, await self._shared.zscore(name, _UNTIL) or 0.0)
        return own

    async def _tell_writes(self) -> None:
        for name, (until_s, keep_s) in list(self._untold_writes.items()):
            async with self._shared.pipeline() as both:
                both.zadd(name, {_UNTIL: until_s}, gt=True)  # of two replicas' marks the later, in any order
                both.pexpire(name, round(keep_s * 1000))
                await both.execute()
            if self._untold_writes.get(name) == (until_s, keep_s):
                del self._untold_writes[name]

    async def _tell_drops(self) -> None:
        gone = [key for key in self._untold_keys if await self._own.get(key) is None]
        if gone:
            await self._shared.delete(*gone)
        for key in gone:
            self._untold_keys.pop(key, None)

    async def open(self) -> None:
        async with self._patience():
            await self._shared.ping()

    async def close(self) -> None:
        if self._seeking:
            self._seeking.cancel()
        await self._shared.aclose()
        await self._own.close()

    @contextlib.asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Ends quietly what fails or takes too long, and the shared shelf is lost from then on."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield
        except UNREACHABLE as exc:
            self._lose(exc)

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
                await self._tell_writes()  # each within the socket's patience
                await self._tell_drops()
                log.info("shelf.found")
                self._seeking = None
                return


def _size(key: str, kept: Kept) -> int:
    return len(key) + len(kept.content) + ENTRY_BYTES


def shelf_at(url: str | None) -> MemoryShelf | SharedShelf:
    """The shelf of this process, or the one at a `redis://` address that replicas share."""
    return MemoryShelf() if url is None else SharedShelf(url)
