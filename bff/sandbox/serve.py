"""The sandbox on real ports: one server for each of the six, and one for the knobs and files."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bff.sandbox.sandbox import CONTROL_PORT, PORTS, Sandbox


async def serve(
    sandbox: Sandbox,
    host: str = "127.0.0.1",
    ports: Mapping[str, int] = PORTS,
    control_port: int = CONTROL_PORT,
) -> None:
    """Serve until cancelled.

    Raises:
        OSError: a port is taken; nothing is served then.
    """
    with contextlib.ExitStack() as opened:
        listening = [
            (_server(app, partial(sandbox.down.__contains__, name)), _listen(opened, host, ports[name]))
            for name, app in sandbox.apps.items()
        ]
        listening.append((_server(sandbox.control, lambda: False), _listen(opened, host, control_port)))
        running = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in listening]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for server, _ in listening:
                server.should_exit = True
            await asyncio.gather(*running)


def _listen(opened: contextlib.ExitStack, host: str, port: int) -> socket.socket:
    # Opened here rather than by uvicorn, which would end the whole process when a port is taken.
    return opened.enter_context(socket.create_server((host, port)))


def _server(app: ASGIApp, is_down: Callable[[], bool]) -> uvicorn.Server:
    class Hangup(H11Protocol):
        """Drops the connection unanswered when the service is down: what a caller sees of a dead process."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.app = _dropping(app, transport)

        def data_received(self, data: bytes) -> None:
            if is_down():
                self.transport.abort()
            else:
                super().data_received(data)

    return _Server(
        uvicorn.Config(
            app,
            http=Hangup,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,  # a request that hangs because its fault says so must not hold us
        )
    )


def _dropping(app: ASGIApp, transport: asyncio.Transport) -> ASGIApp:
    """Make a reset that ``app`` raises a reset of the real connection; uvicorn would answer 500."""

    async def drop(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ConnectionResetError:
            transport.abort()
            while (await receive())["type"] != "http.disconnect":
                pass

    return drop


class _Server(uvicorn.Server):
    """Leaves signals alone: who called ``serve`` decides when it ends, by cancelling it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
