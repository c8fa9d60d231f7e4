"""What was written to a client that does not fetch it, or is gone: how much, since when, and its end.

uvicorn waits for ever for a client that does not read. What it holds for such a client is bounded: nothing
more is made for a connection whose answer before is not fetched. Here its time is bounded as well: of what
waits, `FETCHED_BYTES` are fetched within `unread_wait_s`, or all if it is less, else the connection is cut.
"""

import asyncio
import time
import weakref
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

FETCHED_BYTES = 16 * 1024  # in 20 s: slower than any modem, and a window's worth less than what may wait

log = structlog.get_logger()


class Outgoing:
    """A transport that knows how much of what was written the other side has taken."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written_bytes = 0
        self._taken_bytes = 0  # when it was looked at last, and had moved
        self._moved_at_s = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._written_bytes += len(data)
        self._transport.write(data)

    def unread_for_s(self, now_s: float) -> float:
        """Seconds for which next to nothing of what waits was taken; 0 when nothing waits."""
        waiting_bytes = self._transport.get_write_buffer_size()
        taken_bytes = self._written_bytes - waiting_bytes
        if not waiting_bytes or taken_bytes - self._taken_bytes >= FETCHED_BYTES:
            self._taken_bytes, self._moved_at_s = taken_bytes, now_s
        return now_s - self._moved_at_s


class Unread:
    """The connections of one server, closed ones included until the other side has taken all."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._connections: weakref.WeakSet[Outgoing] = weakref.WeakSet()

    def watched(self, transport: asyncio.Transport) -> Outgoing:
        """The transport of a new connection, as its protocol is to use it."""
        connection = Outgoing(transport)
        self._connections.add(connection)
        return connection

    def cut(self) -> None:
        """Cut the connections off whose clients do not read; to be called every now and then."""
        now_s = time.monotonic()
        stuck = [one for one in self._connections if one.unread_for_s(now_s) >= self._wait_s]
        for connection in stuck:
            connection.abort()
        if stuck:  # one event for all: a stranger opens as many as they like
            log.info("connections.cut", unread=len(stuck), wait_s=self._wait_s)


class QuietSocket(WebSocketsSansIOProtocol):
    """A WebSocket as uvicorn's own class serves it, which answers no ping of a client that does not read.

    RFC 6455, section 5.5.3, asks for an answer to the newest ping only; uvicorn answers each.
    """

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the pong


class Unheard:
    """ASGI wrapper: an answer to a connection that is gone is dropped, as uvicorn does once it knows of it.

    uvloop closes a connection some time before it says so; a stranger who drops connections in between would
    fill the log with tracebacks, and with words about answers that are not whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dropped = False

        async def send_or_drop(message: Message) -> None:
            nonlocal dropped
            try:
                await send(message)
            except RuntimeError as exc:
                if "the handler is closed" not in str(exc):
                    raise
                dropped = True

        await self._app(scope, receive, send_or_drop if scope["type"] == "http" else send)
        while dropped and (await receive())["type"] != "http.disconnect":
            pass
