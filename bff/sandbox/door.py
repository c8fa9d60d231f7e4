"""The door of a service: what a request passes before any route sees it, and how the service refuses.

Order as in Express: first the quota, then the JSON of the body, then tokens and routes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WINDOW_S = 900
"""15 minutes, hard-coded in three of the four services and the default of the fourth."""

UNLIMITED = 1_000_000
"""What the headers of the captures show where the limit was raised out of the way."""


@dataclass(frozen=True)
class Usage:
    """Where a caller stands in the current window."""

    limit: int
    used: int
    resets_at: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def resets_in_s(self) -> int:
        return max(0, math.ceil(self.resets_at - time.time()))


def x_headers(usage: Usage) -> dict[str, str]:
    """X-RateLimit-*: the reset is an epoch. refund-engine and integrations."""
    return {
        "x-ratelimit-limit": str(usage.limit),
        "x-ratelimit-remaining": str(usage.remaining),
        "x-ratelimit-reset": str(math.ceil(usage.resets_at)),
    }


def draft6_headers(usage: Usage) -> dict[str, str]:
    """RateLimit-*, draft 6: the reset is in seconds from now. cost-docs and stripe."""
    return {
        "ratelimit-policy": f"{usage.limit};w={WINDOW_S}",
        "ratelimit-limit": str(usage.limit),
        "ratelimit-remaining": str(usage.remaining),
        "ratelimit-reset": str(usage.resets_in_s),
    }


@dataclass(frozen=True)
class Manners:
    """How one service refuses, in its own words."""

    failure: Callable[[], Response]
    """Its 500."""
    too_many: Callable[[], Response]
    """Its 429, without the headers."""
    malformed: Callable[[bytes], Response] | None = None
    """What it says to a body that is no JSON; None where the routes find out themselves."""
    limit_headers: Callable[[Usage], dict[str, str]] | None = None
    """None for a service that counts nobody."""
    counts: Callable[[str], bool] = lambda path: True
    """Which paths cost a caller one of its requests."""


def express(routes: Sequence[BaseRoute], lost: Callable[[Request], Response]) -> Starlette:
    """Route as Express does: a wrong method is as lost as an unknown path."""

    async def not_found(request: Request, exc: Exception) -> Response:
        return lost(request)

    return Starlette(routes=routes, exception_handlers={404: not_found, 405: not_found})


class Door:
    """A service behind its quota; every caller shares one bucket, as a gateway's callers do."""

    def __init__(self, app: ASGIApp, manners: Manners, quota: int | None) -> None:
        self.manners = manners
        self._app = app
        self._limit = UNLIMITED if quota is None else quota
        self._used = 0
        self._resets_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        write_headers = self.manners.limit_headers
        if write_headers is not None and self.manners.counts(scope["path"]):
            usage = self._count(1)
            if usage.used > usage.limit:
                await self.too_many()(scope, receive, send)
                return
            send = _with_headers(send, write_headers(usage))
        if self.manners.malformed is not None and scope["method"] in ("POST", "PUT", "PATCH"):
            body = await _read(receive)
            receive = _replay(body, receive)
            if _says_json(scope) and body and not _is_json(body):
                await self.manners.malformed(body)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def too_many(self) -> Response:
        """Answer 429 as the service does when the bucket is empty."""
        usage = self._count(0)
        response = self.manners.too_many()
        if self.manners.limit_headers is not None:
            empty = Usage(usage.limit, usage.limit, usage.resets_at)
            response.headers.update(self.manners.limit_headers(empty))
        response.headers["retry-after"] = str(usage.resets_in_s)
        return response

    def _count(self, cost: int) -> Usage:
        at = time.time()
        if at >= self._resets_at:
            self._used, self._resets_at = 0, at + WINDOW_S
        self._used += cost
        return Usage(self._limit, self._used, self._resets_at)


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *raw]
        await send(message)

    return send_with_headers


def _says_json(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"application/json") for name, value in scope["headers"]
    )


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict | list)  # body-parser is strict: no bare values
    except orjson.JSONDecodeError:
        return False


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
