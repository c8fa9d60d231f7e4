"""The retry link: a second attempt where it is safe, affordable and in time, and never a third."""

import asyncio
import time

import httpx
import pytest
from late import LATE_S
from pydantic import TypeAdapter

from clients.chain.breaker import BreakerSettings
from clients.errors import UpstreamError, UpstreamRateLimited, UpstreamTimeout

URL = "https://refund-engine.test/asked"
ANYTHING = TypeAdapter(dict[str, int])
GOOD = httpx.Response(200, json={})
NEVER_OPEN = BreakerSettings(calls_at_least=100_000)
LIMIT_S = LATE_S + 3  # of the service: what waits to its end is later than a busy machine


@pytest.fixture
def upstream(make_upstream):
    return make_upstream(breaker=NEVER_OPEN, timeout_s=LIMIT_S)


@pytest.fixture
def ask(upstream):
    """Ask the engine something that is in no list: the answer is neither kept nor shared."""

    async def ask(caller, method="GET", **options):
        return await upstream.call(caller, "asked", method, "/asked", ANYTHING, **options)

    return ask


def answers(respx_router, *each):
    """The engine answers with these, one after the other."""
    return respx_router.route(url=URL).mock(side_effect=list(each))


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("no route"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("empty reply"),
        *(httpx.Response(status) for status in (500, 502, 503, 504)),
    ],
    ids=repr,
)
async def test_a_read_is_tried_again(ask, caller_for, respx_router, outcomes, ann, bob, failure):
    """A service that restarts in the middle of a screen is nobody's error; each call has one attempt more."""
    route = answers(respx_router, failure, GOOD, failure, GOOD)
    callers = caller_for(ann), caller_for(bob)

    for caller in callers:
        await ask(caller)

    assert route.call_count == 4
    uses = [caller.uses["refund-engine"] for caller in callers]
    assert [(use.calls, use.attempts) for use in uses] == [(1, 2), (1, 2)]
    assert [outcome.error for outcome in outcomes] == [None, None]  # told by the end, not by each attempt


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.Response(503)], ids=repr)
async def test_there_is_no_third_attempt(ask, caller_for, respx_router, ann, failure):
    """A service in trouble gets twice the traffic at most."""
    route = answers(respx_router, failure, failure, GOOD)

    with pytest.raises(UpstreamError):
        await ask(caller_for(ann))

    assert route.call_count == 2


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout("slow"),  # it may still be working on the first
        httpx.Response(429),  # it asks for fewer
        httpx.Response(501),
        *(httpx.Response(status) for status in (400, 401, 403, 404, 409, 422)),
    ],
    ids=repr,
)
async def test_what_is_not_tried_again(ask, caller_for, respx_router, ann, failure):
    """A second attempt that cannot help is a request taken from another seller."""
    route = answers(respx_router, failure, GOOD)

    with pytest.raises(UpstreamError):
        await ask(caller_for(ann))

    assert route.call_count == 1


async def test_a_disguised_none_is_not_tried_again(as_ann, respx_router):
    """ "Sync not found" is an answer, though it says 500."""
    route = respx_router.get(host="integrations.test").respond(500, json={"error": "Sync not found"})

    assert await as_ann.integrations.sync("sync-1") is None

    assert route.call_count == 1


@pytest.mark.parametrize(
    ("method", "options", "requests"),
    [
        ("PUT", {}, 2),
        ("DELETE", {}, 2),
        ("POST", {}, 1),
        ("PATCH", {}, 1),
        ("POST", {"idempotent": True}, 2),
        ("GET", {"idempotent": False}, 1),
    ],
)
@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), httpx.Response(503)], ids=repr)
async def test_writes_are_tried_once(ask, caller_for, respx_router, ann, method, options, requests, failure):
    """A claim that is submitted twice is two claims; only what is safe by contract is asked again."""
    route = answers(respx_router, failure, failure)

    with pytest.raises(UpstreamError):
        await ask(caller_for(ann), method, body={"n": 1} if method != "GET" else None, **options)

    assert [call.request.method for call in route.calls] == [method] * requests
    assert len({call.request.content for call in route.calls}) == 1  # and it is the same request


async def test_a_wait_that_fits_is_kept_to(ask, caller_for, respx_router, ann):
    """The service says when: earlier is useless."""
    answers(respx_router, httpx.Response(503, headers={"retry-after": "1"}), GOOD)
    started_s = time.monotonic()

    await ask(caller_for(ann))

    assert 1.0 <= time.monotonic() - started_s < 1.0 + LATE_S


@pytest.mark.parametrize("wait", [f"{LIMIT_S:.0f}", "60", "Fri, 01 Jan 2100 00:00:00 GMT"])
async def test_a_wait_that_does_not_fit_is_not_waited_for(ask, caller_for, respx_router, ann, wait):
    """All the time for waiting, and none for the answer then: the error leaves at once, and says when."""
    route = answers(respx_router, httpx.Response(503, headers={"retry-after": wait}), GOOD)
    started_s = time.monotonic()

    if wait.startswith("Fri"):  # a century is nonsense, and so the pause is our own
        await ask(caller_for(ann))
        assert route.call_count == 2
    else:
        with pytest.raises(UpstreamError) as raised:
            await ask(caller_for(ann))
        assert (raised.value.retry_after_ms, route.call_count) == (int(wait) * 1000, 1)
    assert time.monotonic() - started_s < LATE_S


@pytest.mark.parametrize("nonsense", ["soon", "-5", "86401", "9" * 400])
async def test_a_nonsensical_wait_is_not_slept_through(ask, caller_for, respx_router, ann, nonsense):
    """A proxy's typing error must not hold a screen, and a place in the bulkhead, to the deadline."""
    answers(respx_router, httpx.Response(503, headers={"retry-after": nonsense}), GOOD)
    started_s = time.monotonic()

    await ask(caller_for(ann))

    assert time.monotonic() - started_s < LATE_S


@pytest.mark.parametrize("limit_s", [LIMIT_S, 60.0])
async def test_nothing_is_tried_when_the_time_is_up(
    make_upstream, caller_for, respx_router, ann, monkeypatch, limit_s
):
    """The pause alone would pass the limit, or the deadline: nobody would hear the second answer."""
    monkeypatch.setattr("clients.chain.retry.PAUSE_S", (30.0, 40.0))
    route, upstream = answers(respx_router, httpx.Response(503), GOOD), make_upstream(timeout_s=limit_s)
    started_s = time.monotonic()

    with pytest.raises(UpstreamError) as raised:
        await upstream.call(caller_for(ann), "asked", "GET", "/asked", ANYTHING)

    assert (raised.value.status, route.call_count) == (503, 1)
    assert time.monotonic() - started_s < LATE_S


async def test_the_services_limit_holds_for_both_attempts(
    make_upstream, caller_for, respx_router, ann, stolen
):
    """Two attempts of two seconds each would be twice the limit; what the machine takes is no part of it."""
    upstream = make_upstream(timeout_s=3.0, breaker=NEVER_OPEN)

    async def fail_then_hang(request):
        asked.append(request)
        await asyncio.sleep(1 if len(asked) == 1 else 30)
        return httpx.Response(503)

    asked = []
    respx_router.get(URL).mock(side_effect=fail_then_hang)
    started_s = time.monotonic()

    with pytest.raises(UpstreamTimeout):
        await upstream.call(caller_for(ann), "asked", "GET", "/asked", ANYTHING)

    assert len(asked) == 2
    assert 3.0 <= time.monotonic() - started_s < 3.8 + stolen.total_s


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.Response(503)], ids=repr)
async def test_retries_do_not_become_the_outage(ask, caller_for, respx_router, ann, bob, failure):
    """Two hundred sellers' failing calls: a fifth is tried again and ten a second on top, not all."""
    route = respx_router.get(URL)
    if isinstance(failure, Exception):
        route.mock(side_effect=failure)
    else:
        route.mock(return_value=failure)
    started_s = time.monotonic()

    for _ in range(10):
        await asyncio.gather(*(ask(caller_for(who)) for who in (ann, bob) * 10), return_exceptions=True)

    took_s = time.monotonic() - started_s
    assert 200 + 40 <= route.call_count <= 200 + 40 + 10 * (1 + took_s)


async def test_a_429_says_when(ask, caller_for, respx_router, ann):
    """It is not tried again, and the client is told how long to wait."""
    route = answers(respx_router, httpx.Response(429, headers={"retry-after": "1"}), GOOD)

    with pytest.raises(UpstreamRateLimited) as raised:
        await ask(caller_for(ann))

    assert (raised.value.retry_after_ms, route.call_count) == (1000, 1)
