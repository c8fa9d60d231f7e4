"""How the process leaves without losing an answer.

told to stop   /readyz answers 503, so that load balancers send nobody any more; all else is served as before,
               and each answer closes its connection, so that the next request goes elsewhere
after the lead no connection is accepted; requests under way are finished, also those of WebSockets
then           streams are closed: `on_drain`
then           everything else is
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


class Drain:
    """Whether the process is leaving, and what it still has to do before."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing: list[Callable[[], Awaitable[None]]] = []

    @property
    def draining(self) -> bool:
        return self.begun.is_set()

    @property
    def under_way(self) -> int:
        """Requests whose answer is not whole yet; one that is known not to end is none."""
        return self._under_way

    def on_drain(self, close_streams: Callable[[], Awaitable[None]]) -> None:
        """Have something called when no request is under way any more: what closes streams, with a word."""
        self._closing.append(close_streams)

    async def requests_ended(self) -> None:
        """Wait until no request is under way."""
        await self._idle.wait()

    async def close_streams(self) -> None:
        """Call all who asked for it with `on_drain`; one that fails does not keep the others."""
        outcomes = await asyncio.gather(*(close() for close in self._closing), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log.error("stream.close_failed", exc_info=outcome)

    @contextlib.contextmanager
    def counting(self) -> Iterator[Callable[[], None]]:
        """Count a request as under way while the block lasts, or until what this yields is called."""
        counted = True

        def ended() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        self._under_way += 1
        self._idle.clear()
        try:
            yield ended
        finally:
            ended()


class UnderWay:
    """ASGI middleware: counts requests that are under way; sends clients elsewhere once we are leaving.

    Whoever gives an answer that does not end calls `never_ends` of the request's state: nobody waits for it.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._drain.counting() as ended:
            scope["state"]["never_ends"] = ended

            async def send_watching(message: Message) -> None:
                if message["type"] == "http.response.start" and self._drain.draining:
                    MutableHeaders(scope=message)["connection"] = "close"
                await send(message)

            await self._app(scope, receive, send_watching)
