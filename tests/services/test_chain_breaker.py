"""The breaker link: a service that keeps failing is left alone for a while, then asked once."""

import asyncio

import httpx
import pytest
import structlog
from interlock import State
from pydantic import TypeAdapter

from clients.chain.breaker import BreakerSettings
from clients.errors import CircuitOpen, ContractBroken, UpstreamError, UpstreamFailed, UpstreamTimeout
from clients.failures import AnswerTooLarge

URL = "https://refund-engine.test/asked"
ANYTHING = TypeAdapter(dict[str, int])
OPEN_S = 0.25
OVER_S = OPEN_S * 1.2  # with the most that jitter adds
QUICK = BreakerSettings(open_s=OPEN_S, open_at_most_s=5)
FAILURE = 501  # counts, and is not tried again: one call is one request


class Clock:
    """The circuits' clock: it stands still unless the test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def shift(self, by_s: float) -> None:
        self.now_s += by_s


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("interlock._clock.SystemClock.monotonic", lambda _: clock.monotonic())
    return clock


@pytest.fixture
def upstream(make_upstream):
    return make_upstream(breaker=QUICK)


@pytest.fixture
def route(respx_router):
    return respx_router.route(url=URL).respond(FAILURE)


@pytest.fixture
def ask(upstream, caller_for, ann):
    """Ask once; the error, or None."""

    async def ask(viewer=ann, method="GET", **options):
        try:
            await upstream.call(caller_for(viewer), "asked", method, "/asked", ANYTHING, **options)
        except UpstreamError as error:
            return error
        return None

    return ask


async def kinds(*asking):
    return [type(error) for error in await asyncio.gather(*asking)]


async def test_ten_failing_calls_open_it(upstream, ask, route, outcomes, ann, bob):
    """Whoever's they were: the service is one. Then nobody waits for it, and it gets no request."""
    for number in range(9):
        assert type(await ask(bob if number % 2 else ann)) is UpstreamFailed
    assert upstream.circuit is State.CLOSED
    await ask()
    assert upstream.circuit is State.OPEN

    refused = [await ask(ann), await ask(bob)]

    assert [type(error) for error in refused] == [CircuitOpen, CircuitOpen]
    assert route.call_count == 10
    assert all(error.retryable and 0 < error.retry_after_ms <= OVER_S * 1000 for error in refused)
    assert len(outcomes) == 10  # what was not asked says nothing new about the service


async def test_a_second_attempt_that_is_refused_hides_nothing(upstream, ask, route, outcomes):
    """The tenth failure opens the circuit before its second attempt: the service's own answer is told."""
    for _ in range(9):
        await ask()
    route.respond(503)

    error = await ask()

    assert (upstream.circuit, route.call_count) == (State.OPEN, 10)
    assert (error.code, error.status) == ("SERVICE_UNAVAILABLE", 503)
    assert [outcome.error.status for outcome in outcomes] == [FAILURE] * 9 + [503]


async def test_half_of_the_calls_may_fail_before_it_opens(upstream, ask, route):
    """A service that answers most of the time is worth asking."""
    for number in range(30):
        route.respond(FAILURE if number % 5 >= 3 else 200, json={})
        await ask()
    assert upstream.circuit is State.CLOSED

    route.respond(FAILURE)
    for _ in range(10):
        await ask()
    assert upstream.circuit is State.OPEN


async def test_one_of_fifty_is_let_through(clock, upstream, ask, route):
    """A service that is just starting gets one request, not all that waited; success closes the circuit."""
    for _ in range(10):
        await ask()
    clock.shift(OVER_S)

    async def answer_last(_request):
        while len(told) < 49:  # noqa: ASYNC110 - each of the others has its error by then
            await asyncio.sleep(0.001)
        return httpx.Response(200, json={})

    async def one_of_many():
        told.append(await ask())
        return told[-1]

    told = []
    route.mock(side_effect=answer_last)
    errors = await asyncio.gather(*(one_of_many() for _ in range(50)))

    refused = [error for error in errors if error]
    assert (route.call_count, len(refused)) == (11, 49)
    assert {type(error) for error in refused} == {CircuitOpen}
    assert all(error.retry_after_ms for error in refused)
    assert upstream.circuit is State.CLOSED
    assert await kinds(*(ask() for _ in range(5))) == [type(None)] * 5


async def test_the_wait_doubles_while_it_fails(clock, ask, route):
    """The longer it is gone, the less it is asked."""
    for _ in range(10):
        await ask()
    waits_ms = [(await ask()).retry_after_ms]

    for _ in range(2):
        clock.shift(waits_ms[-1] / 1000 + 0.001)
        assert type(await ask()) is UpstreamFailed  # the one that is let through
        waits_ms.append((await ask()).retry_after_ms)

    assert route.call_count == 12
    assert waits_ms[0] * 1.5 < waits_ms[1] < waits_ms[2] / 1.5


async def test_a_probe_that_is_cancelled_leaves_room_for_the_next(clock, upstream, ask, route):
    """The seller whose call was the probe closed the tab: the circuit must not stay open for ever."""
    for _ in range(10):
        await ask()
    clock.shift(OVER_S)

    arrived = asyncio.Event()

    async def hang(_request):
        arrived.set()
        await asyncio.sleep(30)

    route.mock(side_effect=hang)
    probe = asyncio.create_task(ask())
    await arrived.wait()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    route.mock(side_effect=None)
    route.respond(200, json={})

    assert await ask() is None
    assert upstream.circuit is State.CLOSED


async def test_a_probe_that_was_not_sent_proves_nothing(clock, upstream, ask, route, respx_router):
    """With the quota used up the one call that is let through stays here: that is no recovery."""
    for _ in range(9):
        await ask()
    route.respond(
        FAILURE, headers={"ratelimit-limit": "9", "ratelimit-remaining": "0", "ratelimit-reset": "9"}
    )
    await ask()
    clock.shift(OVER_S)

    assert (await ask()).code == "RATE_LIMITED"

    assert (upstream.circuit, route.call_count) == (State.OPEN, 10)


async def test_writes_are_apart_from_reads(upstream, ask, route):
    """When filing fails, sellers can still look at claims; and looking does not prove that filing works."""
    for _ in range(10):
        await ask(method="POST")
    route.respond(200, json={})

    assert type(await ask(method="POST")) is CircuitOpen
    assert await ask() is None
    assert upstream.circuit is State.OPEN  # the worse of the two is shown


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 429])
async def test_what_is_our_fault_never_counts(upstream, ask, route, status):
    """One client that asks for what is not there must not take the service from everybody."""
    route.respond(status)

    for _ in range(30):
        await ask()

    assert (upstream.circuit, route.call_count) == (State.CLOSED, 30)


async def test_an_answer_that_is_too_long_never_counts(upstream, ask, route, ann, bob):
    """One seller's rows can make it so: the others' screens must not go dark with theirs."""
    route.mock(side_effect=AnswerTooLarge())
    assert {type(await ask(ann)) for _ in range(30)} == {ContractBroken}

    route.mock(side_effect=None)
    route.respond(json={})

    assert (upstream.circuit, await ask(bob)) == (State.CLOSED, None)


@pytest.mark.parametrize("status", [302, 404, 421])
async def test_what_stands_before_the_service_counts(upstream, ask, route, status, ann, bob):
    """A router that has lost the service, and a maintenance page, are the service being away."""
    route.respond(status, json={"message": "Application not found"})

    for number in range(12):
        await ask(bob if number % 2 else ann)

    assert (upstream.circuit, route.call_count) == (State.OPEN, 10)


async def test_a_none_in_the_engines_words_never_counts(directory, as_ann, respx_router):
    """Twenty old links to claims are no outage, while the same status of a router is one."""
    respx_router.get(host="refund-engine.test").respond(404, json={"error": "Claim not found"})

    for number in range(20):
        assert await as_ann.refund_engine.claim_by_case_number(f"C-{number}") is None

    assert directory.circuit("refund-engine") is State.CLOSED


async def test_a_disguised_none_never_counts(directory, as_ann, respx_router):
    """Integrations answers 500 for a sync that does not exist: twenty old links are no outage."""
    route = respx_router.get(host="integrations.test").respond(500, json={"error": "Sync not found"})

    for number in range(20):
        assert await as_ann.integrations.sync(f"sync-{number}") is None

    assert (directory.circuit("integrations"), route.call_count) == (State.CLOSED, 20)


async def test_one_services_circuit_is_its_own(directory, as_ann, respx_router):
    """One upstream down costs its own fields and nothing else."""
    respx_router.get(host="integrations.test").respond(FAILURE)

    for number in range(10):
        with pytest.raises(UpstreamFailed):
            await as_ann.integrations.sync(f"sync-{number}")

    assert directory.circuit("integrations") is State.OPEN
    assert directory.circuit("refund-engine") is State.CLOSED


async def hang(_request):
    await asyncio.sleep(30)


async def test_a_client_in_a_hurry_does_not_count(upstream, caller_for, respx_router, ann):
    """`X-Request-Budget: 50` would otherwise be a switch that turns a service off for everybody."""
    respx_router.get(URL).mock(side_effect=hang)

    async def ask():
        await upstream.call(caller_for(ann, budget_s=0.1), "asked", "GET", "/asked", ANYTHING)

    errors = await asyncio.gather(*(ask() for _ in range(20)), return_exceptions=True)

    assert {type(error) for error in errors} == {UpstreamTimeout}
    assert upstream.circuit is State.CLOSED


async def test_a_service_that_does_not_answer_in_its_own_time_counts(
    make_upstream, caller_for, respx_router, ann
):
    """Ten calls that took the service's whole limit: the eleventh screen does not wait for it."""
    upstream = make_upstream(timeout_s=0.05)
    respx_router.get(URL).mock(side_effect=hang)

    async def ask():
        await upstream.call(caller_for(ann), "asked", "GET", "/asked", ANYTHING)

    await asyncio.gather(*(ask() for _ in range(10)), return_exceptions=True)

    assert upstream.circuit is State.OPEN


async def test_answers_that_come_too_slowly_open_it(clock, make_upstream, caller_for, respx_router, ann):
    """A service that answers, but always at the last moment, makes every screen late."""
    upstream = make_upstream(breaker=BreakerSettings(slow_s=0.03))

    async def answer_late(_request):
        clock.shift(0.05)
        return httpx.Response(200, json={})

    respx_router.get(URL).mock(side_effect=answer_late)

    async def ask():
        await upstream.call(caller_for(ann), "asked", "GET", "/asked", ANYTHING)

    await asyncio.gather(*(ask() for _ in range(10)))

    assert upstream.circuit is State.OPEN


async def test_what_may_take_long_is_not_slow(clock, make_upstream, caller_for, route, ann, bob):
    """Amazon takes its time with each filing: ten that all succeed must not end filings, nor syncs."""
    upstream = make_upstream(breaker=BreakerSettings(slow_s=0.03))

    async def answer_late(_request):
        clock.shift(0.05)
        return httpx.Response(200, json={})

    route.mock(side_effect=answer_late)

    for who in (ann, bob) * 10:
        await upstream.call(caller_for(who), "asked", "POST", "/asked", ANYTHING, timeout_s=4.0)

    assert upstream.circuit is State.CLOSED


async def test_what_takes_long_fails_alone(upstream, ask, route, ann, bob):
    """Filings that fail because Amazon does are left alone; what the service does by itself still works."""
    for _ in range(10):
        await ask(ann, method="POST", timeout_s=4.0)
    route.respond(200, json={})

    assert type(await ask(bob, method="POST", timeout_s=4.0)) is CircuitOpen
    assert [await ask(bob), await ask(bob, method="POST")] == [None, None]
    assert upstream.circuit is State.OPEN


async def test_each_change_is_one_event(clock, ask, route):
    """At 3 a.m. the log says when the service was given up and when it came back, without a line per call."""
    with structlog.testing.capture_logs() as events:
        for _ in range(15):
            await ask()
        clock.shift(OVER_S)
        route.respond(200, json={})
        await ask()

    changes = [event for event in events if event["event"] == "circuit.changed"]
    assert [(event["state_before"], event["state"]) for event in changes] == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]
    assert {event["upstream"] for event in changes} == {"refund-engine"}
