"""Outage rehearsal: `X-Rehearse` shows a screen what the real outage would, and shows it to nobody else."""

from typing import Any

import pytest
from bff_under_test import PATIENT_FOR_S
from read_operations import variables_for

from bff.app import dev_token
from bff.auth import SCOPES
from bff.cli import dev_settings
from bff.dev_issuer import DevIssuer
from bff.sandbox.faults import SERVICES
from bff.sandbox.seed import SELLERS, seed
from clients.chain.breaker import BreakerSettings

FIRST, SECOND = SELLERS
OPERATIONS = (  # together they ask all six
    "Dashboard",
    "CaseDetail",
    "Detections",
    "Billing",
    "ClaimLivePrediction",
    "DocumentEvidence",
    "IntegrationsHub",
    "SyncDetail",
)
ASKED_FOR = {"x-upstreams": "1"}
# What differs between any two answers: clocks, signed links; and health, which a rehearsal leaves alone.
VOLATILE = {"asOf", "coversSince", "validatedAt", "generatedAt", "url", "expiresAt", "health"}


def rehearsing(word):
    return {"x-rehearse": word}


def without_scope(bff, seller=FIRST):
    scopes = [scope for scope in SCOPES if scope != "faults:rehearse"]
    return DevIssuer(bff.settings.jwt_secret).token(
        user_id=seller.user_id,
        email=seller.email,
        name=seller.name,
        stripe_user_id=seller.stripe_user_id,
        scopes=scopes,
    )


def steady(value: Any) -> Any:
    """An answer without what differs between any two."""
    if isinstance(value, dict):
        return {name: steady(inside) for name, inside in value.items() if name not in VOLATILE}
    return [steady(inside) for inside in value] if isinstance(value, list) else value


def told(answer):
    return sorted(
        (str(error["path"]), error["extensions"]["code"], error["extensions"]["service"])
        for error in answer.errors
    )


def no_circuit():
    """Settings with which no circuit opens: in a real outage it would, and answer for the fault."""
    name_of = {service: service.replace("-", "_") for service in SERVICES}
    never = {"breaker": BreakerSettings(calls_at_least=1000), "timeout_s": PATIENT_FOR_S}
    return {name: getattr(dev_settings(), name).model_copy(update=never) for name in name_of.values()}


@pytest.mark.parametrize("fault", ["down", "error", "garbage", "rate-limited"])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_rehearsal_looks_like_the_outage(make_bff, service, fault):
    """A screen that was built against a rehearsal must not meet anything new in the real outage."""
    world = seed(20)
    variables = variables_for(world)
    played = await make_bff(world=world, mcde_repaired=True, **no_circuit())
    real = await make_bff(world=world, mcde_repaired=True, **no_circuit())
    real.sandbox.faults[service] = fault

    touched = 0
    for operation in OPERATIONS:
        seen = await played.ask(operation, headers=rehearsing(f"{service}={fault}"), **variables[operation])
        met = await real.ask(operation, **variables[operation])

        assert told(seen) == told(met), operation
        assert steady(seen.data) == steady(met.data), operation
        touched += bool(seen.errors)
    assert touched > 0


async def test_a_rehearsal_is_nobody_elses(make_bff):
    """After thirty rehearsed outages no circuit is open, all are healthy, and answers are whole and live."""
    bff = await make_bff(claims=10)
    await bff.checked()
    before = (await bff.ask("SystemStatus")).data
    everything = ",".join(f"{service}=down" for service in SERVICES)

    for _ in range(30):
        seen = await bff.ask("Dashboard", headers=rehearsing(everything))
        assert seen.errors != []
    others = await bff.ask("Dashboard", seller=SECOND, headers=ASKED_FOR)
    own = await bff.ask("Dashboard", headers=ASKED_FOR)

    for answer in (others, own):
        assert answer.errors == []
        upstreams = answer.extensions["upstreams"]
        assert {(row["state"], row["circuit"]) for row in upstreams} == {("LIVE", "CLOSED")}
    after = (await bff.ask("SystemStatus")).data
    statuses = [
        [(row["name"], row["status"]) for row in data["serviceHealth"]["services"]]
        for data in (before, after)
    ]
    assert statuses[0] == statuses[1]


async def test_a_rehearsed_outage_costs_the_services_nothing(bff):
    """A service that is played dead is not asked, and the others as ever."""
    await bff.ask("Dashboard", headers=rehearsing("cost-docs=down,stripe=hang"), budget_ms=3000)

    assert bff.calls() == {"refund-engine": 2, "integrations": 3}


@pytest.mark.parametrize("document", ["Dashboard", "{ viewer { userId } }"])
async def test_without_the_scope_it_is_forbidden(bff, document):
    """Whoever could play outages in anybody's name would be the outage; nothing is asked."""
    headers = {"authorization": f"Bearer {without_scope(bff)}"}

    refused = await bff.ask_with(headers | rehearsing("stripe=down"), document)
    served = await bff.ask_with(headers, document)

    assert (refused.status, refused.data) == (403, None)
    assert [error["extensions"]["code"] for error in refused.errors] == ["FORBIDDEN"]
    assert (served.status, served.errors) == (200, [])


async def test_where_nobody_may_rehearse_the_header_means_nothing(make_bff):
    """In production the switch is off: the header of a curious client changes nothing, scope or not."""
    bff = await make_bff(claims=10, rehearsals=False)
    tokens = dev_token(bff.settings, FIRST), without_scope(bff, SECOND)

    for token in tokens:
        for word in ("stripe=down", "no such=word"):
            headers = {"authorization": f"Bearer {token}"} | rehearsing(word)
            answer = await bff.ask_with(headers, "PaymentMetrics")
            assert (answer.status, answer.errors) == (200, [])


@pytest.mark.parametrize(
    "word", ["stripe", "stripe=dead", "strip=down", "stripe=slow:x", "stripe=down;mcde=down"]
)
async def test_a_bad_word_is_refused(bff, word):
    """A typing error that is passed over looks like a screen that survives everything."""
    answer = await bff.ask("Dashboard", headers=rehearsing(word))

    assert (answer.status, answer.data) == (400, None)
    [error] = answer.errors
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith("`X-Rehearse`: ")
    assert bff.calls() == {}
