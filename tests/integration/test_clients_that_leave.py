"""A client that closes its connection, over a real socket: whatever was asked for it ends with it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from late import WITHIN_S
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.operations import stored_operations
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.unread import Unheard


@pytest.fixture
async def served() -> AsyncIterator[tuple[Sandbox, int, list[str]]]:
    """A sandbox, the port of a BFF over it, and a token of each of two sellers."""
    sandbox = Sandbox(seed(10))
    settings = dev_settings()
    app = create_dev_app(sandbox, settings, seller=SELLERS[0])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield sandbox, port, [dev_token(settings, seller) for seller in SELLERS[:2]]
    server.should_exit = True
    await serving


DASHBOARD = json.dumps({"query": stored_operations()["Dashboard"], "operationName": "Dashboard"}).encode()
DOORS = {"graph": ("POST /graphql", DASHBOARD), "rest": ("GET /api/metrics/dashboard", b"")}


async def sent(port: int, token: str, door: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the dashboard was just asked for, by one of two doors."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line, body = DOORS[door]
    head = f"{line} HTTP/1.1\r\nhost: bff\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not so():  # noqa: ASYNC110 - neither tasks nor the sandbox tell
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("door", DOORS)
async def test_a_client_that_leaves_takes_its_requests_with_it(served, door, stolen):
    """Every service hangs, people reload: without this each reload holds ten requests for two seconds."""
    sandbox, port, [anns, bobs] = served
    await until(lambda: len(sandbox.calls) >= len(sandbox.apps))  # the first probes have been made
    sandbox.calls.clear()
    idle = asyncio.all_tasks()
    for service in sandbox.apps:
        sandbox.faults[service] = "hang"

    with capture_logs() as events:
        _, leaving = await sent(port, anns, door)
        reader, staying = await sent(port, bobs, door)
        await until(lambda: len(sandbox.calls) >= 2 * 4)  # the first hop asks four services, for each
        under_way = asyncio.all_tasks() - idle
        leaving.close()
        await until(lambda: any(event["event"] == "request.abandoned" for event in events))
        await asyncio.sleep(0.1)
        still_under_way = asyncio.all_tasks() - idle
        answer = await reader.read()
        staying.close()
        await until(lambda: asyncio.all_tasks() == idle)

    called = [event for event in events if event["event"] == "upstream.called"]
    [abandoned] = [event for event in events if event["event"] == "request.abandoned"]
    assert abandoned["viewer_id"] == SELLERS[0].user_id
    cancelled = [event for event in called if event["outcome"] == "CANCELLED"]
    assert len(cancelled) >= 4
    assert all(event["duration_ms"] < 1500 + stolen.total_s * 1000 for event in cancelled)
    # Whoever stays gets the answer, with each null explained, when the services' own limits have passed.
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"SERVICE_TIMEOUT" in answer
    assert [event["viewer_id"] for event in events if event["event"] == "operation.executed"] == [
        SELLERS[1].user_id
    ]
    assert len(still_under_way) < len(under_way)


async def test_an_answer_to_a_connection_that_is_gone_is_dropped():
    """uvloop closes it before uvicorn knows: who hangs up must not fill the log with tracebacks."""
    sent = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for kind in ("http.response.start", "http.response.body"):
            await send({"type": kind})

    async def gone(message: Message) -> None:
        sent.append(message["type"])
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    async def broken(message: Message) -> None:
        raise RuntimeError("Response content longer than Content-Length")

    told: list[Message] = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return told.pop(0)

    await Unheard(app)({"type": "http"}, receive, gone)

    assert sent == ["http.response.start", "http.response.body"]
    assert told == [], "uvicorn, which had not heard of it yet, would have logged an answer that is not whole"
    with pytest.raises(RuntimeError):
        await Unheard(app)({"type": "http"}, None, broken)  # type: ignore[arg-type]
