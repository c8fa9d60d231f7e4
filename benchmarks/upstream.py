"""The six services as fast as Python can be: the sandbox's own answers, recorded at the first request.

Each distinct request is asked of the sandbox once; after that its bytes are sent from memory, headers too, so
that the services are not what is measured. Each viewer is shown a seller's rows under the viewer's own id.
Requests are counted by service, probes left out.
"""

import asyncio
import base64
import json
import sys
from collections import Counter
from functools import lru_cache, partial
from typing import cast

import httpx
from pydantic import SecretStr

from benchmarks.names import CONTROL, SERVICE_SECRETS
from benchmarks.viewers import CLAIMS, MANY_CLAIMS, as_viewer, seller_of
from bff.sandbox.sandbox import SERVICES, Sandbox
from bff.sandbox.seed import seed
from clients.tokens import TokenMint

_END = b"\r\n\r\n"
_SENT_BY_US = {"content-length", "connection", "date", "server", "transfer-encoding"}


class Recorded:
    """The answers, by service, target and viewer; and how often each service was asked."""

    def __init__(self) -> None:
        self.world = seed(claims=CLAIMS, other_claims=MANY_CLAIMS)
        self.sandbox = Sandbox(self.world, secrets=SERVICE_SECRETS)
        self.counts: Counter[str] = Counter()
        self.answers: dict[tuple[str, bytes, bytes], bytes] = {}
        self._mints = {name: TokenMint(name, SecretStr(secret)) for name, secret in SERVICE_SECRETS.items()}
        self._asking = {
            name: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox")
            for name, app in self.sandbox.apps.items()
        }

    def facts(self) -> dict[str, object]:
        """What the benchmark asks us: calls so far, and stripe's integers of the claims."""
        return {"counts": dict(self.counts), "stripe_claim_ids": self.world.stripe_claim_ids}

    async def ask(self, service: str, target: bytes, bearer: bytes) -> bytes:
        """Ask the sandbox and keep what it says."""
        headers, viewer_id = {}, _viewer_id(bearer)
        seller = seller_of(viewer_id) if viewer_id else None
        if seller:
            headers["authorization"] = f"Bearer {self._mints[service].token(as_viewer(seller))}"
        answer = await self._asking[service].get(target.decode(), headers=headers)
        body = answer.content
        if seller:
            body = body.replace(seller.user_id.encode(), viewer_id.encode())
        lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}", f"content-length: {len(body)}"]
        lines += [f"{name}: {text}" for name, text in answer.headers.items() if name not in _SENT_BY_US]
        sent = "\r\n".join(lines).encode() + _END + body
        self.answers[service, target, viewer_id.encode()] = sent
        return sent


class Connection(asyncio.Protocol):
    """One keep-alive connection of a client that sends GETs, one after the other."""

    transport: asyncio.Transport

    def __init__(self, service: str, recorded: Recorded) -> None:
        self._service, self._recorded = service, recorded
        self._received = b""
        self._recording: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its bases

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_END)) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        line, *headers = head.split(b"\r\n")
        target = line.split(b" ")[1]
        if self._service == CONTROL:
            body = json.dumps(self._recorded.facts()).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        if target != b"/health":
            self._recorded.counts[self._service] += 1
        bearer = next((h[14:].strip() for h in headers if h[:14].lower() == b"authorization:"), b"")
        viewer_id = _viewer_id(bearer)
        found = self._recorded.answers.get((self._service, target, viewer_id.encode()))
        if found:
            self.transport.write(found)
        else:
            self._recording = asyncio.create_task(self._record(target, bearer))

    async def _record(self, target: bytes, bearer: bytes) -> None:
        self.transport.write(await self._recorded.ask(self._service, target, bearer))


@lru_cache(maxsize=10_000)
def _viewer_id(bearer: bytes) -> str:
    """Whom a token names, by UUID or by stripe's integer; nobody checks it here."""
    if not bearer:
        return ""
    claims = json.loads(base64.urlsafe_b64decode(bearer.split(b".")[1] + b"=="))
    return str(claims.get("id") or claims["userId"])


async def serve() -> None:
    """Serve each service on a port of its own until killed; print the ports as JSON."""
    recorded, loop, ports = Recorded(), asyncio.get_running_loop(), {}
    for name in (*SERVICES, CONTROL):
        server = await loop.create_server(partial(Connection, name, recorded), "127.0.0.1", 0)
        ports[name] = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
