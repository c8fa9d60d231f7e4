"""A BFF on a real port over the sandbox, and clients of its streams."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from bff_under_test import limits
from fastapi import FastAPI
from late import WITHIN_S
from websockets.asyncio.client import ClientConnection, connect

from bff.app import create_dev_app
from bff.auth import SCOPES
from bff.cli import dev_settings
from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import Seller
from bff.server import config_of
from bff.settings.connections import StreamSettings
from bff.settings.settings import Settings


@dataclass
class Socket:
    """A client of graphql-transport-ws; answers pings, and keeps what is for an operation apart."""

    connection: ClientConnection
    pings: int = 0
    _kept: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, message: object) -> None:
        await self.connection.send(json.dumps(message))

    async def subscribe(self, id: str, document: str, /, **variables: Any) -> None:
        payload = {"query": stored_operations().get(document, document), "variables": variables}
        await self.send({"id": id, "type": "subscribe", "payload": payload})

    async def received(self, id: str | None = None) -> dict[str, Any]:
        """The next message, of one operation if told which."""
        for message in self._kept:
            if message.get("id") == id:
                self._kept.remove(message)
                return message
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = json.loads(await self.connection.recv())
                if message["type"] == "ping":
                    self.pings += 1
                    await self.send({"type": "pong"})
                elif message.get("id") == id:
                    return message
                else:
                    self._kept.append(message)

    async def event(self, id: str, field_name: str) -> Any:
        """The next event of one subscription."""
        message = await self.received(id)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"][field_name]

    async def silent(self, id: str, for_s: float) -> bool:
        """Whether nothing comes for an operation in so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                self._kept.append(await self.received(id))
                return False
        return True

    async def closed(self) -> tuple[int | None, str | None]:
        """Code and reason, once the server has closed the socket."""
        async with asyncio.timeout(WITHIN_S):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@dataclass
class Served:
    """One BFF on a port."""

    app: FastAPI
    sandbox: Sandbox
    settings: Settings
    port: int

    def token(self, seller: Seller = SELLERS[0], *, expires_in_s: float = 3600, scopes: Any = SCOPES) -> str:
        return DevIssuer(self.settings.jwt_secret).token(
            user_id=seller.user_id,
            email=seller.email,
            name=seller.name,
            stripe_user_id=seller.stripe_user_id,
            scopes=scopes,
            expires_in=timedelta(seconds=expires_in_s),
        )

    def headers(self, seller: Seller = SELLERS[0], **more: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(seller, **more)}"}

    def opened(self, **options: Any) -> Any:
        """A WebSocket that has said nothing yet."""
        options = {"subprotocols": ["graphql-transport-ws"], "proxy": None} | options
        return connect(f"ws://127.0.0.1:{self.port}/graphql", **options)

    @contextlib.asynccontextmanager
    async def socket(self, seller: Seller = SELLERS[0], **token: Any) -> AsyncIterator[Socket]:
        """A WebSocket that is acknowledged."""
        async with self.opened() as connection:
            made = Socket(connection)
            await made.send(
                {
                    "type": "connection_init",
                    "payload": {"Authorization": f"Bearer {self.token(seller, **token)}"},
                }
            )
            assert (await made.received())["type"] == "connection_ack"
            yield made

    def calls(self) -> list[str]:
        """Paths of upstream requests so far, /health aside; then forget them."""
        paths = [call.path for call in self.sandbox.calls if call.path != "/health"]
        self.sandbox.calls.clear()
        return paths

    async def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@contextlib.asynccontextmanager
async def serving(
    *,
    claims: int = 10,
    sandbox: Sandbox | None = None,
    heartbeat_s: float = 15.0,
    init_wait_s: float = 5.0,
    operations: int = 100,
    **told: Any,
) -> AsyncIterator[Served]:
    """A BFF on a free port until the block ends; its polls are quick, and its services are waited for."""
    sandbox = sandbox or Sandbox(seed(claims))
    streams = StreamSettings(heartbeat_s=heartbeat_s, init_wait_s=init_wait_s, operations=operations)
    dev = dev_settings()
    usual = {"watch_every_s": 0.1, "streams": streams, "operation_budget_s": WITHIN_S, **limits((), dev)}
    settings = dev.model_copy(update={**usual, **told})
    app = create_dev_app(sandbox, settings, seller=SELLERS[0])
    config = config_of(app, settings, "127.0.0.1", 0, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield Served(app, sandbox, settings, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await running
