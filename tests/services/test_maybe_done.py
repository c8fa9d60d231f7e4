"""Whether a write may have been done although no success came back: each row of the table in `errors.py`.

Wrong in one direction, a seller is told "not done" and charged twice; in the other, "perhaps" about nothing.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from pydantic import TypeAdapter

from clients.chain.breaker import BreakerSettings
from clients.chain.question import Disguise
from clients.embedded import EmbeddedTransport
from clients.errors import (
    CircuitOpen,
    ContractBroken,
    UpstreamConflict,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from clients.shelf import MemoryShelf
from clients.transport import Upstream, UpstreamSettings, network

URL = "https://refund-engine.test/written"
ANYTHING = TypeAdapter(dict[str, int])
NO = (Disguise(500, "No: .*", UpstreamRejected),)


@pytest.fixture
async def over(settings):
    """A refund engine over a network of one's own."""
    made: list[Upstream] = []

    def over(base, **changed):
        changed = settings["refund-engine"].model_copy(update=changed)
        made.append(Upstream("refund-engine", changed, base, shelf=MemoryShelf(), reserve_s=0.05))
        return made[-1]

    yield over
    for upstream in made:
        await upstream.aclose()


async def written(upstream, caller, *, operation="createClaim", method="POST", **options):
    """The error of one write."""
    with pytest.raises(UpstreamError) as raised:
        await upstream.call(caller, operation, method, "/written", ANYTHING, body={}, **options)
    return raised.value


@pytest.mark.parametrize(
    ("answer", "kind", "maybe_done"),
    [
        (httpx.Response(400, json={"error": "no"}), UpstreamRejected, False),
        (httpx.Response(409, json={"error": "no"}), UpstreamConflict, False),
        (httpx.Response(404), UpstreamUnavailable, False),  # a proxy's
        (httpx.Response(429, json={"error": "no"}), UpstreamRateLimited, False),
        (httpx.Response(500, json={"error": "No: closed"}), UpstreamRejected, False),
        (httpx.Response(500, json={"error": "something"}), UpstreamFailed, True),
        (httpx.Response(501), UpstreamFailed, True),
        (httpx.Response(303), UpstreamUnavailable, True),
        (httpx.Response(502), UpstreamUnavailable, True),
        (httpx.Response(503), UpstreamUnavailable, True),
        (httpx.Response(504), UpstreamUnavailable, True),
        (httpx.Response(200, text="<html>"), ContractBroken, True),
        (httpx.Response(201, json={"a": "no number"}), ContractBroken, True),
        (httpx.ConnectError("refused"), UpstreamUnavailable, False),
        (httpx.ConnectTimeout("no connection"), UpstreamTimeout, False),
        (httpx.ReadError("reset"), UpstreamUnavailable, True),
        (httpx.WriteError("broken pipe"), UpstreamUnavailable, True),
        (httpx.ReadTimeout("no answer"), UpstreamTimeout, True),
        (httpx.RemoteProtocolError("empty reply"), UpstreamUnavailable, True),
    ],
)
async def test_what_came_back_decides(
    make_upstream, caller_for, respx_router, ann, bob, answer, kind, maybe_done
):
    """The same for both sellers, and never for what only reads."""
    upstream, route = make_upstream(), respx_router.route(url=URL)
    if isinstance(answer, httpx.Response):
        route.mock(return_value=answer)
    else:
        route.mock(side_effect=answer)

    for viewer in (ann, bob):
        error = await written(upstream, caller_for(viewer), disguises=NO)
        assert (type(error), error.maybe_done) == (kind, maybe_done)
    assert route.call_count == 2  # and not tried again

    read = await written(upstream, caller_for(ann), operation="asked", method="GET", disguises=NO)
    assert (type(read), read.maybe_done) == (kind, False)


async def test_what_we_keep_back_is_not_done(make_upstream, caller_for, respx_router, ann):
    """An open circuit, a full bulkhead and a quota that is used up stop it before it leaves."""
    upstream = make_upstream(breaker=BreakerSettings(calls_at_least=1))
    route = respx_router.route(url=URL).respond(501)
    assert (await written(upstream, caller_for(ann))).maybe_done
    error = await written(upstream, caller_for(ann))
    assert (type(error), error.maybe_done) == (CircuitOpen, False)

    upstream = make_upstream()
    route.respond(429, headers={"retry-after": "60"})
    assert not (await written(upstream, caller_for(ann))).maybe_done
    error = await written(upstream, caller_for(ann))
    assert (type(error), error.maybe_done, route.call_count) == (UpstreamRateLimited, False, 2)


async def test_the_deadline_cuts_what_left_and_what_did_not(make_upstream, caller_for, respx_router, ann):
    """Cut on its way, it may be done; cut in our own queue, or before it began, it is not."""
    upstream, arrived, asked = make_upstream(in_flight=1), asyncio.Event(), []

    async def held(request):
        asked.append(request)
        arrived.set()
        await asyncio.Event().wait()

    respx_router.route(url=URL).mock(side_effect=held)
    on_its_way = asyncio.create_task(written(upstream, caller_for(ann, budget_s=1.5)))
    await arrived.wait()
    queued = await written(upstream, caller_for(ann, budget_s=0.15))
    too_late = await written(upstream, caller_for(ann, budget_s=0.0))

    cut = await on_its_way
    assert [type(error) for error in (cut, queued, too_late)] == [UpstreamTimeout] * 3
    assert (cut.maybe_done, queued.maybe_done, too_late.maybe_done) == (True, False, False)
    assert len(asked) == 1


async def test_a_full_bulkhead_is_not_done(make_upstream, caller_for, respx_router, ann):
    """It waits half a second for a place, and gives up without having left."""
    upstream, release = make_upstream(in_flight=1), asyncio.Event()

    async def held(_request):
        await release.wait()
        return httpx.Response(200, json={})

    respx_router.route(url=URL).mock(side_effect=held)
    first = asyncio.create_task(upstream.call(caller_for(ann), "createClaim", "POST", "/written", ANYTHING))
    await asyncio.sleep(0)
    error = await written(upstream, caller_for(ann))
    release.set()

    assert (type(error), error.maybe_done) == (UpstreamRateLimited, False)
    await first


async def test_two_attempts_are_judged_together(make_upstream, caller_for, respx_router, ann):
    """What may be asked twice may be done by the first attempt, whatever the second one meets."""
    upstream, route = make_upstream(), respx_router.route(url=URL)
    for first, second, maybe_done in (
        (httpx.Response(503), httpx.ConnectError("refused"), True),
        (httpx.Response(503), httpx.Response(400, json={"error": "no"}), True),
        (httpx.ConnectError("refused"), httpx.ConnectError("refused"), False),
        (httpx.ConnectError("refused"), httpx.Response(503), True),
    ):
        route.mock(side_effect=[first, second])
        error = await written(
            upstream, caller_for(ann), operation="updateClaim", method="PUT", idempotent=True
        )
        assert error.maybe_done is maybe_done
    assert route.call_count == 8


@pytest.mark.parametrize(("fault", "maybe_done"), [
    ("down", False), ("rate-limited", False), ("error", True), ("garbage", True), ("hang", True),
    ("slow:9000", True),
])  # fmt: skip
async def test_a_rehearsal_looks_like_the_real_thing(make_upstream, caller_for, ann, fault, maybe_done):
    """A screen for "perhaps done" is built with a rehearsal, or never."""
    caller = caller_for(ann, budget_s=1.5, rehearsed=f"refund-engine={fault}")

    assert (await written(make_upstream(), caller)).maybe_done is maybe_done


async def test_embedded_services_break_as_a_network_does(over, caller_for, ann):
    """In the sandbox too: a refusal has done nothing, a drop after the work has."""
    breaks: list[Exception] = []

    async def app(scope, receive, send):
        raise breaks.pop()

    upstream = over(EmbeddedTransport(app))
    for exc, maybe_done in ((ConnectionRefusedError(), False), (ConnectionResetError(), True)):
        breaks.append(exc)
        assert (await written(upstream, caller_for(ann))).maybe_done is maybe_done


@contextlib.asynccontextmanager
async def server_that(does) -> AsyncIterator[int]:
    """A real socket; `does(writer)` once the request was read."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        does(writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def reset(writer):
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def test_over_real_sockets(caller_for, ann):
    """The mapping above is read from a library's source; here is what its sockets do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]

    async def outcome(port):
        settings = UpstreamSettings.model_validate(
            {"base_url": f"http://127.0.0.1:{port}", "connect_timeout_s": 2}
        )
        upstream = Upstream("refund-engine", settings, network(settings), shelf=MemoryShelf(), reserve_s=0.05)
        error = await written(upstream, caller_for(ann))
        await upstream.aclose()
        return error.maybe_done

    assert await outcome(nobody) is False
    async with server_that(reset) as port:
        assert await outcome(port) is True
    async with server_that(lambda writer: None) as port:
        assert await outcome(port) is True
    async with server_that(
        lambda writer: writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")
    ) as port:
        assert await outcome(port) is True


async def test_a_key_goes_out_and_promises_nothing(make_upstream, caller_for, respx_router, ann):
    """A key that a service ignores makes nothing repeatable: the call is still made once."""
    route = respx_router.route(url=URL).respond(503)

    await written(make_upstream(), caller_for(ann), idempotency_key="b73c7feb-d20c-4131-9494-ef8fa8638a0f")

    assert route.call_count == 1
    assert route.calls.last.request.headers["idempotency-key"] == "b73c7feb-d20c-4131-9494-ef8fa8638a0f"


async def test_writes_that_fail_leave_reads_alone(directory, caller_for, respx_router, captured, ann):
    """A table that is locked opens the circuit of writes; what can be read is still read."""
    engine = directory.clients_for(caller_for(ann)).refund_engine
    respx_router.route(method="PUT").respond(501)
    respx_router.route(method="GET").respond(json=captured("refund-engine", "016"))
    for _ in range(11):
        with pytest.raises(UpstreamError) as raised:
            await engine.update_claim(ann.user_id, {"claim_amount": Decimal(1)})

    assert type(raised.value) is CircuitOpen
    assert not (await engine.claims_page(limit=1)).stale
