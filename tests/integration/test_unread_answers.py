"""Clients that do not read, on every transport: they are cut off, and nothing of theirs stays."""

import asyncio
import json
import os
import socket
from collections.abc import Callable

import anyio
import pytest
from graphql import get_introspection_query
from served import Connection, Served, serving
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect

from bff.settings.connections import StreamSettings

WAIT_S = 0.5
BUFFER_BYTES = 4096  # of the kernel: else an answer of some hundred KB lies there, and nobody waits
INTROSPECTION = get_introspection_query()
HEALTH = "subscription { serviceHealth { sequence } }"  # silent: what fills the buffer are signs of life
STREAMS = {
    "sse": ("text/event-stream", INTROSPECTION),
    "multipart": ("multipart/mixed;subscriptionSpec=1.0", HEALTH),
}


def narrow(bff: Served) -> None:
    """From now on each connection holds little in the kernel."""
    with socket.socket(fileno=os.dup(bff.server.servers[0].sockets[0].fileno())) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


def client_socket(bff: Served) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    made.connect(("127.0.0.1", bff.port))
    made.setblocking(False)
    return made


async def mute(bff: Served, *requests: bytes) -> Connection:
    """A connection whose client writes, and reads nothing."""
    connection = Connection(*await asyncio.open_connection(sock=client_socket(bff), limit=1024))
    bff.connections.append(connection)
    return await connection.send(*requests)


async def socket_of(bff: Served) -> ClientConnection:
    """A WebSocket that is acknowledged, and is read as slowly as its client likes."""
    opened = await connect(
        f"ws://127.0.0.1:{bff.port}/graphql",
        sock=client_socket(bff),
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        proxy=None,
        max_queue=1,
        ping_interval=None,
        close_timeout=0.1,
    )
    init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {bff.token}"}}
    await opened.send(json.dumps(init))
    assert json.loads(await opened.recv())["type"] == "connection_ack"
    return opened


def asked(bff: Served, document: str, accept: str = "application/json") -> bytes:
    body = json.dumps({"query": document}).encode()
    return (
        f"POST /graphql HTTP/1.1\r\nhost: bff\r\nauthorization: Bearer {bff.token}\r\naccept: {accept}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def until(true: Callable[[], bool], within_s: float = 20) -> None:
    with anyio.fail_after(within_s):
        while not true():  # noqa: ASYNC110 - another side has no event for it
            await asyncio.sleep(0.02)


async def until_stuck_and_gone(bff: Served) -> None:
    """Wait until something is left lying, and then until its connection is gone."""
    connections = bff.server.server_state.connections
    await until(lambda: any(one.transport.get_write_buffer_size() for one in connections))
    await until(lambda: not connections)
    await until(lambda: not len(bff.app.state.streams))


async def test_requests_whose_answers_nobody_reads():
    """One connection held an answer, its place and its memory for as long as its client liked."""
    async with serving(unread_wait_s=WAIT_S) as bff:
        narrow(bff)
        with capture_logs() as events:
            await mute(bff, *[asked(bff, INTROSPECTION)] * 5)
            await until_stuck_and_gone(bff)

        assert [event["unread"] for event in events if event["event"] == "connections.cut"] == [1]


async def test_a_closed_connection_that_is_not_read():
    """It was closed by us, and stayed until its client had read what was in front of the end."""
    async with serving(unread_wait_s=WAIT_S) as bff:
        narrow(bff)
        request = asked(bff, INTROSPECTION).replace(b"host: bff", b"host: bff\r\nconnection: close")
        await mute(bff, request)
        await until_stuck_and_gone(bff)


@pytest.mark.parametrize(("accept", "document"), STREAMS.values(), ids=STREAMS)
async def test_streams_that_nobody_reads(accept: str, document: str):
    """A stream has a place among the fifty of its viewer, too."""
    async with serving(unread_wait_s=WAIT_S, streams=StreamSettings(heartbeat_s=0.001)) as bff:
        narrow(bff)
        await mute(bff, asked(bff, document, accept))
        await until_stuck_and_gone(bff)


async def test_a_socket_that_nobody_reads():
    """Its operations are ended; those that had not begun were never worked on; no ping is answered."""
    async with serving(unread_wait_s=2 * WAIT_S) as bff:
        narrow(bff)
        muted = await socket_of(bff)
        for nth in range(50):
            payload = {"query": INTROSPECTION}
            await muted.send(json.dumps({"id": str(nth), "type": "subscribe", "payload": payload}))
        [protocol] = bff.server.server_state.connections
        await until(lambda: not protocol.writable.is_set())  # type: ignore[union-attr]
        waiting_bytes = protocol.transport.get_write_buffer_size()
        for _ in range(100):
            await muted.ping()
        await asyncio.sleep(0.1)
        assert protocol.transport.get_write_buffer_size() <= waiting_bytes

        await until_stuck_and_gone(bff)
        muted.transport.abort()


async def test_a_client_that_reads_slowly_is_served():
    """A phone in a lift: as long as something is fetched, it has all the time it needs."""
    async with serving(unread_wait_s=WAIT_S) as bff:
        narrow(bff)
        slow = await mute(bff, asked(bff, INTROSPECTION))
        head = await slow.reader.readuntil(b"\r\n\r\n")
        length = int(dict(line.split(b": ") for line in head.lower().split(b"\r\n")[1:-2])[b"content-length"])
        said = b""
        while len(said) < length:
            said += await slow.reader.read(length // 30)
            await asyncio.sleep(0.1)

        assert "errors" not in json.loads(said)


async def test_too_many_requests_in_a_row():
    """Each takes memory while it waits: those that may wait are answered, and the connection is closed."""
    async with serving() as bff:
        eager = await bff.connect()
        await eager.send(b"GET /livez HTTP/1.1\r\nhost: bff\r\n\r\n" * 1000)

        said = await eager.rest()

        assert 64 <= said.count(b"HTTP/1.1 200") <= 66
        assert said.count(b"HTTP/1.1") == said.count(b"HTTP/1.1 200")


async def test_a_client_that_leaves_with_requests_in_a_row():
    """uvicorn tells the last one only: what was asked for the others went on, and their tasks never ended."""
    async with serving() as bff:
        bff.sandbox.faults["refund-engine"] = "hang"
        head, body = bff.request("RecoveryMetrics")
        leaving = await (await bff.connect()).send(*[head, body] * 3)
        await until(lambda: any(call.path == "/api/v1/claims/stats" for call in bff.sandbox.calls))
        with capture_logs() as events:
            leaving.writer.transport.abort()
            await until(lambda: not bff.server.server_state.tasks)

        assert [event["event"] for event in events if event["event"].startswith("request.")] == [
            "request.abandoned"
        ]
