"""A BFF on a real socket, in this process, and raw connections to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from late import WITHIN_S

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.operations import stored_operations
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.server import Server, config_of
from bff.settings.connections import SocketSettings


@dataclass
class Served:
    """One BFF on a port of 127.0.0.1."""

    app: FastAPI
    sandbox: Sandbox
    server: Server
    port: int
    token: str
    connections: list["Connection"] = field(default_factory=list)  # closed with the server

    async def connect(self) -> "Connection":
        self.connections.append(Connection(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.connections[-1]

    async def asked(self) -> None:
        """Wait until a service was asked something."""
        async with asyncio.timeout(WITHIN_S):
            while all(call.path == "/health" for call in self.sandbox.calls):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def request(self, operation: str, *, more: Mapping[str, str] | None = None) -> tuple[bytes, bytes]:
        """Head and body of a stored operation, as bytes."""
        body = json.dumps({"query": stored_operations()[operation]}).encode()
        headers = {
            "host": "bff",
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **(more or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /graphql HTTP/1.1\r\n{lines}\r\n".encode(), body


@dataclass
class Answer:
    """What came back on a connection."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        return self.body["errors"][0]["extensions"]["code"]


@dataclass
class Connection:
    """One connection of a client that writes whatever it likes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> "Connection":
        for part in parts:
            self.writer.write(part)
        await self.writer.drain()
        return self

    async def answer(self) -> Answer:
        """The next answer; its body is JSON of a told length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, json.loads(body))

    async def rest(self) -> bytes:
        """What comes until the other side closes."""
        with contextlib.suppress(ConnectionResetError):
            return await self.reader.read()
        return b""


@contextlib.asynccontextmanager
async def serving(sandbox: Sandbox | None = None, /, **told: Any) -> AsyncIterator[Served]:
    """Serve a BFF over a sandbox; options that a `SocketSettings` has go there, the rest to `Settings`.

    The refund engine has most of an operation's time: it is the one that tests let be slow.
    """
    sockets = {name: told.pop(name) for name in list(told) if name in SocketSettings.model_fields}
    dev = dev_settings()
    told = {"refund_engine": dev.refund_engine.model_copy(update={"timeout_s": 4.5}), **told}
    settings = dev.model_copy(update={"sockets": SocketSettings(**sockets), **told})
    sandbox = sandbox or Sandbox(seed(10))
    app = create_dev_app(sandbox, settings, seller=SELLERS[0])
    server = Server(config_of(app, settings, "127.0.0.1", 0), app.state.drain, settings)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    bff = Served(app, sandbox, server, port, dev_token(settings, SELLERS[0]))
    try:
        yield bff
    finally:
        for connection in bff.connections:
            connection.writer.close()
        server.should_exit = True
        await running
