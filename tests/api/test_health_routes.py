"""What probes and status pages ask: answered at once and whatever happens to the services."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from bff_under_test import Bff, MakeBff, limits, running
from late import LATE_S

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.sandbox.sandbox import PORTS, SERVICES, Sandbox
from bff.sandbox.seed import SELLERS, seed
from resolvers.global_ids import global_id

LEAKS = ("127.0.0.1", "localhost", "http:", "Traceback", "Error", "refused", "sandbox", "secret", "prisma")
EVERY_FAULT = ("down", "hang", "error", "garbage", "rate-limited", "slow:60000")


def signed_in(bff: Bff) -> dict[str, str]:
    return {"authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}"}


async def states(bff: Bff) -> dict[str, dict[str, Any]]:
    """Service → how the status page shows it."""
    response = await bff.http.get("/api/services/status", headers=signed_in(bff))
    assert response.status_code == 200
    return {service["name"]: service for service in response.json()["data"]["services"]}


@pytest.fixture
async def broken(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Bff, float]]:
    """A BFF whose services were all broken before it started, and how long the start took, in seconds."""
    sandbox, settings = Sandbox(seed(2)), dev_settings()
    # Whoever waits for one that hangs is later than a busy machine.
    settings = settings.model_copy(update=limits((), settings))
    for service in SERVICES:
        sandbox.faults[service] = request.param
    app = create_dev_app(sandbox, settings, seller=SELLERS[0])
    started_s = time.perf_counter()
    async with running(app, sandbox, settings) as bff:
        assert (await bff.http.get("/readyz")).status_code == 200
        yield bff, time.perf_counter() - started_s


@pytest.mark.parametrize("broken", EVERY_FAULT, indirect=True)
async def test_the_process_starts_and_lives_without_any_service(broken: tuple[Bff, float]):
    """Restarted in the middle of an outage, it must be there to say so; nor may a probe kill it then."""
    bff, took_s = broken

    live, ready = await bff.http.get("/livez"), await bff.http.get("/readyz")

    assert took_s < LATE_S
    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "shelf": "own"})


@pytest.mark.parametrize(
    ("broken", "status", "reason"),
    [
        ("down", "UNHEALTHY", "UNREACHABLE"),
        ("error", "UNHEALTHY", "ERROR_ANSWER"),
        ("garbage", "UNHEALTHY", "ERROR_ANSWER"),
        ("rate-limited", "DEGRADED", "RATE_LIMITED"),
    ],
    indirect=["broken"],
)
async def test_the_first_round_sees_what_is_broken(broken: tuple[Bff, float], status: str, reason: str):
    """The state is there right after the start, with a reason, and without a word of the services'."""
    bff, _ = broken
    await bff.checked()

    health = await bff.http.get("/health")
    page = await bff.http.get("/api/services/status", headers=signed_in(bff))

    assert health.status_code == page.status_code == 200
    assert {service["status"] for service in health.json()["data"]["services"]} == {status}
    assert {service["reason"] for service in page.json()["data"]["services"]} == {reason}
    assert {service["lastHealthyAt"] for service in page.json()["data"]["services"]} == {None}
    assert health.json()["data"]["status"] == status
    for text in (health.text, page.text):
        assert [leak for leak in LEAKS if leak in text] == []
        assert [port for port in PORTS.values() if f":{port}" in text] == []


@pytest.mark.parametrize("broken", ["hang"], indirect=True)
async def test_health_does_not_wait_for_services(broken: tuple[Bff, float]):
    """Before the first round is over, states are unknown; whoever asks is told so at once."""
    bff, _ = broken
    started_s = time.perf_counter()

    health = (await bff.http.get("/health")).json()["data"]

    assert time.perf_counter() - started_s < LATE_S
    assert (health["status"], health["healthyCount"], health["checkedAt"]) == ("UNKNOWN", 0, None)
    assert {service["status"] for service in health["services"]} == {"UNKNOWN"}


async def test_public_health_tells_states_only(bff: Bff):
    """It needs no token, so it tells nobody more than which service is well."""
    health = await bff.checked()

    response = await bff.http.get("/health")

    assert response.headers["cache-control"] == "no-store"
    assert [service["name"] for service in health["services"]] == list(SERVICES)
    assert {tuple(service) for service in health["services"]} == {("id", "name", "status")}
    assert health.keys() == {"status", "healthyCount", "totalCount", "checkedAt", "services"}
    assert (health["status"], health["healthyCount"], health["totalCount"]) == ("HEALTHY", 6, 6)


async def test_health_is_not_for_callers_tokens(bff: Bff):
    """A load balancer may send any header along: a bad token must not take the process out of service."""
    bad = {"authorization": "Bearer garbage"}

    answers = [
        (await bff.http.get(route, headers=bad)).status_code for route in ("/livez", "/readyz", "/health")
    ]

    assert answers == [200, 200, 200]


async def test_no_status_page_asks_a_service(bff: Bff):
    """Status pages are reloaded most when services can bear it least."""
    await bff.checked()
    bff.sandbox.calls.clear()

    for route in ("/livez", "/readyz", "/health", "/api/services/status", "/api/services/stripe/health"):
        assert (await bff.http.get(route, headers=signed_in(bff))).status_code == 200

    assert list(bff.sandbox.calls) == []


async def test_the_status_page_shows_each_service(bff: Bff):
    """All six, in the order every screen shows them, as the graph shows them."""
    await bff.checked()

    response = await bff.http.get("/api/services/status", headers=signed_in(bff))

    graph = await bff.ask("SystemStatus")
    assert response.json() == {"data": graph.data["serviceHealth"]}
    assert [service["name"] for service in response.json()["data"]["services"]] == list(SERVICES)
    assert [leak for leak in LEAKS if leak in response.text] == []


@pytest.mark.parametrize("name", SERVICES)
async def test_one_service_is_shown_by_name(bff: Bff, name: str):
    """The route of the old deployment, for dashboards that know its name."""
    await bff.checked()

    response = await bff.http.get(f"/api/services/{name}/health", headers=signed_in(bff))

    assert response.status_code == 200
    shown = response.json()["data"]
    assert (shown["id"], shown["name"], shown["status"]) == (
        global_id("ServiceHealth", name),
        name,
        "HEALTHY",
    )
    assert shown["responseTimeMs"] >= 0
    assert [leak for leak in LEAKS if leak in response.text] == []


@pytest.mark.parametrize(
    "name",
    [
        "orchestrator",
        "Stripe",
        "stripe ",
        "STRIPE",
        "%00",
        "..",
        "%2e%2e",
        "a%20b",
        "é",
        "'",
        "x" * 5000,
        ":",
        "1",
        "-",
    ],
)
async def test_a_service_that_is_none_is_not_found(bff: Bff, name: str):
    """Whatever the name is, there is no such service: 404, and no word of how names are read."""
    response = await bff.http.get(f"/api/services/{name}/health", headers=signed_in(bff))

    assert response.status_code == 404
    if response.json() != {"data": None}:  # a name that is no name has no route at all
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["NOT_FOUND"]


async def test_an_outage_under_traffic_is_seen_before_the_next_probe(bff: Bff):
    """Probes are a minute apart; failing calls of viewers tell sooner, and whose fault it is."""
    await bff.checked()
    bff.sandbox.down.add("stripe")

    for _ in range(3):
        answer = await bff.ask("Dashboard")
        assert answer.data["dashboard"]["paymentMetrics"] is None

    seen = await states(bff)
    assert (seen["stripe"]["status"], seen["stripe"]["reason"]) == ("UNHEALTHY", "UNREACHABLE")
    assert seen["stripe"]["consecutiveFailureCount"] >= 3
    assert {name: service["status"] for name, service in seen.items() if name != "stripe"} == dict.fromkeys(
        (name for name in SERVICES if name != "stripe"), "HEALTHY"
    )
    public = (await bff.http.get("/health")).json()["data"]
    assert (public["status"], public["healthyCount"]) == ("UNHEALTHY", 5)


async def test_a_service_that_answers_again_is_healthy_again(bff: Bff):
    """A call that succeeds ends the outage at once: nobody waits for a probe to believe it."""
    await bff.checked()
    bff.sandbox.down.add("stripe")
    for _ in range(3):
        await bff.ask("Dashboard")
    bff.sandbox.down.discard("stripe")

    answer = await bff.ask("Dashboard")

    assert answer.errors == []
    stripe = (await states(bff))["stripe"]
    assert (stripe["status"], stripe["reason"], stripe["consecutiveFailureCount"]) == ("HEALTHY", None, 0)


async def test_one_failed_call_is_no_outage(bff: Bff):
    """One failure may be that call's fault: a status page that flickers is not believed."""
    await bff.checked()
    bff.sandbox.faults["stripe"] = "error"
    await bff.ask("{ paymentAccount { status } }")

    stripe = (await states(bff))["stripe"]

    assert (stripe["status"], stripe["consecutiveFailureCount"]) == ("HEALTHY", 1)


async def test_a_service_without_its_database_is_degraded():
    """The refund engine says "healthy" with its database gone, the predictor with its model missing."""
    sandbox, settings = Sandbox(seed(2)), dev_settings()
    sandbox.world.database_connected = False
    sandbox.world.model_loaded = False

    async with running(create_dev_app(sandbox, settings, seller=SELLERS[0]), sandbox, settings) as bff:
        health = await bff.checked()
        seen = await states(bff)

    assert {name: (service["status"], service["reason"]) for name, service in seen.items()} == {
        "refund-engine": ("DEGRADED", "DEPENDENCY_DOWN"),
        "integrations": ("HEALTHY", None),
        "cost-docs": ("HEALTHY", None),
        "stripe": ("HEALTHY", None),
        "mcde": ("HEALTHY", None),
        "predictor": ("DEGRADED", "DEPENDENCY_DOWN"),
    }
    assert (health["status"], health["healthyCount"]) == ("DEGRADED", 4)


async def test_a_service_whose_dependency_is_down_is_degraded():
    """mcde needs the refund engine and says so in its body, with 200."""
    sandbox, settings = Sandbox(seed(2)), dev_settings()
    sandbox.down.add("refund-engine")

    async with running(create_dev_app(sandbox, settings, seller=SELLERS[0]), sandbox, settings) as bff:
        await bff.checked()
        seen = await states(bff)

    assert (seen["mcde"]["status"], seen["mcde"]["reason"]) == ("DEGRADED", "DEPENDENCY_DOWN")
    assert (seen["refund-engine"]["status"], seen["refund-engine"]["reason"]) == ("UNHEALTHY", "UNREACHABLE")


@pytest.mark.parametrize("route", ["/api/services/status", "/api/services/stripe/health"])
async def test_details_need_a_token(bff: Bff, route: str):
    """Response times and reasons are for people who are signed in."""
    response: httpx.Response = await bff.http.get(route)

    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_probes_carry_no_token(make_bff: MakeBff):
    """A probe asks for nobody: a token in it would be somebody's."""
    bff = await make_bff(claims=1)

    await bff.checked()

    probes = [heard for heard in bff.heard if heard.path == "/health"]
    assert sorted(heard.service for heard in probes) == sorted(SERVICES)
    assert [heard for heard in probes if "authorization" in heard.headers] == []
