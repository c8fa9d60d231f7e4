"""What replicas tell each other: small messages to whoever listens now. Nobody waits, nothing is kept.

In this process by default; through Valkey or Redis where replicas share. A lost connection loses what was
said meanwhile and is made again by itself: a message is a hint to look, never the only place of a fact.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Protocol

import anyio
import structlog
from anyio.streams.memory import MemoryObjectSendStream
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger()

UNHEARD_AT_MOST = 100  # messages that wait for one slow listener; it misses what comes on top
AGAIN_AFTER_S = 1.0
PATIENCE_S = 0.5
SILENT_AT_MOST_S = 10.0  # a host that vanishes ends no connection: then it is asked, and lost after as much


class Bus(Protocol):
    """Carries messages of a channel to everyone who listens to it."""

    async def say(self, channel: str, message: bytes) -> None:
        """Tell whoever listens. Never fails: a message that cannot be carried is lost."""

    def listen(self, channel: str) -> AsyncIterator[bytes]:
        """Messages from now on, until the iteration is left."""

    async def close(self) -> None: ...


class OwnBus:
    """The bus of this process alone."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[MemoryObjectSendStream[bytes]]] = defaultdict(set)

    async def say(self, channel: str, message: bytes) -> None:
        for stream in list(self._listeners[channel]):
            # A slow listener misses it and looks again later; one that is leaving needs it no more.
            with contextlib.suppress(anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                stream.send_nowait(message)

    async def listen(self, channel: str) -> AsyncIterator[bytes]:
        send, receive = anyio.create_memory_object_stream[bytes](UNHEARD_AT_MOST)
        self._listeners[channel].add(send)
        try:
            with receive:
                async for message in receive:
                    yield message
        finally:
            self._listeners[channel].discard(send)
            send.close()

    async def close(self) -> None:
        for stream in {stream for streams in self._listeners.values() for stream in streams}:
            stream.close()


class SharedBus:
    """The bus of all replicas, over publish and subscribe."""

    def __init__(self, url: str) -> None:
        # Once more: after a restart the pool still holds the dead connection.
        self._redis = Redis.from_url(
            url, socket_connect_timeout=PATIENCE_S, retry=Retry(NoBackoff(), 1), retry_on_error=[RedisError]
        )

    async def say(self, channel: str, message: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._redis.publish(channel, message)
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("bus.message_lost", channel=channel, cause=type(exc).__name__)

    async def listen(self, channel: str) -> AsyncIterator[bytes]:
        lost = False
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(channel)
                    if lost:
                        log.info("bus.found", channel=channel)
                    lost = False
                    asked = False
                    while True:
                        told = await subscription.get_message(timeout=SILENT_AT_MOST_S)
                        if told is None and asked:
                            raise TimeoutError
                        asked = told is None
                        if told is None:
                            await subscription.ping()
                        elif told["type"] == "message":
                            yield _bytes(told["data"])
            except (RedisError, OSError) as exc:
                if not lost:  # once, not every second of a long night
                    log.warning("bus.lost", channel=channel, cause=type(exc).__name__)
                lost = True
                await asyncio.sleep(AGAIN_AFTER_S)

    async def close(self) -> None:
        await self._redis.aclose()


def bus_at(url: str | None) -> OwnBus | SharedBus:
    """The bus of this process, or the one at a `redis://` address that replicas share."""
    return OwnBus() if url is None else SharedBus(url)


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else str(data).encode()
