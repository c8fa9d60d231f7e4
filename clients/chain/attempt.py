"""The innermost link: one request that leaves, within the service's limit, and one log event for it."""

import asyncio
import time

import httpx
import structlog

from clients.chain.question import MAYBE_DONE, Question, question_of
from clients.failures import AnswerTooLarge, QuotaUsedUp, never_left, retry_after_s, said_in
from clients.quota import Quota

DEADLINE_HEADER = "x-request-deadline-ms"  # tells the service how long anybody waits for this attempt

log = structlog.get_logger()


class Attempt(httpx.AsyncBaseTransport):
    """Sends, reads the whole answer, and notes what the answer says of the quota."""

    def __init__(self, base: httpx.AsyncBaseTransport, quota: Quota, *, reserve_s: float) -> None:
        self._base = base
        self._quota = quota
        self._reserve_s = reserve_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = question_of(request)
        left_s = question.limit_ends_at_s - time.monotonic()
        if left_s <= 0:
            raise httpx.ReadTimeout("nothing left of the service's limit")
        viewer = question.caller.viewer
        if not self._quota.take(viewer.user_id if viewer else None):
            raise QuotaUsedUp(self._quota.resets_in_s)
        tell_s = min(left_s, question.deadline.remaining_s() - self._reserve_s)
        request.headers[DEADLINE_HEADER] = str(max(0, int(tell_s * 1000)))
        question.caller.use_of(question.upstream).attempts += 1
        maybe_done_before = request.extensions.get(MAYBE_DONE, False)
        request.extensions[MAYBE_DONE] = True  # from here on only the service knows
        started_s = time.perf_counter()
        status: int | None = None
        said: str | None = None
        outcome = "CANCELLED"  # by the operation's deadline, or because the client left
        try:
            # httpx bounds each phase, not the whole answer: a slow drip would outlive any of its timeouts.
            async with asyncio.timeout(left_s):
                response = await self._read(request)
            status, outcome = response.status_code, "OK"
            if 400 <= status < 500 or question.disguised(response):
                request.extensions[MAYBE_DONE] = maybe_done_before
            if not response.is_success:
                outcome, said = "REFUSED", said_in(response.content)
            if not question.counted_apart:
                self._quota.observe(
                    response.headers, retry_after_s=retry_after_s(response) if status == 429 else None
                )
            return response
        except TimeoutError as exc:
            outcome = "NO_ANSWER"
            raise httpx.ReadTimeout("no answer within the service's limit") from exc
        except Exception as exc:
            outcome = "TOO_LARGE" if isinstance(exc, AnswerTooLarge) else "NO_ANSWER"
            if isinstance(exc, httpx.RequestError) and never_left(exc):
                request.extensions[MAYBE_DONE] = maybe_done_before
            raise
        finally:
            self._quota.give_back()
            self._log(question, status, outcome, said, started_s)

    async def aclose(self) -> None:
        await self._base.aclose()

    async def _read(self, request: httpx.Request) -> httpx.Response:
        response = await self._base.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()  # a body that was cut would keep its connection
        return response

    @staticmethod
    def _log(
        question: Question, status: int | None, outcome: str, said: str | None, started_s: float
    ) -> None:
        log.info(
            "upstream.called",
            upstream=question.upstream,
            operation=question.operation,
            status=status,
            outcome=outcome,
            said=said,
            duration_ms=round((time.perf_counter() - started_s) * 1000, 1),
        )
