"""A process that is told to stop: it says so, finishes what it has, and is gone in time."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx
import pytest
from late import WITHIN_S
from processes import free_port, free_ports, process, wait_until_ready
from pydantic import SecretStr, ValidationError
from read_operations import claims_of
from served import Served, serving
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamed import Socket
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations
from bff.sandbox import serve as sandbox_ports
from bff.sandbox.sandbox import DEV_SECRETS, PORTS, Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.settings.settings import Settings
from resolvers.global_ids import global_id

BFF = str(Path(sys.executable).parent / "bff")
SECRET = "a-secret-of-this-drill-and-of-nothing-else"
SSE = "text/event-stream"
URQL = f"application/graphql-response+json, application/json, {SSE}, multipart/mixed"
READYZ = b"GET /readyz HTTP/1.1\r\nhost: bff\r\n\r\n"


def told_to_stop(bff: Served) -> None:
    bff.server.handle_exit(signal.SIGTERM, None)


async def refused(bff: Served) -> bool:
    try:
        await bff.connect()
    except ConnectionRefusedError:
        return True
    return False


async def test_the_probe_is_told_at_once_and_everybody_served_for_the_lead():
    """Load balancers need a moment to notice; who comes in that moment must not meet a closed door."""
    async with serving(drain_lead_s=3.0) as bff:
        opened_before = await bff.connect()
        told_to_stop(bff)
        head, body = bff.request("RecoveryMetrics")

        probing = await bff.connect()
        probe = await (await probing.send(READYZ)).answer()
        old = await (await opened_before.send(head, body)).answer()
        new = await (await (await bff.connect()).send(head, body)).answer()
        async with asyncio.timeout(WITHIN_S):
            while not await refused(bff):  # noqa: ASYNC110 - a closed door tells nobody
                await asyncio.sleep(0.05)

        assert (probe.status, probe.body) == (503, {"status": "draining"})
        for answer in (old, new):
            assert (answer.status, "errors" in answer.body) == (200, False)
            assert answer.headers["connection"] == "close"  # the next request goes elsewhere


async def test_requests_end_then_streams_then_the_rest():
    """A mutation under way must not be cut by a release; a stream goes last, with a word."""
    happened = []

    async def stream(request: Request) -> StreamingResponse:
        request.state.never_ends()

        async def events() -> AsyncIterator[bytes]:
            yield b"event: next\ndata: {}\n\n"
            await bff.app.state.closing.wait()
            happened.append("stream closed")
            yield b"event: complete\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def close_streams() -> None:
        happened.append(f"streams told, {bff.app.state.drain.under_way} requests under way")
        bff.app.state.closing.set()

    async def failing() -> None:
        raise RuntimeError("a stream of another kind")

    with capture_logs() as events:
        async with serving() as bff:
            bff.app.state.closing = asyncio.Event()
            bff.app.add_api_route("/stream", stream)
            bff.app.state.drain.on_drain(failing)
            bff.app.state.drain.on_drain(close_streams)
            bff.sandbox.faults["refund-engine"] = "slow:2500"
            streaming = await (await bff.connect()).send(b"GET /stream HTTP/1.1\r\nhost: bff\r\n\r\n")
            asking = await (await bff.connect()).send(*bff.request("RecoveryMetrics"))
            await bff.asked()

            told_to_stop(bff)
            answer = await asking.answer()
            streamed = await streaming.rest()

    assert (answer.status, "errors" in answer.body) == (200, False)
    assert happened == ["streams told, 0 requests under way", "stream closed"]
    assert streamed.endswith(b"event: complete\n\n\r\n0\r\n\r\n")
    assert [event["event"] for event in events if event["event"].startswith(("drain", "stream"))] == [
        "drain.begun",
        "stream.close_failed",
        "drain.ended",
    ]


async def test_a_websocket_is_closed_after_the_last_request_with_a_word():
    """uvicorn closes sockets first, with a code that some clients take for failure; ours go last: 1001."""
    open_sockets: list[WebSocket] = []

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        open_sockets.append(socket)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await socket.send_text(await socket.receive_text())

    async def close_streams() -> None:
        await asyncio.gather(*(socket.close(1001, "going away") for socket in open_sockets))

    async with serving() as bff:
        bff.app.add_api_websocket_route("/socket", echo)
        bff.app.state.drain.on_drain(close_streams)
        bff.sandbox.faults["refund-engine"] = "slow:2500"
        async with connect(f"ws://127.0.0.1:{bff.port}/socket") as socket:
            asking = await (await bff.connect()).send(*bff.request("RecoveryMetrics"))
            await bff.asked()
            told_to_stop(bff)
            await asyncio.sleep(0.4)
            await socket.send("still there?")
            echoed = await socket.recv()
            answer = await asking.answer()
            with pytest.raises(ConnectionClosed):
                await socket.recv()

    assert (echoed, answer.status, "errors" in answer.body) == ("still there?", 200, False)
    assert (socket.close_code, socket.close_reason) == (1001, "going away")


UPDATE = "mutation ($i: UpdateClaimInput!) { updateClaim(input: $i) { claim { id } userErrors { code } } }"


async def test_a_mutation_over_a_websocket_is_not_cut_by_a_release():
    """Its client would not know whether it was done; subscriptions, which never end, do not hold us."""
    with capture_logs() as events:
        async with serving() as bff:
            id_ = str(global_id("Claim", claims_of(bff.sandbox.world, SELLERS[0])[0]["id"]))
            async with connect(
                f"ws://127.0.0.1:{bff.port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]
            ) as connection:
                socket = Socket(connection)
                payload = {"authorization": f"Bearer {bff.token}"}
                await socket.send({"type": "connection_init", "payload": payload})
                await socket.received()
                for tab, document in (("1", "ServiceHealthChanged"), ("2", "ClaimUpdated")):
                    await socket.subscribe(tab, document, claimIds=[id_])
                    await socket.received(tab)
                bff.sandbox.faults["refund-engine"] = "slow:1000"
                bff.sandbox.calls.clear()
                await socket.subscribe("3", UPDATE, i={"claimId": id_, "description": "Two boxes."})
                await bff.asked()

                told_to_stop(bff)
                told = [await socket.received("3"), await socket.received("3")]
                closed = await socket.closed()

    assert told == [
        {
            "id": "3",
            "type": "next",
            "payload": {"data": {"updateClaim": {"claim": {"id": id_}, "userErrors": []}}},
        },
        {"id": "3", "type": "complete"},
    ]
    assert closed == (1001, "The server is restarting. Connect again.")
    assert [event["cut_off"] for event in events if event["event"] == "drain.ended"] == [0]


@pytest.mark.parametrize("accept", [SSE, URQL])
async def test_a_mutation_of_a_client_that_takes_streams_is_not_cut_by_a_release(accept: str):
    """Whatever its answer comes in: a stream that is closed does not say whether the mutation was done."""
    async with serving() as bff, httpx.AsyncClient(timeout=WITHIN_S) as http:
        id_ = str(global_id("Claim", claims_of(bff.sandbox.world, SELLERS[0])[0]["id"]))
        headers = {"authorization": f"Bearer {bff.token}", "accept": accept}
        url = f"http://127.0.0.1:{bff.port}/graphql"
        watching = {"query": "subscription { serviceHealth { sequence } }"}
        async with http.stream("POST", url, json=watching, headers=headers) as stream:
            told = stream.aiter_lines()
            assert await anext(told) == "event: next"
            bff.sandbox.faults["refund-engine"] = "slow:1000"
            changing = {"query": UPDATE, "variables": {"i": {"claimId": id_, "description": "Two boxes."}}}
            asking = asyncio.create_task(http.post(url, json=changing, headers=headers))
            await bff.asked()

            told_to_stop(bff)
            answer = await asking
            rest = [line async for line in told if line and not line.startswith(":")]

    payload = '{"data":{"updateClaim":{"claim":{"id":"%s"},"userErrors":[]}}}' % id_  # noqa: UP031
    whole = f"event: next\ndata: {payload}\n\nevent: complete\ndata: \n\n" if accept == SSE else payload
    assert (answer.status_code, answer.text) == (200, whole)
    assert rest == ['data: {"data":{"serviceHealth":{"sequence":1}}}']  # closed after it, and not complete


async def test_what_never_ends_does_not_keep_the_process():
    """A stream that nobody closes, a client that never reads on: the process leaves in time all the same."""

    async def forever(request: Request) -> StreamingResponse:
        request.state.never_ends()

        async def events() -> AsyncIterator[bytes]:
            yield b": here\n\n"
            await asyncio.sleep(3600)

        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(grace_s=2.5) as bff:
        bff.app.add_api_route("/stream", forever)
        await (await bff.connect()).send(b"GET /stream HTTP/1.1\r\nhost: bff\r\n\r\n")
        await asyncio.sleep(0.2)

        told_to_stop(bff)
        await asyncio.wait_for(_stopped(bff), timeout=WITHIN_S)

        assert bff.server.server_state.tasks == set()


async def _stopped(bff: Served) -> None:
    while bff.server.lifespan.shutdown_event.is_set() is False:  # noqa: ASYNC110 - uvicorn has no other sign
        await asyncio.sleep(0.05)


def test_a_grace_that_cuts_answers_is_refused():
    """Shorter than an upload and an answer, it would kill what may still finish."""
    with pytest.raises(ValidationError, match="BFF_GRACE_S must be longer than 15 s"):
        Settings(jwt_secret=SecretStr(SECRET), grace_s=15)


@dataclass
class Process:
    """One `bff serve`, and the sandbox that it asks."""

    running: Popen[bytes]
    address: str
    sandbox: Sandbox
    headers: dict[str, str]

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.running.wait, 30)


@contextlib.asynccontextmanager
async def bff_serve(tmp_path: Path, **told: str) -> AsyncIterator[Process]:
    sandbox = Sandbox(seed(10))
    control_port, *own = free_ports(1 + len(PORTS))
    ports = dict(zip(PORTS, own, strict=True))
    services = asyncio.create_task(sandbox_ports.serve(sandbox, ports=ports, control_port=control_port))
    names = {
        "integrations": "INTEGRATIONS_URL",
        "refund-engine": "REFUND_ENGINE_URL",
        "cost-docs": "COST_DOC_SERVICE_URL",
        "stripe": "STRIPE_SERVICE_URL",
        "mcde": "MCDE_URL",
        "predictor": "FBA_PREDICTOR_URL",
    }
    env = os.environ | {
        "JWT_SECRET": SECRET,
        "BFF_DEV": "true",  # the sandbox's secrets are known to all
        "DB_URL": f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3",
        **{names[name]: f"http://127.0.0.1:{port}" for name, port in ports.items()},
        **{
            f"BFF_{name.upper().replace('-', '_')}__JWT_SECRET": secret
            for name, secret in DEV_SECRETS.items()
        },
        **told,
    }
    first, port = SELLERS[0], free_port()
    token = DevIssuer(SecretStr(SECRET)).token(
        user_id=first.user_id,
        email=first.email,
        name=first.name,
        stripe_user_id=first.stripe_user_id,
    )
    try:
        with process([BFF, "serve", "--port", str(port)], cwd=tmp_path, env=env) as running:
            address = f"http://127.0.0.1:{port}"
            await asyncio.to_thread(wait_until_ready, f"{address}/readyz")
            yield Process(running, address, sandbox, {"authorization": f"Bearer {token}"})
    finally:
        services.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await services


async def test_it_leaves_with_success(tmp_path: Path):
    """Anything but 0 is a crash to whoever started it, and starts an alarm at each release."""
    async with bff_serve(tmp_path, BFF_DRAIN_LEAD_S="0") as bff:
        bff.running.send_signal(signal.SIGTERM)

        assert await bff.exit_code() == 0


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, second: signal.Signals):
    """Somebody who says it twice means it."""
    async with bff_serve(tmp_path, BFF_DRAIN_LEAD_S="60") as bff:
        bff.running.send_signal(signal.SIGINT)
        async with httpx.AsyncClient() as http:
            while (await http.get(f"{bff.address}/readyz")).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        said_s = time.monotonic()
        bff.running.send_signal(second)

        assert await bff.exit_code() == 128 + second
        assert time.monotonic() - said_s < WITHIN_S  # and not the lead's minute


@pytest.mark.slow
async def test_a_stop_under_load_loses_no_answer(tmp_path: Path):
    """Clients behind a balancer that looks at /readyz: whatever was sent is answered, in full."""
    counted = {"sent": 0, "whole": 0}
    async with (
        bff_serve(tmp_path, BFF_DRAIN_LEAD_S="4") as bff,
        httpx.AsyncClient(base_url=bff.address, timeout=WITHIN_S) as http,
    ):
        bff.sandbox.faults["refund-engine"] = "slow:500"
        balancing = asyncio.Event()  # set once the balancer has noticed

        async def watch() -> None:
            while (await http.get("/readyz")).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            balancing.set()

        async def client() -> None:
            while not balancing.is_set():
                counted["sent"] += 1
                response = await http.post(
                    "/graphql", json={"query": stored_operations()["RecoveryMetrics"]}, headers=bff.headers
                )
                counted["whole"] += response.status_code == 200 and "errors" not in response.json()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            for _ in range(20):
                tasks.create_task(client())
            await asyncio.sleep(3)
            assert not balancing.is_set()
            bff.running.send_signal(signal.SIGTERM)

        assert counted["whole"] == counted["sent"] > 20
        assert await bff.exit_code() == 0
