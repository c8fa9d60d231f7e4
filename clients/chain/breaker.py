"""The circuit breaker: a service that keeps failing is left alone for a while, then asked once.

Broken answers (5xx that are no disguised "none"), refused connections and answers that took the call's whole
limit count as failures; 4xx never, nor an answer that is too long or in a shape that was not agreed: one
seller's rows can make it so. A call that was cut short by the operation's own deadline says nothing about the
service and is not counted.
"""

import math
import random
from dataclasses import dataclass, replace
from typing import cast

import httpx
import structlog
from interlock import CircuitBreaker, Config, State, WindowType
from interlock.errors import CircuitOpenError
from pydantic import BaseModel, ConfigDict, Field

from clients.chain.question import Question, question_of
from clients.failures import AnswerTooLarge, CircuitOpened, QuotaUsedUp

log = structlog.get_logger()

PROBE_S = 2.0  # by then the one call that is let through has ended, and the circuit is open or closed
WAIT_JITTER = 0.2  # so that replicas do not probe a service in step


class BreakerSettings(BaseModel):
    """When a circuit opens and how long it stays open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_s: int = Field(default=10, ge=1, le=600, description="Calls of so many seconds are judged.")
    calls_at_least: int = Field(default=10, ge=1, description="Fewer calls than these prove nothing.")
    failure_share: float = Field(default=0.5, gt=0, le=1, description="Of failed calls, from which it opens.")
    slow_s: float = Field(
        default=1.5,
        gt=0,
        description="A call that takes so long counts as slow, unless it has its own limit.",
    )
    slow_share: float = Field(default=0.8, gt=0, le=1, description="Of slow calls, from which it opens.")
    open_s: float = Field(default=5.0, gt=0, description="First wait before one call is let through.")
    open_at_most_s: float = Field(default=60.0, gt=0, description="Longest wait; it doubles up to here.")


@dataclass(frozen=True)
class _Broken:
    """Which outcomes count against the service."""

    def is_failure(self, *, result: object, exception: Exception | None) -> bool:
        if exception is not None:
            return not isinstance(exception, QuotaUsedUp | AnswerTooLarge | httpx.LocalProtocolError)
        response = cast(httpx.Response, result)
        return not question_of(response.request).is_answer(response)


class Breaker(httpx.AsyncBaseTransport):
    """Three circuits of one service: what cannot be written may be readable, and what takes long may be well.

    What is known to take long (a filing, a consent) waits for somebody behind the service. How it goes says
    little of the rest, and it is not judged by its time: that is bounded by a limit of its own.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, upstream: str, settings: BreakerSettings) -> None:
        self._inner = inner
        self._upstream = upstream
        config = Config(
            window_type=WindowType.TIME_BASED,
            window_size=settings.window_s,
            minimum_number_of_calls=settings.calls_at_least,
            failure_rate_threshold=settings.failure_share,
            slow_call_duration_threshold=settings.slow_s,
            slow_call_rate_threshold=settings.slow_share,
            permitted_calls_in_half_open=1,
            max_concurrent_probes=1,
            wait_duration_in_open=settings.open_s * random.uniform(1 - WAIT_JITTER, 1 + WAIT_JITTER),  # noqa: S311
            wait_duration_backoff_multiplier=2.0,
            wait_duration_in_open_max=max(settings.open_at_most_s, settings.open_s * (1 + WAIT_JITTER)),
        )
        unhurried = replace(config, slow_call_duration_threshold=math.inf)
        self._reads, self._writes, self._long = (
            CircuitBreaker(
                name=f"{upstream}:{kind}",
                config=judged,
                classifier=_Broken(),
                listener=_Log(upstream),
                unreachable_exceptions=(QuotaUsedUp,),  # a probe that was not sent proves nothing
            )
            for kind, judged in (("reads", config), ("writes", config), ("long", unhurried))
        )

    @property
    def state(self) -> State:
        """The worst of the circuits: OPEN, HALF_OPEN or CLOSED."""
        states = {self._reads.state, self._writes.state, self._long.state}
        return next((state for state in (State.OPEN, State.HALF_OPEN) if state in states), State.CLOSED)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._circuit_of(question_of(request)).call_async(self._ask, request)
        except CircuitOpenError as exc:
            raise CircuitOpened(PROBE_S if exc.retry_after is None else exc.retry_after) from exc

    def _circuit_of(self, question: Question) -> CircuitBreaker:
        if question.takes_long:
            return self._long
        return self._writes if question.writes else self._reads

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        response.request = request  # not every base sets it, and the classifier needs the question
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Log:
    """One event when a circuit changes; calls and rejections are logged elsewhere."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream

    def on_state_change(self, *, name: str, old: State, new: State) -> None:
        log.warning(
            "circuit.changed", upstream=self._upstream, circuit=name, state=new.value, state_before=old.value
        )

    def on_call(self, *, name: str, outcome: object, duration: float) -> None: ...

    def on_rejected(self, *, name: str) -> None: ...

    def on_reset(self, *, name: str) -> None: ...
