"""A second attempt at what may be asked twice, within a budget: retries must not become the outage.

A retry is spent from a bucket that fills with calls (a fifth of one each) and with time (ten a second). When
a service fails altogether, that is all it gets on top of its traffic.
"""

import asyncio
import random
import time

import httpx
from httpx_retries import Retry, RetryTransport

from clients.chain.question import Question, question_of
from clients.failures import NotSent, retry_after_s

PAUSE_S = (0.05, 0.25)  # full jitter between these
SHARE_OF_CALLS = 0.2
FLOOR_PER_S = 10.0
KEPT_FOR_S = 10.0  # unspent retries do not pile up for longer than this

RETRIED_STATUSES = (500, 502, 503, 504)  # never 429: it asks for fewer requests


class RetryBudget:
    """How many retries one service may still get."""

    def __init__(self) -> None:
        self._from_calls = 0.0
        self._from_time = FLOOR_PER_S
        self._filled_at_s = time.monotonic()

    def call_made(self) -> None:
        """A first attempt was made: it earns a fifth of a retry."""
        self._from_calls = min(self._from_calls + SHARE_OF_CALLS, FLOOR_PER_S * KEPT_FOR_S)

    def allows(self) -> bool:
        """Whether a retry can be spent now."""
        now_s = time.monotonic()
        self._from_time = min(FLOOR_PER_S, self._from_time + (now_s - self._filled_at_s) * FLOOR_PER_S)
        self._filled_at_s = now_s
        return self._from_calls >= 1 or self._from_time >= 1

    def spend(self) -> None:
        """Take one retry, of those earned by calls first."""
        if self._from_calls >= 1:
            self._from_calls -= 1
        else:
            self._from_time -= 1


class _Broken(Exception):
    """An answer worth asking for again."""


class _OneMore(Retry):
    """httpx-retries' policy for one call: one retry, if the budget allows it and the time left does.

    What is the same for every call stands at the class: the library's constructor would make it anew.
    """

    total = 1
    allowed_methods = frozenset(
        {"GET", "POST", "PUT", "DELETE", "PATCH"}
    )  # `Retries` has looked at idempotence
    status_forcelist = frozenset({599})  # none that is used: `validate_response` sees the whole answer
    retryable_exceptions = (
        _Broken,
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.ReadError,
        httpx.WriteError,
        httpx.RemoteProtocolError,
    )

    def __init__(self, budget: RetryBudget, question: Question, *, after: "_OneMore | None" = None) -> None:
        self._budget = budget
        self._question = question
        self._after = after
        self._exhausted: bool | None = True if after else None
        self.brought: httpx.Response | Exception | None = None  # by the attempt that was not good enough

    def validate_response(self, response: httpx.Response) -> None:
        if response.status_code not in RETRIED_STATUSES or self._question.is_answer(response):
            return
        wait_s = retry_after_s(response)
        if wait_s is None or wait_s <= self._left_s() - PAUSE_S[1]:
            raise _Broken

    def is_exhausted(self) -> bool:
        if self._exhausted is None:  # once per answer: time passes, and `_Broken` must not come out of here
            self._exhausted = self._left_s() <= PAUSE_S[1] or not self._budget.allows()
        return self._exhausted

    def increment(self) -> "_OneMore":
        self._budget.spend()
        return _OneMore(self._budget, self._question, after=self)

    async def asleep(self, response: httpx.Response | Exception) -> None:
        if self._after:
            self._after.brought = response
        # Not as the library reads `Retry-After`: it would sleep on nonsense for up to two minutes.
        wait_s = retry_after_s(response) if isinstance(response, httpx.Response) else None
        await asyncio.sleep(wait_s or random.uniform(*PAUSE_S))  # noqa: S311

    def _left_s(self) -> float:
        left_s = self._question.limit_ends_at_s - time.monotonic()
        return min(left_s, self._question.deadline.remaining_s())


class Retries(httpx.AsyncBaseTransport):
    """Asks a second time where that is safe, affordable and in time."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._retrying = RetryTransport(transport=inner)
        self.budget = RetryBudget()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = question_of(request)
        if not question.idempotent or question.caller.viewer is None:  # the monitor asks again by itself
            return await self._inner.handle_async_request(request)
        self.budget.call_made()
        request.extensions["retry"] = first = _OneMore(self.budget, question)
        try:
            return await self._retrying.handle_async_request(request)
        except NotSent:  # the circuit opened meanwhile: what the first attempt brought is what is known
            if first.brought is None:
                raise
            if isinstance(first.brought, Exception):
                raise first.brought from None
            return first.brought

    async def aclose(self) -> None:
        await self._inner.aclose()
