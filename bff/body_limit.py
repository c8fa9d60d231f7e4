"""How much a request may send: its body and its query string, whichever route it is for."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.errors import Refused, refused


class BodyLimit:
    """ASGI middleware: refuses what is larger, before it is read where its length is told, else while it is.

    Starlette's own, which FastAPI's `max_body_size` is made of, answers in plain text whatever the app says.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        length = int(told) if told.isascii() and told.isdigit() and len(told) < 20 else 0
        if max(length, len(scope["query_string"])) > self._limit_bytes:
            await refused(Request(scope), self._too_large())(scope, receive, send)
            return
        received_bytes = 0

        async def receive_within() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._limit_bytes:
                raise self._too_large()
            return message

        await self._app(scope, receive_within, send)

    def _too_large(self) -> Refused:
        return Refused(
            f"A request may have {self._limit_bytes:,} bytes at most.", code="REQUEST_TOO_LARGE", status=413
        )
