"""The rehearsal link: whoever wants to see an outage sees it, and nobody else does."""

import asyncio
import time

import pytest
from interlock import State
from late import LATE_S
from pydantic import TypeAdapter

from clients.chain.rehearsal import Fault, rehearsed_faults
from clients.directory import SERVICES
from clients.errors import (
    ContractBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)

NAMES = {service.name: service for service in SERVICES}
CLAIMS = {"data": [], "pagination": {"total": 7}}


@pytest.fixture
def route(respx_router):
    return respx_router.get(host="refund-engine.test").respond(json=CLAIMS)


@pytest.fixture
def claims(directory):
    return lambda caller: directory.clients_for(caller).refund_engine.claims_page(limit=1)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", {}),
        ("stripe=down", {"stripe": Fault("down")}),
        (" stripe=down , mcde=slow:2000,", {"stripe": Fault("down"), "mcde": Fault("slow", 2000)}),
        ("stripe=down,stripe=hang", {"stripe": Fault("hang")}),
        *((f"predictor={word}", {"predictor": Fault(word)}) for word in ("error", "garbage", "rate-limited")),
    ],
)
def test_words(text, faults):
    """The header reads as a person would write it."""
    assert rehearsed_faults(text, NAMES) == faults


@pytest.mark.parametrize(
    "text",
    [
        "stripe",
        "stripe=",
        "=down",
        "strip=down",
        "stripe=Down",
        "stripe=slow",
        "stripe=slow:",
        "stripe=slow:-1",
        "stripe=slow:1.5",
        "stripe=slow:999999",
        "stripe=slow:\u0663",
        "stripe=down mcde=down",
        "stripe = down",
        "ok=ok",
    ],
)
def test_bad_words_are_refused_with_what_there_is(text):
    """A misspelt rehearsal that is passed over looks like a screen that survives everything."""
    with pytest.raises(ValueError, match="there are"):
        rehearsed_faults(text, NAMES)


def test_a_bad_word_is_not_repeated_at_length():
    """The message goes to the client: it must not carry a page back."""
    with pytest.raises(ValueError, match="there are") as raised:
        rehearsed_faults("x" * 9999, NAMES)

    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("down", UpstreamUnavailable),
        ("error", UpstreamFailed),
        ("garbage", ContractBroken),
        ("rate-limited", UpstreamRateLimited),
        ("hang", UpstreamTimeout),
        ("slow:99999", UpstreamTimeout),
    ],
)
async def test_each_fault_is_seen_by_its_caller_alone(
    claims, directory, caller_for, route, outcomes, ann, bob, word, kind
):
    """Twenty rehearsed outages: no circuit opens, no health changes, no request leaves, nobody notices."""
    rehearsed, others = f"refund-engine={word}", [caller_for(bob), caller_for(ann)]
    budget_s = 0.2 if kind is UpstreamTimeout else 10

    failures = await asyncio.gather(
        *(claims(caller_for(ann, budget_s=budget_s, rehearsed=rehearsed)) for _ in range(20)),
        return_exceptions=True,
    )

    assert [type(failure) for failure in failures] == [kind] * 20
    assert (route.call_count, outcomes, directory.circuit("refund-engine")) == (0, [], State.CLOSED)
    assert [(await claims(caller)).total for caller in others] == [7, 7]
    assert directory.quota("refund-engine").share_left == 1.0


async def test_a_rehearsed_429_says_when(claims, caller_for, ann):
    """A screen that shows a countdown is built against this."""
    with pytest.raises(UpstreamRateLimited) as raised:
        await claims(caller_for(ann, rehearsed="refund-engine=rate-limited"))

    assert raised.value.retry_after_ms == 30_000


async def test_slow_is_slow_and_then_true(claims, caller_for, route, ann):
    """The answer is the service's own, that much later."""
    started_s = time.monotonic()

    page = await claims(caller_for(ann, rehearsed="refund-engine=slow:150"))

    assert (page.total, route.call_count) == (7, 1)
    assert 0.15 <= time.monotonic() - started_s < 0.15 + LATE_S


async def test_hang_ends_with_the_services_limit(make_upstream, caller_for, ann):
    """As a real one does: the rest of the screen's time is left for the others."""
    upstream = make_upstream(timeout_s=0.1)
    started_s = time.monotonic()

    with pytest.raises(UpstreamTimeout):
        await upstream.call(
            caller_for(ann, rehearsed="refund-engine=hang"), "asked", "GET", "/", TypeAdapter(dict)
        )

    assert 0.1 <= time.monotonic() - started_s < 0.1 + LATE_S


async def test_other_services_of_the_same_caller_are_themselves(directory, caller_for, respx_router, ann):
    """One outage at a time is what a screen is checked against."""
    respx_router.get(host="stripe.test").respond(404, json={"error": "Account not found"})
    clients = directory.clients_for(caller_for(ann, rehearsed="refund-engine=down"))

    assert await clients.stripe.account() is None
    with pytest.raises(UpstreamUnavailable):
        await clients.refund_engine.claims_page(limit=1)
