"""The time budget of one call, over routes and over real sockets; and what two viewers must not share."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import structlog
from late import LATE_S
from pydantic import TypeAdapter

from clients.directory import Directory
from clients.embedded import EmbeddedTransport
from clients.errors import ContractBroken, UpstreamTimeout, UpstreamUnavailable
from clients.shelf import MemoryShelf
from clients.transport import Upstream, UpstreamSettings, network

CLAIMS_URL = "https://refund-engine.test/api/v1/claims"
EMPTY_PAGE = b'{"data":[],"pagination":{"total":0}}'
RESERVE_S = 0.05  # as in the fixture `directory`


class Drip(httpx.AsyncByteStream):
    """A body that comes a byte every 50 ms, for ever."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.05)
            yield b" "

    async def aclose(self) -> None:
        self.closed = True


async def answer_late(_request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(30)
    raise AssertionError("the budget should have ended this")


@pytest.fixture
def quick(settings):
    """The refund engine may take 0.3 s for an answer."""
    settings["refund-engine"] = settings["refund-engine"].model_copy(update={"timeout_s": 0.3})


async def test_slow_drip_is_cut_at_the_budget(quick, as_ann, respx_router, outcomes):
    """httpx bounds each read: a byte every 50 ms outlives all its timeouts, and keeps the connection."""
    drip = Drip()
    respx_router.get(CLAIMS_URL).mock(side_effect=lambda _: httpx.Response(200, stream=drip))
    started_s = time.monotonic()

    with pytest.raises(UpstreamTimeout) as raised:
        await as_ann.refund_engine.claims_page(limit=1)

    assert 0.3 <= time.monotonic() - started_s < 0.3 + LATE_S
    assert drip.closed
    assert [type(outcome.error) for outcome in outcomes] == [type(raised.value)]


async def test_the_service_limit_holds_where_the_deadline_is_far(quick, as_ann, respx_router):
    """One slow service must not eat the whole time of the screen."""
    respx_router.get(CLAIMS_URL).mock(side_effect=answer_late)
    started_s = time.monotonic()

    with pytest.raises(UpstreamTimeout):
        await as_ann.refund_engine.claims_page(limit=1)

    assert 0.3 <= time.monotonic() - started_s < 0.3 + LATE_S


@pytest.fixture
def lazy(settings):
    """The refund engine may take ten seconds for an answer."""
    settings["refund-engine"] = settings["refund-engine"].model_copy(update={"timeout_s": 10.0})


async def test_a_nearer_deadline_wins(lazy, directory, caller_for, respx_router, ann):
    """The screen's own time is shorter than the service's, and some of it is kept for the answer."""
    respx_router.get(CLAIMS_URL).mock(side_effect=answer_late)
    started_s = time.monotonic()

    with pytest.raises(UpstreamTimeout):
        await directory.clients_for(caller_for(ann, budget_s=0.2 + RESERVE_S)).refund_engine.claims_page(
            limit=1
        )

    assert 0.15 <= time.monotonic() - started_s < 0.2 + LATE_S


@pytest.mark.parametrize("budget_s", [RESERVE_S, 0.0, -1.0])
async def test_nothing_is_sent_when_nothing_is_left(directory, caller_for, asked, outcomes, ann, budget_s):
    """A request nobody waits for still costs the service work and us a place in its quota."""
    caller = caller_for(ann, budget_s)

    with pytest.raises(UpstreamTimeout):
        await directory.clients_for(caller).refund_engine.claims_page(limit=1)

    use = caller.uses["refund-engine"]
    assert (asked(), use.calls, use.attempts) == ([], 1, 0)
    assert outcomes == []  # nor is it held against the service


def told_ms(route) -> int:
    """What the latest request said of the time left for it."""
    return int(route.calls.last.request.headers["x-request-deadline-ms"])


@pytest.mark.parametrize(("budget_s", "least_ms", "most_ms"), [(10.0, 500, 2000), (1.9, 1, 1850)])
async def test_the_budget_is_told_upstream(
    directory, caller_for, respx_router, ann, budget_s, least_ms, most_ms
):
    """A service that knows how long we wait can stop working when we have left."""
    route = respx_router.get(CLAIMS_URL).respond(content=EMPTY_PAGE)

    await directory.clients_for(caller_for(ann, budget_s)).refund_engine.claims_page(limit=1)

    assert least_ms <= told_ms(route) <= most_ms


async def test_a_second_attempt_is_told_what_is_left_for_it(as_ann, respx_router):
    """What was left at the first attempt is not there any more."""
    answers = [httpx.Response(503), httpx.Response(200, content=EMPTY_PAGE)]
    told = []

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(int(request.headers["x-request-deadline-ms"]))
        return answers[len(told) - 1]

    respx_router.get(CLAIMS_URL).mock(side_effect=answer)

    await as_ann.refund_engine.claims_page(limit=1)

    first_ms, second_ms = told
    assert second_ms <= first_ms - 50  # the shortest pause between two attempts


async def test_a_call_known_to_be_slow_has_its_own_limit(as_ann, respx_router, captured):
    """mcde's health waits 5 s for the refund engine's: at 2 s it would always look dead."""
    route = respx_router.get("https://mcde.test/health").respond(json=captured("mcde", "001"))

    await as_ann.mcde.health()

    assert 5000 <= told_ms(route) <= 7000


async def test_the_correlation_id_travels(as_ann, respx_router):
    """Without it, a seller's bad minute cannot be followed into the services' logs."""
    route = respx_router.get(CLAIMS_URL).respond(content=EMPTY_PAGE)

    with structlog.contextvars.bound_contextvars(correlation_id="c-1"):
        await as_ann.refund_engine.claims_page(limit=1)
    await as_ann.refund_engine.claims_page(limit=1)

    assert [call.request.headers.get("x-request-id") for call in route.calls] == ["c-1", None]


async def test_calls_are_counted_per_caller(directory, caller_for, respx_router, ann, bob):
    """These counts are the guard against N+1; one viewer's must not show in another's."""
    respx_router.get(CLAIMS_URL).respond(content=EMPTY_PAGE)
    anns, bobs = caller_for(ann), caller_for(bob)

    await directory.clients_for(anns).refund_engine.claims_page(limit=1)
    await directory.clients_for(anns).refund_engine.claims_page(limit=1)
    await directory.clients_for(bobs).refund_engine.claims_page(limit=1)

    uses = [{name: (use.calls, use.attempts) for name, use in who.uses.items()} for who in (anns, bobs)]
    assert uses == [{"refund-engine": (2, 2)}, {"refund-engine": (1, 1)}]


@pytest.mark.parametrize("operation", ["asked", "listClaims", "listLedger"])
async def test_a_call_leaves_no_cycles(settings, caller_for, ann, bob, operation):
    """What only the garbage collector can free stops the whole process, for each call a little."""

    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=EMPTY_PAGE)

    upstream = Upstream(
        "refund-engine",
        settings["refund-engine"],
        httpx.MockTransport(answer),
        shelf=MemoryShelf(),
        reserve_s=0.05,
    )
    callers = [caller_for(viewer) for viewer in (ann, bob)]

    async def ask() -> None:
        for caller in callers:
            await upstream.call(caller, operation, "GET", "/asked", TypeAdapter(dict[str, Any]))

    await ask()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await ask()
        gc.collect()
        left = [type(found) for found in gc.garbage if type(found).__module__.startswith("clients")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

    assert left == []


async def test_a_client_that_leaves_is_not_a_failure_of_the_service(as_ann, respx_router, outcomes):
    """A closed browser tab must not count towards "unhealthy"."""
    respx_router.get(CLAIMS_URL).mock(side_effect=answer_late)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await as_ann.refund_engine.claims_page(limit=1)

    assert outcomes == []


async def test_a_connection_that_is_not_made_in_time_is_a_timeout(as_ann, respx_router):
    """A host that does not take the connection is slow; one that refuses it is down."""
    respx_router.get(CLAIMS_URL).mock(side_effect=httpx.ConnectTimeout)

    with pytest.raises(UpstreamTimeout):
        await as_ann.refund_engine.claims_page(limit=1)


async def test_an_embedded_service_refuses_like_a_distant_one(settings, caller_for, ann):
    """The sandbox switches a service off by refusing: it must look exactly like a dead host."""

    async def refuse(_scope, _receive, _send):
        raise ConnectionRefusedError("switched off")

    directory = Directory(
        settings,
        lambda *_: EmbeddedTransport(app=refuse),
        shelf=MemoryShelf(),
        reserve_s=RESERVE_S,
        on_outcome=lambda _: None,
    )

    with pytest.raises(UpstreamUnavailable) as raised:
        await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    assert type(raised.value) is UpstreamUnavailable


# Over real sockets, through the last link of production.


def answer(body: bytes = EMPTY_PAGE, *headers: str) -> bytes:
    head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def over_sockets(settings) -> AsyncIterator[Callable[..., Directory]]:
    """Make a directory whose refund engine is at this port, and has two seconds; closed with the test."""
    made: list[Directory] = []

    def over_sockets(port: int, **changed: object) -> Directory:
        base_url = f"http://localhost:{port}"  # a name: cookies for a bare address are dropped by any jar
        engine = UpstreamSettings.model_validate(
            {
                **settings["refund-engine"].model_dump(),
                "base_url": base_url,
                "connect_timeout_s": 2,
                **changed,
            }
        )
        made.append(
            Directory(
                {**settings, "refund-engine": engine},
                lambda _name, settings: network(settings),
                shelf=MemoryShelf(),
                reserve_s=RESERVE_S,
                on_outcome=lambda _: None,
            )
        )
        return made[-1]

    yield over_sockets
    for directory in made:
        await directory.aclose()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[tuple[int, list[str]]]]]:
    """Start a bare server on loopback: its port, and the head of each request that it gets."""
    servers: list[asyncio.Server] = []
    talks: list[asyncio.Task[None]] = []

    async def serve(
        answer_to: Callable[[int, asyncio.StreamWriter], Awaitable[None]],
    ) -> tuple[int, list[str]]:
        heads: list[str] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.append(asyncio.current_task())
            try:
                while not writer.is_closing():
                    heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                    await answer_to(len(heads), writer)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass  # the client has left, or the test has ended
            finally:
                writer.close()

        servers.append(await asyncio.start_server(talk, "127.0.0.1", 0))
        return servers[-1].sockets[0].getsockname()[1], heads

    yield serve
    for server in servers:
        server.close()
    for talk in talks:
        talk.cancel()
    await asyncio.gather(*talks, *(server.wait_closed() for server in servers), return_exceptions=True)


async def test_refused_over_a_socket_is_no_timeout(over_sockets, caller_for, ann):
    """A dead host is known at once: "unavailable", not "slow"."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(UpstreamUnavailable) as raised:
        await over_sockets(port).clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    assert type(raised.value) is UpstreamUnavailable


async def test_silence_over_a_socket_is_a_timeout(over_sockets, serve, caller_for, ann):
    """Ten seconds without a word were observed at real services with their Redis gone."""

    async def say_nothing(_nth, _writer):
        await asyncio.sleep(30)

    port, heads = await serve(say_nothing)
    started_s = time.monotonic()

    with pytest.raises(UpstreamTimeout):
        await over_sockets(port).clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    assert 2 <= time.monotonic() - started_s < 2 + LATE_S
    assert len(heads) == 1  # and it is not tried again


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: ninety\r\n\r\n{}",
    ],
    ids=["empty reply", "not HTTP", "cut short", "bad head"],
)
async def test_broken_answers_over_a_socket_are_unavailable(over_sockets, serve, caller_for, ann, broken):
    """A process that dies in mid-answer was observed; whatever comes over the wire, only our errors go up."""

    async def break_off(_nth, writer):
        writer.write(broken)
        writer.close()

    port, _ = await serve(break_off)

    with pytest.raises(UpstreamUnavailable) as raised:
        await over_sockets(port).clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    assert type(raised.value) is UpstreamUnavailable


async def test_an_answer_that_was_cut_gives_its_connection_back(over_sockets, serve, caller_for, ann, bob):
    """With a hundred such answers the pool would be empty, and the service dead for everybody."""

    async def drip_once(nth, writer):
        if nth > 1:
            writer.write(answer())
            return
        writer.write(answer(b"x" * 999).removesuffix(b"x" * 999))
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.05)

    port, heads = await serve(drip_once)
    directory = over_sockets(port, connections=1)

    with pytest.raises(UpstreamTimeout) as raised:  # noqa: F841 - its traceback keeps the cut answer alive
        await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)
    page = await directory.clients_for(caller_for(bob)).refund_engine.claims_page(limit=1)

    assert (page.rows, len(heads)) == ([], 2)


async def test_an_answer_without_an_end_is_a_broken_contract(over_sockets, serve, caller_for, ann, bob):
    """It is asked for once, has a name of its own in the log, and costs this call and nothing else."""

    async def flood_once(nth, writer):
        if nth > 1:
            writer.write(answer())
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 2**16 + b"\r\n")
            await writer.drain()

    port, heads = await serve(flood_once)
    directory = over_sockets(port, connections=1)

    with structlog.testing.capture_logs() as events, pytest.raises(ContractBroken):
        await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)
    page = await directory.clients_for(caller_for(bob)).refund_engine.claims_page(limit=1)

    assert (page.rows, len(heads)) == ([], 2)
    assert [event["outcome"] for event in events if event["event"] == "upstream.called"] == ["TOO_LARGE"]


async def test_cookies_do_not_travel(over_sockets, serve, caller_for, ann, bob):
    """A cookie that a service sets for one seller would be sent with the next seller's call."""

    async def set_cookie(_nth, writer):
        writer.write(answer(EMPTY_PAGE, "Set-Cookie: session=anns; Path=/"))

    port, heads = await serve(set_cookie)
    directory = over_sockets(port)

    for viewer in (ann, ann, bob):
        await directory.clients_for(caller_for(viewer)).refund_engine.claims_page(limit=1)

    assert len(heads) == 3
    assert [head for head in heads if "\r\ncookie:" in head.lower()] == []


async def test_encoded_ids_stay_encoded_on_the_wire(over_sockets, serve, caller_for, ann):
    """aiohttp reads the address anew: it must not decode what `path_id` encoded."""

    async def find_nothing(_nth, writer):
        writer.write(b'HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{"error":"Claim not found"}')

    port, heads = await serve(find_nothing)
    clients = over_sockets(port).clients_for(caller_for(ann))

    for case_number in ("../x", "a/b", "?", "%2F", "%2e%2e"):
        assert await clients.refund_engine.claim_by_case_number(case_number) is None

    assert [head.split(" ")[1].removeprefix("/api/v1/claims/case/") for head in heads] == [
        "..%2Fx",
        "a%2Fb",
        "%3F",
        "%252F",
        "%252e%252e",
    ]
