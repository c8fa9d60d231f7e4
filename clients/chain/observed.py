"""Reads the answer, and tells the health monitor how each call made for a viewer ended, when it was asked."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from clients.chain.question import VALUE, Question, question_of
from clients.errors import ContractBroken, UpstreamError
from clients.failures import NotSent


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call made for a viewer ended."""

    upstream: str
    error: UpstreamError | None  # None as well where the service said "none" in its own way


class Observed(httpx.AsyncBaseTransport):
    """Looks on; the monitor's own probes are its own to judge."""

    def __init__(self, inner: httpx.AsyncBaseTransport, on_outcome: Callable[[Outcome], None]) -> None:
        self._inner = inner
        self._on_outcome = on_outcome

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = question_of(request)
        try:
            response = await self._inner.handle_async_request(request)
        except NotSent:  # says nothing new about the service
            raise
        except httpx.RequestError as exc:
            self._tell(question, question.failure(exc))
            raise
        if response.is_success:
            try:
                response.extensions[VALUE] = question.read(response)
            except ContractBroken as broken:  # told once, as what it is: a 2xx alone is no sign of life
                self._tell(question, broken)
                raise
        # One viewer asked too often: the others are not held back.
        theirs = question.counted_apart and response.status_code == 429
        said = response.is_success or theirs or question.disguised(response) is not None
        self._tell(question, None if said else question.refusal(response))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _tell(self, question: Question, error: UpstreamError | None) -> None:
        if question.caller.viewer is not None:
            self._on_outcome(Outcome(question.upstream, error))
