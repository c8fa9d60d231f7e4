"""What the monitor makes of probes and of viewers' calls."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from late import WITHIN_S

from clients.bus import OwnBus
from clients.chain.breaker import BreakerSettings
from clients.directory import SERVICES, Directory
from clients.errors import UpstreamError
from clients.health import HealthMonitor, Reason, Status
from clients.shelf import MemoryShelf

CAPTURED_HEALTH = {
    "refund-engine": "001",
    "integrations": "002",
    "cost-docs": "001",
    "stripe": "004",
    "mcde": "001",
    "predictor": "001",
}
ENGINE_HEALTH_URL = "https://refund-engine.test/health"


@pytest.fixture
def monitor() -> HealthMonitor:
    return HealthMonitor(OwnBus())


@pytest.fixture
def probes(respx_router, captured):
    """A healthy answer to each service's probe, as captured."""
    return {
        service.name: respx_router.get(f"https://{service.name}.test/health").respond(
            json=captured(service.name, CAPTURED_HEALTH[service.name])
        )
        for service in SERVICES
    }


@pytest.fixture
async def watched(respx_router, settings, monitor) -> AsyncIterator[Directory]:
    """A directory whose calls the monitor sees. No circuit opens: that has tests of its own."""
    never = {"breaker": BreakerSettings(calls_at_least=1000)}
    directory = Directory(
        {name: service.model_copy(update=never) for name, service in settings.items()},
        lambda _name, _settings: httpx.MockTransport(respx_router.async_handler),
        shelf=MemoryShelf(),
        reserve_s=0.05,
        on_outcome=monitor.observe,
    )
    yield directory
    await directory.aclose()


@pytest.fixture
def call(watched, respx_router, captured, caller_for):
    """Ask the refund engine for a claim as a viewer; it answers with this status.

    Another claim each time, so that no answer can be given in the place of one that fails.
    """
    numbers = itertools.count()

    async def call(viewer, status, error="Claim not found"):
        said = captured("refund-engine", "046") if status == 200 else {"error": error}
        respx_router.get(path__startswith="/api/v1/claims/case/").respond(status, json=said)
        engine = watched.clients_for(caller_for(viewer)).refund_engine
        try:
            found = await engine.claim_by_case_number(f"C-{next(numbers)}")
        except UpstreamError as failure:
            assert failure.status == status  # noqa: PT017 - the failure is the arrangement, not the test
        else:
            assert (status, found is None) in ((200, False), (404, True))

    return call


@pytest.fixture
def engine(monitor):
    """How the refund engine looks now."""

    def engine():
        state = monitor.state("refund-engine")
        return state.status, state.reason

    return engine


HEALTHY = (Status.HEALTHY, None)
DEPENDENCY_DOWN = (Status.DEGRADED, Reason.DEPENDENCY_DOWN)
RATE_LIMITED = (Status.DEGRADED, Reason.RATE_LIMITED)
ERROR_ANSWER = (Status.UNHEALTHY, Reason.ERROR_ANSWER)


def test_before_the_first_round_nothing_is_known(monitor):
    """An unchecked service is UNKNOWN, never "healthy"; the order is the one every screen shows."""
    states = monitor.states()

    assert [state.service.name for state in states] == [
        "refund-engine",
        "integrations",
        "cost-docs",
        "stripe",
        "mcde",
        "predictor",
    ]
    assert {(state.status, state.reason, state.last_checked_at) for state in states} == {
        (Status.UNKNOWN, None, None)
    }
    assert monitor.checked_at is None
    assert monitor.state("orchestrator") is None


async def test_a_round_asks_each_service_once(monitor, watched, probes, asked):
    """/health counts against the quota of three services: a round is six requests, not more."""
    before = datetime.now(UTC)

    await monitor.check_all(watched.clients_for)

    assert sorted(asked()) == sorted(f"GET https://{service.name}.test/health" for service in SERVICES)
    assert {(state.status, state.reason) for state in monitor.states()} == {HEALTHY}
    assert before <= monitor.checked_at <= datetime.now(UTC)
    for state in monitor.states():
        assert before <= state.last_healthy_at <= state.last_checked_at <= monitor.checked_at
        assert state.response_time_ms >= 0


@pytest.mark.parametrize(
    ("service", "body"),
    [
        ("refund-engine", {"status": "healthy", "database": "disconnected"}),
        ("refund-engine", {"status": "healthy"}),
        ("mcde", {"status": "healthy", "dependencies": {"refund_engine": "unhealthy"}}),
        ("mcde", {"status": "sick"}),
        ("predictor", {"status": "healthy", "model_loaded": False}),
        ("predictor", {"status": "sick", "model_loaded": True}),
        ("integrations", {"success": False}),
        ("cost-docs", {"status": "sick"}),
        ("stripe", {"status": "sick"}),
    ],
)
async def test_a_service_that_lost_what_it_needs_is_degraded(
    monitor, watched, probes, respx_router, service, body
):
    """The refund engine says "healthy" and 200 with its database gone: only the body tells."""
    respx_router.get(f"https://{service}.test/health").respond(json=body)

    await monitor.check_all(watched.clients_for)

    state = monitor.state(service)
    assert (state.status, state.reason) == DEPENDENCY_DOWN
    assert state.last_healthy_at is None
    assert [other.status for other in monitor.states() if other is not state] == [Status.HEALTHY] * 5


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (httpx.Response(429, json={}), *RATE_LIMITED),
        (httpx.Response(500, json={}), *ERROR_ANSWER),
        (httpx.Response(503, json={}), *ERROR_ANSWER),
        (httpx.Response(404, json={}), *ERROR_ANSWER),
        (httpx.Response(401, json={}), *ERROR_ANSWER),
        (httpx.Response(200, html="<html></html>"), *ERROR_ANSWER),
        (httpx.ConnectError("refused"), Status.UNHEALTHY, Reason.UNREACHABLE),
    ],
)
async def test_a_failed_probe_says_why(
    monitor, watched, probes, respx_router, engine, answer, status, reason
):
    """At 3 a.m. "refused" and "answers 500" send you to different machines."""
    route = respx_router.get(ENGINE_HEALTH_URL)
    route.mock(return_value=answer) if isinstance(answer, httpx.Response) else route.mock(side_effect=answer)

    await monitor.check_all(watched.clients_for)

    state = monitor.state("refund-engine")
    assert (engine(), state.consecutive_failures) == ((status, reason), 1)
    assert (state.response_time_ms is None) == (reason is Reason.UNREACHABLE)
    assert state.last_checked_at is not None


async def test_a_slow_probe_is_a_timeout(settings, monitor, respx_router, probes, engine):
    """A service that hangs is not one that is gone: it may still be doing the work."""

    async def hang(_request):
        await asyncio.sleep(30)

    respx_router.get(ENGINE_HEALTH_URL).mock(side_effect=hang)
    settings["refund-engine"] = settings["refund-engine"].model_copy(update={"timeout_s": 0.05})
    watched = Directory(
        settings,
        lambda _name, _settings: httpx.MockTransport(respx_router.async_handler),
        shelf=MemoryShelf(),
        reserve_s=0.0,
        on_outcome=monitor.observe,
    )

    await monitor.check_all(watched.clients_for)

    assert engine() == (Status.UNHEALTHY, Reason.TIMEOUT)
    assert monitor.state("refund-engine").response_time_ms is None


async def test_probes_do_not_count_as_live_traffic(monitor, watched, probes, respx_router):
    """Each failed probe is counted once, by the monitor itself, and not again as a viewer's call."""
    respx_router.get(ENGINE_HEALTH_URL).respond(500)

    await monitor.check_all(watched.clients_for)
    await monitor.check_all(watched.clients_for)

    assert monitor.state("refund-engine").consecutive_failures == 2


async def test_three_failed_calls_in_a_row_are_an_outage(monitor, call, engine, ann, bob):
    """An outage is seen before the next probe, whoever's calls failed; one failed call is no outage."""
    await call(ann, 200)
    await call(ann, 500)
    await call(bob, 500)
    assert engine() == HEALTHY

    await call(ann, 500)
    assert engine() == ERROR_ANSWER

    await call(bob, 200)
    assert engine() == HEALTHY
    assert monitor.state("refund-engine").consecutive_failures == 0


async def test_a_success_in_between_starts_the_count_again(call, engine, ann):
    """Now and then a failure is that call's fault."""
    for status in (500, 500, 200, 500, 500):
        await call(ann, status)

    assert engine() == HEALTHY


async def test_a_429_degrades_at_once(call, engine, ann, bob):
    """A used-up quota concerns every viewer for a quarter of an hour: it is not waited for three times."""
    await call(ann, 429)
    assert engine() == RATE_LIMITED

    await call(bob, 200)
    assert engine() == HEALTHY


@pytest.mark.parametrize("status", [404, 400, 422])
async def test_a_refused_request_is_a_sign_of_life(call, engine, ann, status):
    """A seller who asks for what is not there must not make the service look ill, nor keep it so."""
    for failed in (500, 500, status, 500):
        await call(ann, failed)

    assert engine() == HEALTHY


async def test_a_404_of_somebody_else_is_no_sign_of_life(
    monitor, watched, call, engine, respx_router, ann, bob
):
    """The platform's edge says that the service is gone: no seller's question may paint it green."""
    gone = "Application not found"
    respx_router.get(ENGINE_HEALTH_URL).respond(404, json={"error": gone})
    await monitor.check_all(watched.clients_for)
    assert engine() == ERROR_ANSWER

    for viewer in (ann, bob):
        await call(viewer, 404, error=gone)
        assert engine() == ERROR_ANSWER
    await call(ann, 404)
    assert engine() == HEALTHY


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_say_nothing(monitor, call, engine, ann, status):
    """A wrong secret of ours is neither an outage nor a proof of health."""
    for _ in range(4):
        await call(ann, status)

    assert engine() == (Status.UNKNOWN, None)
    assert monitor.state("refund-engine").consecutive_failures == 0


async def test_only_a_probe_ends_a_lost_dependency(
    monitor, watched, probes, call, engine, respx_router, captured, ann, bob
):
    """Without its database the engine still answers some calls: they must not paint it green."""
    respx_router.get(ENGINE_HEALTH_URL).respond(json=captured("refund-engine", "127"))
    await monitor.check_all(watched.clients_for)

    await call(ann, 200)
    await call(bob, 404)
    for status in (500, 500, 200, 500, 200):  # which still start the count of failures again
        await call(ann, status)
        assert engine() == DEPENDENCY_DOWN

    respx_router.get(ENGINE_HEALTH_URL).respond(json=captured("refund-engine", "001"))
    await monitor.check_all(watched.clients_for)
    assert engine() == HEALTHY


async def test_calls_to_one_service_say_nothing_of_the_others(monitor, call, ann):
    """One service's outage costs its own light and nothing else."""
    for _ in range(3):
        await call(ann, 500)

    assert [state.status for state in monitor.states()] == [Status.UNHEALTHY] + [Status.UNKNOWN] * 5


class TestRun:
    """The loop, with all probes 20 ms apart."""

    @pytest.fixture
    def monitor(self, monkeypatch) -> HealthMonitor:
        often = tuple(replace(service, probe_every_s=0.02) for service in SERVICES)
        monkeypatch.setattr("clients.health.SERVICES", often)
        return HealthMonitor(OwnBus())

    @pytest.fixture
    async def running(self, monitor, watched):
        """Let the monitor run until a condition holds; it must not end by itself."""

        async def running(until):
            task = asyncio.create_task(monitor.run(watched))
            async with asyncio.timeout(WITHIN_S):
                while not until():  # noqa: ASYNC110 - the monitor tells nobody, and should not
                    await asyncio.sleep(0.01)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        return running

    async def test_it_lives_while_everything_refuses(self, monitor, running, respx_router):
        """The BFF starts before the services do: the monitor must still be there when they come."""
        respx_router.get(path="/health").mock(side_effect=httpx.ConnectError("refused"))

        await running(until=lambda: len(respx_router.calls) >= 3 * 12)  # rounds of six, each tried twice

        assert {(state.status, state.reason) for state in monitor.states()} == {
            (Status.UNHEALTHY, Reason.UNREACHABLE)
        }
        assert monitor.state("stripe").consecutive_failures >= 2

    async def test_it_sees_a_service_come_back(self, monitor, running, probes):
        """Nobody restarts the BFF because a service was down when it started."""
        healthy = probes["mcde"].return_value
        probes["mcde"].mock(
            side_effect=lambda _, route: httpx.Response(503) if route.call_count < 3 else healthy
        )

        await running(until=lambda: monitor.state("mcde").status is Status.HEALTHY)

        assert probes["mcde"].call_count == 4  # the first probe failed twice, the second came through

    async def test_a_service_that_answers_viewers_is_not_probed(
        self, monitor, running, probes, call, respx_router, ann
    ):
        """Each probe that traffic makes needless is a request left for a seller."""
        await call(ann, 200)

        await running(until=lambda: all(probes[name].call_count >= 3 for name in probes if name[0] != "r"))

        assert probes["refund-engine"].call_count == 1  # the first round asks everybody

    async def test_a_lost_dependency_is_probed_all_the_same(
        self, running, probes, call, respx_router, captured, ann
    ):
        """Only a probe can say that it is over, so traffic must not stop the probes."""
        await call(ann, 200)
        respx_router.get(ENGINE_HEALTH_URL).respond(json=captured("refund-engine", "127"))

        await running(until=lambda: probes["refund-engine"].call_count >= 3)
