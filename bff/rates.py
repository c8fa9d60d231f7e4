"""How much one viewer may ask of us in a while, counted in expected upstream calls: GCRA.

what is counted           weight                                    beyond it
an operation              its cost (`bff explain`), at least 1      429 RATE_LIMITED, `Retry-After`
a change on a stream      what is asked for it                      it is told later, as it is by then
sockets and streams       those that are open now                   429; a socket is closed with 1013

Every operation is counted as 1 before its document is read, and with the rest of its cost before any service
is asked: so a flood of broken documents is stopped, too. In memory, or in Valkey where replicas share; when
that is away each replica counts alone.
"""

import asyncio
import math
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Literal
from weakref import WeakValueDictionary

import structlog
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from throttled.asyncio import RateLimiterType, RateLimitResult, Throttled, rate_limiter, store
from throttled.exceptions import StoreUnavailableError

from clients.caller import Viewer
from resolvers.errors import RequestError

VIEWERS_KEPT = 10_000  # in memory; whoever was pushed out begins with a full burst again
PATIENCE_S = 0.1  # with Valkey
SEEK_EVERY_S = 1.0  # while it is away

log = structlog.get_logger()


class RateSettings(BaseModel):
    """What one viewer may ask, and how often an address may guess; docs/limits.md has the arithmetic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["off", "measure", "enforce"] = Field(
        default="enforce", description="`measure` counts and logs what would be refused, and serves it."
    )
    cost_per_minute: int = Field(
        default=1200, ge=1, le=1_000_000, description="Expected upstream calls of one viewer, for long."
    )
    burst_cost: int = Field(
        default=600, ge=1, le=1_000_000, description="Expected upstream calls of one viewer, at once."
    )
    streams: int = Field(
        default=50, ge=1, le=10_000, description="Sockets and HTTP streams of one viewer, open at once."
    )
    bad_tokens_per_minute: int = Field(
        default=30, ge=1, le=10_000, description="Tokens and keys that prove nothing, from one address."
    )


class RateLimited(RequestError):
    """The viewer asks more than their share."""

    code = "RATE_LIMITED"
    retry_after_ms: int

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Rates:
    """Counts what each viewer asks. Opens nothing before the first operation."""

    def __init__(
        self,
        settings: RateSettings,
        redis_url: str | None,
        *,
        on_limit: Callable[[str, bool], None],
        on_refusal: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        """
        Args:
            on_limit: told the limit that was exceeded (rate, streams), and whether somebody was refused.
            on_refusal: told the limit and the id of the viewer who was refused.
        """
        self._settings = settings
        self._on_limit = on_limit
        self._on_refusal = on_refusal
        self._own = self._counter(store.MemoryStore(options={"MAX_SIZE": VIEWERS_KEPT}))
        self._valkey = _valkey(redis_url) if redis_url else None
        self._shared = self._counter(self._valkey) if self._valkey else None
        self._seek_at_s: float | None = None  # monotonic; None while Valkey is there
        self._event_turns = WeakValueDictionary[str, asyncio.Lock]()  # by the viewer's user id, while used

    def operation(self, viewer: Viewer | None, told: MutableMapping[str, str]) -> "Admission":
        """The admission of one operation.

        Args:
            viewer: None where nobody asks for themselves: that is not counted.
            told: headers of the answer: `RateLimit-…` are put into it.
        """
        return Admission(self, viewer, told)

    def hold_streams(self, viewer: Viewer, open_now: int) -> None:
        """Let the viewer open one more stream, or not.

        Raises:
            RateLimited: they have as many as they may.
        """
        at_most = self._settings.streams
        if open_now >= at_most and self._refuses("streams", viewer):
            raise RateLimited(
                f"{open_now} streams of yours are open, {at_most} at most. Close one, or put more operations "
                "on one WebSocket.",
                retry_after_ms=5000,
            )

    async def admit(
        self, viewer: Viewer, cost: int, told: MutableMapping[str, str], *, counted: int = 0
    ) -> None:
        """Count an operation, or what it costs beyond what was counted.

        Args:
            cost: in expected upstream calls.
            counted: what was counted of the operation before; it will have to be paid again.

        Raises:
            RateLimited: it is not counted, and not to be served.
        """
        if self._settings.mode == "off":
            return
        result = await self._count(f"viewer:{viewer.user_id}", cost)
        state, interval_s = result.state, 60 / self._settings.cost_per_minute
        told["ratelimit-limit"] = str(state.limit)
        told["ratelimit-remaining"] = str(max(0, state.remaining))
        told["ratelimit-reset"] = str(math.ceil(state.reset_after))
        if result.limited and self._refuses("rate", viewer):
            wait_s = math.ceil(state.retry_after + counted * interval_s)
            told["retry-after"] = str(wait_s)
            raise RateLimited(
                f"You asked for more than {self._settings.cost_per_minute} upstream calls a minute. "
                f"Try again in {wait_s} s, or ask for less at once.",
                retry_after_ms=wait_s * 1000,
            )

    async def await_event(self, viewer: Viewer, cost: int) -> None:
        """Count an event of a stream as soon as the viewer can afford it, one after the other."""
        if self._settings.mode == "off":
            return
        # Else all streams of a viewer would wake for each event that one of them may tell.
        turn = self._event_turns.setdefault(viewer.user_id, asyncio.Lock())
        async with turn:
            result = await self._count(f"viewer:{viewer.user_id}", cost)
            if result.limited:
                log.info("limit.exceeded", limit="events", viewer_id=viewer.user_id, refused=False)
                self._on_limit("events", False)
            while result.limited and self._settings.mode == "enforce":
                await asyncio.sleep(result.state.retry_after)
                result = await self._count(f"viewer:{viewer.user_id}", cost)

    async def close(self) -> None:
        """Close the connections to Valkey."""
        if self._valkey:
            # The library has no way to close what it opened.
            client: Any = self._valkey._backend.get_client()
            await client.connection_pool.disconnect()

    async def _count(self, key: str, cost: int) -> RateLimitResult:
        if self._shared and (self._seek_at_s is None or time.monotonic() >= self._seek_at_s):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    result = await self._shared.limit(key, cost)
            except (StoreUnavailableError, RedisError, OSError, TimeoutError) as exc:
                if self._seek_at_s is None:
                    log.warning("rates.lost", cause=type(exc).__name__)
                self._seek_at_s = time.monotonic() + SEEK_EVERY_S
            else:
                if self._seek_at_s is not None:
                    log.info("rates.found")
                self._seek_at_s = None
                return result
        return await self._own.limit(key, cost)

    def _counter(self, where: store.MemoryStore | store.RedisStore) -> Throttled:
        quota = rate_limiter.per_min(self._settings.cost_per_minute, burst=self._settings.burst_cost)
        return Throttled(using=RateLimiterType.GCRA.value, quota=quota, store=where, key_prefix="rate")

    def _refuses(self, limit: str, viewer: Viewer) -> bool:
        refuses = self._settings.mode == "enforce"
        if self._settings.mode != "off":
            log.info("limit.exceeded", limit=limit, viewer_id=viewer.user_id, refused=refuses)
            self._on_limit(limit, refuses)
        if refuses:
            self._on_refusal(limit, viewer.user_id)
        return refuses


class Admission:
    """One operation's way past the counter: first as any, then by its price."""

    def __init__(self, rates: Rates, viewer: Viewer | None, told: MutableMapping[str, str]) -> None:
        self._rates = rates
        self._viewer = viewer
        self._told = told
        self._begun = False

    async def begin(self) -> None:
        """Count an operation of which nothing is known; once, also where it is read again for a stream.

        Raises:
            RateLimited: it is not to be read.
        """
        begun, self._begun = self._begun, True
        if self._viewer and not begun:
            await self._rates.admit(self._viewer, 1, self._told)

    async def price(self, cost: int) -> None:
        """Count the rest, now that it is known.

        Raises:
            RateLimited: it is not to be executed.
        """
        if self._viewer and cost > 1:
            await self._rates.admit(self._viewer, cost - 1, self._told, counted=1)

    async def event(self, cost: int) -> None:
        """Count one more event of the stream that the operation has begun, when the viewer can afford it."""
        if self._viewer and cost:
            await self._rates.await_event(self._viewer, cost)


def _valkey(url: str) -> store.RedisStore:
    patience = {"SOCKET_TIMEOUT": PATIENCE_S, "SOCKET_CONNECT_TIMEOUT": PATIENCE_S}
    return store.RedisStore(server=url, options=patience)
