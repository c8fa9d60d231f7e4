"""The process under attack, a client beside it that behaves well, and what an attack may do to either."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from silence import complaints
from websockets.asyncio.client import connect

from bff.sandbox.seed import SELLERS

AVERY, NOOR = SELLERS
WAIT_AT_MOST_S = 0.5
GROWTH_AT_MOST_BYTES = 128 * 1024 * 1024  # from before the first attack to after any of them
FOR_S = 0.3
AT_ONCE = 8
ANSWERED_WITHIN_S = 30.0


@dataclass
class Ledger:
    """What the drill measured: attack → attempts, worst wait of the bystander, memory."""

    rows: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    rss_bytes: int = 0  # before the first attack

    def __str__(self) -> str:
        lines = [
            f"{worst_s * 1000:7.0f} ms  {rss_mb:7.1f} MB  {tried:6d} × {name}"
            for name, (tried, worst_s, rss_mb) in sorted(self.rows.items(), key=lambda row: -row[1][1])
        ]
        tried = sum(row[0] for row in self.rows.values())
        return "\n".join(
            [*lines, f"{self.rss_bytes / 2**20:.0f} MB before, {len(self.rows)} attacks, {tried} attempts"]
        )


@dataclass
class Target:
    """One BFF on a port of 127.0.0.1."""

    port: int
    token: str  # the attacker's: a seller with a good token of their own
    http: httpx.AsyncClient
    wrong: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    tried: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Send a request, with the attacker's token unless told otherwise; None when nothing came back."""
        headers = more.pop("headers", None)
        try:
            response = await self.http.request(
                method, path, headers=self.headers if headers is None else headers, **more
            )
        except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
            self.tried += 1
            return None
        self.judge(response.status_code, f"{response.headers.raw!r}\n{response.text}")
        return response

    async def ask(self, document: str, /, **variables: Any) -> Any:
        """Ask the graph; the body of the answer."""
        response = await self.send("POST", "/graphql", json={"query": document, "variables": variables})
        return response.json() if response is not None else None

    async def raw(self, *parts: bytes, for_s: float = 3.0, pause_s: float = 0.0) -> bytes:
        """Write bytes to a connection of their own; all that comes back before it is closed or left."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = b""
        try:
            async with asyncio.timeout(for_s):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
                while chunk := await reader.read(65536):
                    said += chunk
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
        self.judge_stream(said)
        return said

    def judge_stream(self, said: bytes) -> None:
        """Judge all answers on one connection."""
        text = said.decode("latin-1")
        for answer in text.split("HTTP/1.1 ")[1:] or [""]:
            self.judge(int(answer[:3]) if answer[:3].isdigit() else 0, answer)

    def judge(self, status: int, text: str) -> None:
        self.tried += 1
        self.statuses.add(status)
        self.wrong += complaints(status, text)

    def opened(self, **options: Any) -> Any:
        """A WebSocket that has said nothing yet."""
        told = {
            "subprotocols": ["graphql-transport-ws"],
            "proxy": None,
            "max_size": None,
            "open_timeout": 20,
            "close_timeout": 0.2,
        }
        return connect(f"ws://127.0.0.1:{self.port}/graphql", **{**told, **options})

    @contextlib.asynccontextmanager
    async def socket(self) -> AsyncIterator[Any]:
        """A WebSocket of the attacker that is acknowledged."""
        async with self.opened() as connection:
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self.token}"}}
            await connection.send(json.dumps(init))
            assert json.loads(await connection.recv())["type"] == "connection_ack"
            yield connection

    async def pressed(
        self,
        attempts: Sequence[Callable[[], Awaitable[Any]]],
        *,
        at_once: int = AT_ONCE,
        for_s: float = FOR_S,
    ) -> None:
        """Make each attempt at least once, several at once, and all of them again until the time is over."""
        ends_at_s, turn = time.monotonic() + for_s, iter(range(10**9))

        async def work() -> None:
            while (nth := next(turn)) < len(attempts) or time.monotonic() < ends_at_s:
                await attempts[nth % len(attempts)]()

        await asyncio.gather(*(work() for _ in range(at_once)))

    async def account(self) -> dict[str, int]:
        """What the process says of itself."""
        found: dict[str, int] = (await self.http.get("/drill")).json()
        return found


@dataclass
class Bystander:
    """Reads what the client beside the attack writes down."""

    written: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    _read_bytes: int = 0

    async def until_asked_at(self, at_s: float) -> None:
        """Wait for the answer to a question of after that time, and for the next one's account."""
        give_up_at_s = time.monotonic() + 60
        while len(self.lines) < 2 or self.lines[-2]["asked_at_s"] < at_s:
            assert time.monotonic() < give_up_at_s, "the client beside the attack was not answered any more"
            await asyncio.sleep(0.02)
            self._read()

    def between(self, from_s: float, to_s: float) -> tuple[float, list[str]]:
        """The longest wait without what the machine took, and each answer that was not whole."""
        worst_s, said = 0.0, []
        for before, line, after in zip(self.lines, self.lines[1:], self.lines[2:], strict=False):
            if not from_s <= line["asked_at_s"] <= to_s:
                continue
            if line["said"]:
                said.append(line["said"])
            told = [each["told_stolen_ms"] for each in (before, after)]
            theirs_s = (told[1] - told[0]) / 1000 if None not in told else 0.0
            worst_s = max(worst_s, line["wait_s"] - line["own_stolen_s"] - theirs_s)
        self.lines = self.lines[-3:]
        return worst_s, said

    def _read(self) -> None:
        with self.written.open("rb") as file:
            file.seek(self._read_bytes)
            *whole, _ = file.read().split(b"\n")
        self._read_bytes += sum(len(line) + 1 for line in whole)
        self.lines += map(json.loads, whole)
