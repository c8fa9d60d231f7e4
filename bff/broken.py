"""A fault of ours: told like every other refusal, inside of all that an answer passes on its way out."""

import structlog
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.errors import Refused, refused

log = structlog.get_logger()


class BrokenTold:
    """ASGI middleware: what nobody has caught is logged once, and answered with 500 and a support code.

    Starlette's own place for that is outside of everybody's middleware: such an answer has no correlation id,
    and a browser's page may not read it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as exc:
            if begun:  # half an answer: the server closes the connection, and says so
                raise
            code = scope["state"]["support_code"]
            log.error("request.broken", support_code=code, path=scope["path"], exc_info=exc)
            message = "Something went wrong on our side. Quote the support code."
            refusal = Refused(message, code="INTERNAL_SERVER_ERROR", status=500)
            await refused(HTTPConnection(scope), refusal)(scope, receive, send)
