"""What a connection may take before anybody has seen its request: time, bytes, a place.

uvicorn waits for ever for the head of a request, and reads heads of any size. Here

    the head            is whole within `head_wait_s`, else 408
                        has `head_bytes` and `head_lines` at most, else 431
    the body            is whole within `body_wait_s`, else 408; see `BodyDeadline`
    an idle connection  is closed after `keep_alive_s`
    an answer           is fetched within `unread_wait_s`, or the connection is cut; see `unread.py`
    requests in a row   are worked on one after the other, and so many may wait on a connection
    one too many        takes the place of the connection that has waited longest for a head; where all are at
                        work it is answered 503
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import structlog
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from bff.errors import refusal
from bff.http_guard import DATA_HEADERS, HSTS, headers_put
from bff.settings.connections import SocketSettings
from bff.telemetry import Correlation, new_support_code
from bff.unread import Unread

PROBED = b"/livez"  # answered however full we are: a busy process must not be taken for a dead one
CLOSE = {"connection": "close"}
BUSY_FOR_S = 1
IN_A_ROW = 64  # requests that wait on one connection behind the one that is worked on; browsers send none

log = structlog.get_logger()


class BoundedProtocol(HttpToolsProtocol):
    """One connection, as uvicorn's own class serves it, within the limits above.

    uvicorn makes it; `bounded` tells it the limits.
    """

    limits: ClassVar[SocketSettings]
    answers: ClassVar[Mapping[str, ASGIApp]]  # to requests that the app is not to see
    waiting: ClassVar[dict["BoundedProtocol", None]]  # for a head, or for the rest of it; the longest first
    unread: ClassVar[Unread]

    _at_work: RequestResponseCycle | None = None
    _deadline: asyncio.TimerHandle | None = None
    _head_begun = False  # something of a head has come, and not all
    _message_under_way = False  # the head was whole, the body is not
    _head_bytes = 0
    _too_large = False
    _deaf = False  # what came was no request, or one too many in a row: nothing more is read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", self.unread.watched(transport)))
        if len(self.connections) > self.limits.connections and self.waiting:
            longest = next(iter(self.waiting))
            longest._stop_waiting()
            longest.transport.close()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        if self._at_work is not None:  # uvicorn tells the newest request only, which may not have begun
            self._at_work.disconnected = True
            self._at_work.message_event.set()
        self.pipeline.clear()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if not self._message_under_way:
            self._head_bytes += len(data)
            if self._deadline is None:
                self._wait_for_head()
        super().data_received(data)
        if self._head_begun and self._head_bytes > self.limits.head_bytes and self._free:
            self._close_with(_too_large(new_support_code(), self.limits))

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= IN_A_ROW:
            raise _TooManyInARow
        super().on_message_begin()
        self._head_begun, self._too_large = True, False
        self._parsed_bytes = self._parsed_lines = 0
        if self._deadline is None:
            self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._parsed_lines += 1
        if self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._head_begun, self._message_under_way, self._head_bytes = False, True, 0
        app = self.app
        try:
            if self._too_large:
                self.url = b"/"  # it may be a part of one
                self.app = self.answers["too large"]
            elif len(self.connections) > self.limits.connections and self.url != PROBED:
                self.app = self.answers["crowded"]
            super().on_headers_complete()
        finally:
            self.app = app

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._message_under_way = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._message_under_way:  # it was answered without its body, and must not keep us with the rest
            self._wait_for_head()
        elif self._deadline is None:
            self.waiting[self] = None

    def send_400_response(self, msg: str) -> None:
        # uvicorn would write its text into the answer of the request before, if that is under way.
        self._deaf = True
        if self._free:
            message = "This is not a request of HTTP/1.1."
            self._close_with(refusal("BAD_USER_INPUT", message, 400, new_support_code(), headers=CLOSE))
        elif not self.transport.is_closing():
            self.cycle.keep_alive = False

    def _should_upgrade(self) -> bool:
        return not self._too_large and super()._should_upgrade()

    def _fits(self, more_bytes: int) -> bool:
        self._parsed_bytes += more_bytes
        if self._parsed_bytes > self.limits.head_bytes or self._parsed_lines > self.limits.head_lines:
            self._too_large = True
        return not self._too_large

    @property
    def _free(self) -> bool:
        """Whether no answer is under way that ours would run into."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.limits.head_wait_s, self._waited_enough)
        self.waiting[self] = None

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _waited_enough(self) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if not self._free:
            self.cycle.keep_alive = False
        elif self._head_begun:
            self._close_with(_too_slow("head", self.limits.head_wait_s, new_support_code()))
        else:  # it has asked nothing: a browser opens connections that it may never need
            self.transport.close()

    def _close_with(self, response: Response) -> None:
        """Answer what has no request yet, so no ASGI app either."""
        response.headers.update({**DATA_HEADERS, "x-request-id": uuid.uuid4().hex})
        if self.scheme == "https":
            response.headers["strict-transport-security"] = HSTS
        headers = b"".join(name + b": " + value + b"\r\n" for name, value in response.raw_headers)
        self.transport.write(STATUS_LINE[response.status_code] + headers + b"\r\n" + bytes(response.body))
        self.transport.close()


def bounded(
    limits: SocketSettings,
    *,
    on_crowd: Callable[[HTTPConnection], None],
    within: Callable[[ASGIApp], ASGIApp],
) -> type[BoundedProtocol]:
    """The protocol of one server: for uvicorn's `http=`.

    Args:
        on_crowd: told of each request for whose connection there is no place.
        within: what lets named pages read the answers that are made here.
    """

    async def too_large(scope: Scope, receive: Receive, send: Send) -> None:
        response = _too_large(scope["state"]["support_code"], limits)
        await response(scope, receive, headers_put(scope, send))

    async def crowded(scope: Scope, receive: Receive, send: Send) -> None:
        on_crowd(HTTPConnection(scope))
        response = _crowded(scope["state"]["support_code"])
        await response(scope, receive, headers_put(scope, send))

    told = {
        "limits": limits,
        "waiting": {},
        "unread": Unread(limits.unread_wait_s),
        "answers": {
            "too large": Correlation(within(too_large)),
            "crowded": Correlation(within(crowded)),
        },
    }
    return type("Bounded", (BoundedProtocol,), told)


class BodyDeadline:
    """ASGI middleware: the body of a request is whole in time, however many pieces it comes in, or 408.

    After the body nothing is timed: an answer may be a stream, and what comes then is the client's leaving.
    """

    def __init__(self, app: ASGIApp, *, wait_s: float) -> None:
        self._app = app
        self._wait_s = wait_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ends_at = asyncio.get_running_loop().time() + self._wait_s
        whole = answered = False

        async def receive_in_time() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError:
                raise _BodyTooSlow from None
            whole = not message.get("more_body", False)
            return message

        async def send_noting(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        with contextlib.suppress(_BodyTooSlow):
            await self._app(scope, receive_in_time, send_noting)
            return
        if not answered:
            await _too_slow("body", self._wait_s, scope["state"]["support_code"])(scope, receive, send)


class _TooManyInARow(Exception):
    """More requests came than may wait: those before are answered, and then the connection is closed."""


class _BodyTooSlow(Exception):
    """The body was not whole in time."""


def _too_slow(part: str, wait_s: float, support_code: str) -> Response:
    message = f"The {part} of the request was not whole within {wait_s:g} s."
    return refusal("REQUEST_TIMEOUT", message, 408, support_code, headers=CLOSE, retryable=True)


def _too_large(support_code: str, limits: SocketSettings) -> Response:
    message = (
        f"The head of the request is too large: {limits.head_bytes} bytes and {limits.head_lines} header "
        "lines at most. Send fewer cookies, or the operation in the body."
    )
    return refusal("HEAD_TOO_LARGE", message, 431, support_code, headers=CLOSE)


def _crowded(support_code: str) -> Response:
    return refusal(
        "SERVER_BUSY",
        "Too many connections are open. Try again in a moment.",
        503,
        support_code,
        headers={**CLOSE, "retry-after": str(BUSY_FOR_S)},
        retryable=True,
        retry_after_ms=BUSY_FOR_S * 1000,
    )
