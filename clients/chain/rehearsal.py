"""Outage rehearsal: one request sees faults that are not there, so that a screen can be built for them.

`X-Rehearse: stripe=down, mcde=slow:2000` with the scope `faults:rehearse`, never in production. The link
stands above breaker, bulkhead and retries: no circuit opens, no health changes, nothing is kept of it.

word           what the request sees
down           connection refused
slow:<ms>      the answer comes so much later
error          500
garbage        200 with a body that nobody agreed on
hang           no answer
rate-limited   429
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from clients.chain.question import MAYBE_DONE, VALUE, question_of

_WORD = re.compile(r"(down|error|garbage|hang|rate-limited)|slow:([0-9]{1,5})", re.ASCII)
WORDS = "down, slow:<ms>, error, garbage, hang and rate-limited"
RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True)
class Fault:
    """What one service is made to look like."""

    kind: str
    delay_ms: int = 0


def rehearsed_faults(text: str, services: Mapping[str, object]) -> dict[str, Fault]:
    """Read the header: `service=word`, with commas between.

    Raises:
        ValueError: a service or a word is unknown; the message says which, and what there is.
    """
    faults: dict[str, Fault] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        service, _, word = entry.partition("=")
        if service not in services:
            raise ValueError(f"`{service[:40]}` is no service; there are {', '.join(services)}.")
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"`{word[:40]}` is no fault; there are {WORDS}.")
        faults[service] = Fault(match[1]) if match[1] else Fault("slow", int(match[2]))
    return faults


class Rehearsal(httpx.AsyncBaseTransport):
    """Stands in for a service where the caller asked for it."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = question_of(request)
        fault: Fault | None = question.caller.rehearsed.get(question.upstream)
        if fault is None:
            return await self._inner.handle_async_request(request)
        left_s = question.limit_ends_at_s - time.monotonic()
        if fault.kind == "down":
            raise httpx.ConnectError("rehearsed", request=request)
        request.extensions[MAYBE_DONE] = fault.kind != "rate-limited"  # as it would be if it were true
        if fault.kind == "hang" or fault.delay_ms / 1000 >= left_s:
            await asyncio.sleep(left_s)
            raise httpx.ReadTimeout("rehearsed", request=request)
        if fault.kind == "slow":
            request.extensions[MAYBE_DONE] = False  # it has not left yet
            await asyncio.sleep(fault.delay_ms / 1000)
            return await self._inner.handle_async_request(request)
        response = _response(fault, request)
        if response.is_success:  # garbage: reading it is what fails
            response.extensions[VALUE] = question.read(response)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _response(fault: Fault, request: httpx.Request) -> httpx.Response:
    if fault.kind == "error":
        return httpx.Response(500, json={"error": "rehearsed"}, request=request)
    if fault.kind == "rate-limited":
        headers = {"retry-after": str(RETRY_AFTER_S)}
        return httpx.Response(429, json={"error": "rehearsed"}, headers=headers, request=request)
    return httpx.Response(200, text="<html>rehearsed</html>", request=request)
