"""`python attacked_server.py PORT`: a BFF as `bff serve` runs it, over the sandbox; it tells how it is."""

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from stolen import Stolen

from bff import server
from bff.app import create_app
from bff.cli import dev_settings
from bff.rates import RateSettings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import seed
from bff.settings.connections import SocketSettings
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from clients.embedded import EmbeddedTransport

PAGE_BYTES = 4096
STOLEN_HEADER = "x-stolen-ms"
CLAIMS = 20
WAIT_S = 2.0  # for heads and bodies: an attack by slowness must not take the time of the drill


def settings() -> Settings:
    """Those of production, but for the sandbox's secrets; `X-Rehearse` is open, so that it is attacked."""
    return dev_settings().model_copy(
        update={
            "dev": False,
            "docs": False,
            "watch_every_s": 0.2,
            "rates": RateSettings(mode="off"),  # what lies behind them must hold as well
            "sockets": SocketSettings(head_wait_s=WAIT_S, body_wait_s=WAIT_S),
        }
    )


class TellStolen:
    """ASGI middleware: each answer says how long the machine has let this process wait for a core so far."""

    def __init__(self, app: ASGIApp, stolen: Stolen) -> None:
        self._app = app
        self._stolen = stolen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[STOLEN_HEADER] = f"{self._stolen.total_s * 1000:.0f}"
            await send(message)

        await self._app(scope, receive, send_telling)


def watched(made: FastAPI, stolen: Stolen) -> None:
    """Have what the machine takes counted while an app runs."""
    started = made.router.lifespan_context

    @contextlib.asynccontextmanager
    async def counting(served: FastAPI) -> AsyncIterator[Any]:
        watching = asyncio.create_task(stolen.watch())
        async with started(served) as state:
            yield state
        watching.cancel()

    made.router.lifespan_context = counting


def app() -> FastAPI:
    sandbox, stolen = Sandbox(seed(CLAIMS)), Stolen()
    made = create_app(
        settings(),
        base=lambda name, _: EmbeddedTransport(app=sandbox.apps[name]),
        stripe_claim_ids=sandbox.world.stripe_claim_ids,
    )
    made.add_middleware(TellStolen, stolen=stolen)
    watched(made, stolen)

    @made.get("/drill")
    def account() -> dict[str, int]:
        """Resident memory in bytes when all is collected, writes so far, open streams, tasks."""
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
        return {
            "rss_bytes": resident,
            "writes": len(sandbox.writes),
            "streams": len(made.state.streams),
        }

    return made


if __name__ == "__main__":
    configure_logging(readable=False, level=logging.WARNING)
    server.run(app(), settings(), "127.0.0.1", int(sys.argv[1]))
