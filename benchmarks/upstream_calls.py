"""CPU microseconds of one upstream call, and of each part of it, against a bare server in another process.

    .venv/bin/python benchmarks/upstream_calls.py [calls]

row                    what is paid for
plain aiohttp          `session.get` and `read`, with our headers: the measure of all others
base alone             a request, the last link of production, the answer read
call, no network       the whole `Upstream.call`, its last link answering at once
call                   the whole `Upstream.call`; the body is taken as it is, not parsed
... not logged         the same, and its event is below the level that is written
... not kept           the same, of an operation that is shared while it is under way, and not kept
... not shared         the same, of an operation that is neither
... without X          the same, with one link of the chain left out

All rows are measured in turn, five times, in one run; the least counts. A row's CPU is this process's own
(`time.process_time`): what the server pays is not in it. Only ratios of one run mean anything.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, cast

import aiohttp
import httpx
import structlog
import uvloop
from pydantic import TypeAdapter

from bff.telemetry import configure_logging
from clients.caller import Caller, Deadline, Viewer
from clients.chain.attempt import Attempt
from clients.chain.breaker import Breaker, BreakerSettings
from clients.chain.bulkhead import Bulkhead
from clients.chain.memory import Memory
from clients.chain.observed import Observed
from clients.chain.rehearsal import Rehearsal
from clients.chain.request import Asked
from clients.chain.retry import Retries
from clients.quota import Quota
from clients.shelf import MemoryShelf, Shelf
from clients.transport import Upstream, UpstreamSettings, network

BODY = (
    b'{"data":['
    + b",".join([b'{"id":"5e11e200-0a00-4000-8000-000000000001","n":%d}' % n for n in range(38)])
    + b"]}"
)
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
    b"X-RateLimit-Limit: 1000000\r\nX-RateLimit-Remaining: 999999\r\nX-RateLimit-Reset: 4000000000\r\n"
    b"Date: Tue, 01 Jan 2030 00:00:00 GMT\r\nConnection: keep-alive\r\n\r\n" % len(BODY)
)
AT_ONCE = (1, 16, 64)
ROUNDS = 5
RESERVE_S = 0.05
PLAIN, NOT_LOGGED = "plain aiohttp", "... not logged"
VIEWER = Viewer(
    user_id="5e11e200-0a00-4000-8000-000000000001",
    email="ann@example.test",
    name="Ann",
    stripe_user_id=101,
    scopes=frozenset(),
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
)
Ask = Callable[[int], Awaitable[object]]


class Server(asyncio.Protocol):
    """Answers every request with the same bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write((HEAD + BODY) * data.count(b"\r\n\r\n"))


def serve(port_to: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=512)
        port_to.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


class AsItIs:
    """In the place of a `TypeAdapter`: parsing is measured elsewhere."""

    def validate_json(self, body: bytes) -> bytes:
        return body


class AtOnce(httpx.AsyncBaseTransport):
    """A network that costs nothing."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, content=BODY)


def settings_for(port: int) -> UpstreamSettings:
    return UpstreamSettings.model_validate(
        {
            "base_url": f"http://127.0.0.1:{port}",
            "jwt_secret": "a-secret-of-thirty-two-characters",
            "in_flight": 100,
            "timeout_s": 30,
        }
    )


def call(upstream: Upstream, operation: str) -> Ask:
    shape = cast(TypeAdapter[Any], AsItIs())
    callers = [Caller(VIEWER, Deadline(3600)) for _ in range(64)]

    async def ask(nth: int) -> object:
        return await upstream.call(
            callers[nth % 64], operation, "GET", "/api/v1/claims", shape, params={"limit": 20, "offset": nth}
        )

    return ask


def relinked(upstream: Upstream, base: httpx.AsyncBaseTransport, shelf: Shelf, left_out: str) -> Upstream:
    """The same with one link of its chain left out: what `clients/chain/links.py` does, but for that."""
    link: httpx.AsyncBaseTransport = Attempt(base, Quota(), reserve_s=RESERVE_S)
    if left_out != "breaker":
        link = Breaker(link, upstream.name, BreakerSettings())
    if left_out != "retries":
        link = Retries(link)
    if left_out != "bulkhead":
        link = Bulkhead(link, 100)
    link = Observed(link, lambda _: None)
    if left_out != "rehearsal":
        link = Rehearsal(link)
    upstream._chain = replace(upstream._chain, first=Memory(link, shelf, reserve_s=RESERVE_S))
    return upstream


async def rows(port: int, closing: AsyncExitStack) -> dict[str, Ask]:
    settings = settings_for(port)
    address = f"http://127.0.0.1:{port}/api/v1/claims"
    headers = {"accept": "application/json", "authorization": "Bearer " + "x" * 250, "x-request-id": "c-1"}
    connector = aiohttp.TCPConnector(limit=100, ttl_dns_cache=30)
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector)
    closing.push_async_callback(session.close)
    shelf = MemoryShelf()
    await shelf.open()
    closing.push_async_callback(shelf.close)

    def over_sockets() -> httpx.AsyncBaseTransport:
        base = network(settings)
        closing.push_async_callback(base.aclose)
        return base

    def upstream(base: httpx.AsyncBaseTransport) -> Upstream:
        return Upstream("refund-engine", settings, base, shelf=shelf, reserve_s=RESERVE_S)

    async def plain(nth: int) -> object:
        async with session.get(address, params={"limit": 20, "offset": nth}, headers=headers) as response:
            return await response.read()

    base = over_sockets()

    async def base_alone(nth: int) -> object:
        request = Asked(
            "GET",
            f"{address}?limit=20&offset={nth}",
            headers={"host": f"127.0.0.1:{port}", **headers},
            content=b"",
            extensions={},
        )
        response = await base.handle_async_request(request)
        await response.aread()
        await response.aclose()
        return response.content

    def without(left_out: str) -> Ask:
        base = over_sockets()
        return call(relinked(upstream(base), base, shelf, left_out), "listClaims")

    return {
        PLAIN: plain,
        "base alone": base_alone,
        "call, no network": call(upstream(AtOnce()), "listClaims"),
        "call": call(upstream(over_sockets()), "listClaims"),
        NOT_LOGGED: call(upstream(over_sockets()), "listClaims"),
        "... not kept": call(upstream(over_sockets()), "listLedger"),
        "... not shared": call(upstream(over_sockets()), "getDocument"),
        **{f"... without {link}": without(link) for link in ("rehearsal", "bulkhead", "retries", "breaker")},
    }


async def cpu_us(ask: Ask, calls: int, at_once: int, numbers: "count[int]") -> float:
    async def client() -> None:
        for _ in range(calls // at_once):
            await ask(next(numbers))

    started_s = time.process_time()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return (time.process_time() - started_s) / (calls // at_once * at_once) * 1e6


async def table(port: int, calls: int) -> str:
    numbers = count()
    found: dict[tuple[str, int], float] = {}
    async with AsyncExitStack() as closing:
        asked = await rows(port, closing)
        with structlog.contextvars.bound_contextvars(correlation_id="c-1", support_code="OP-1"):
            for ask in asked.values():
                await cpu_us(ask, 200, 64, numbers)
            gc.collect()
            gc.freeze()  # or one row or another pays for going through all that was imported
            for _ in range(ROUNDS):
                for name, ask in asked.items():
                    configure_logging(
                        readable=False, level=logging.WARNING if name == NOT_LOGGED else logging.INFO
                    )
                    for at_once in AT_ONCE:
                        us = await cpu_us(ask, calls, at_once, numbers)
                        found[name, at_once] = min(us, found.get((name, at_once), us))
    lines = [f"{'':<22}" + "".join(f"{f'{n} at once':>18}" for n in AT_ONCE)]
    for name in asked:
        cells = [(found[name, n], found[name, n] / found[PLAIN, n]) for n in AT_ONCE]
        lines.append(f"{name:<22}" + "".join(f"{us:>10.0f} {ratio:>5.2f} x" for us, ratio in cells))
    return "\n".join(lines)


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    port_here, port_there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port_there,), daemon=True)
    server.start()
    told = sys.stdout
    with open(os.devnull, "w") as sys.stdout:  # noqa: PTH123 # the log is written, and nobody reads it
        try:
            found = uvloop.run(table(port_here.recv(), calls))
        finally:
            server.terminate()
            server.join()
            sys.stdout = told
    sys.stdout.write(f"CPU µs a call, and how often that of plain aiohttp\n{found}\n")


if __name__ == "__main__":
    main()
