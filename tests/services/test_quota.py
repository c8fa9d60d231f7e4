"""What is left of a service's patience, read from its own headers; what is used up is not asked for."""

import time
from datetime import UTC, datetime

import pytest
import time_machine

from clients.errors import UpstreamRateLimited
from clients.quota import Quota

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY_PAGE = {"data": [], "pagination": {"total": 0}}


def x_headers(limit, remaining, resets_in_s):
    """As the refund engine and integrations send them: the reset is an epoch."""
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(time.time()) + resets_in_s),
    }


def draft6_headers(limit, remaining, resets_in_s):
    """As cost docs and stripe send them: the reset is in seconds from now."""
    return {
        "ratelimit-limit": str(limit),
        "ratelimit-remaining": str(remaining),
        "ratelimit-reset": str(resets_in_s),
    }


FAMILIES = pytest.mark.parametrize("headers", [x_headers, draft6_headers])


@pytest.fixture
def quota():
    return Quota()


def test_nothing_is_known_before_a_header_came(quota):
    """Two services count nobody: for them there is nothing to spare."""
    assert (quota.share_left, quota.used_up, quota.scarce, quota.resets_in_s) == (1.0, False, False, 0)


@FAMILIES
@pytest.mark.parametrize(
    ("remaining", "share", "scarce", "used_up"),
    [(100, 1.0, False, False), (20, 0.2, False, False), (19, 0.19, True, False), (0, 0.0, True, True)],
)
def test_both_families_of_headers(quota, headers, remaining, share, scarce, used_up):
    """Four services, two dialects: an epoch read as seconds would close a service for fifty years."""
    with time_machine.travel(NOW, tick=False):
        quota.observe(headers(100, remaining, 900))

    assert (quota.share_left, quota.scarce, quota.used_up) == (share, scarce, used_up)
    assert 895 < quota.resets_in_s <= 900


@pytest.mark.parametrize(
    "change",
    [
        {"limit": "many"},
        {"limit": "0"},
        {"limit": "9" * 40},
        {"remaining": "-1"},
        {"remaining": "1.5"},
        {"remaining": ""},
        {"remaining": "\u0663"},
        {"reset": "soon"},
        {"reset": "9" * 40},
    ],
    ids=str,
)
@FAMILIES
def test_nonsense_is_not_believed(quota, headers, change):
    """A proxy's odd header must neither stop our traffic nor break the call that brought it."""
    good = headers(100, 0, 900)
    prefix = next(iter(good)).removesuffix("limit")

    quota.observe(good | {prefix + name: value for name, value in change.items()})

    assert (quota.used_up, quota.share_left) == (False, 1.0)


@FAMILIES
def test_a_reset_far_away_is_cut(quota, headers):
    """Their windows are fifteen minutes: a clock that is a day ahead must not cost us a day."""
    quota.observe(headers(100, 0, 86_400))

    assert 3500 < quota.resets_in_s <= 3600


def test_a_window_that_has_passed_is_forgotten(quota, monkeypatch):
    """When the window ends there is a new quota, though no header has said so yet."""
    quota.observe(draft6_headers(100, 0, 1))
    assert quota.used_up

    later_s = time.monotonic() + 1.1
    monkeypatch.setattr("clients.quota.time.monotonic", lambda: later_s)

    assert (quota.used_up, quota.scarce, quota.share_left) == (False, False, 1.0)


def test_a_429_without_headers_counts_by_its_retry_after(quota):
    """A gateway's 429 names only the wait."""
    quota.observe({}, retry_after_s=30)

    assert quota.used_up
    assert 29 < quota.resets_in_s <= 30


@FAMILIES
async def test_used_up_means_nothing_is_sent(
    directory, caller_for, respx_router, outcomes, ann, bob, headers
):
    """A request beyond the quota brings a 429 and a longer wait for all: it stays here, and says when."""
    route = respx_router.get(host="refund-engine.test").respond(json=EMPTY_PAGE, headers=headers(100, 0, 900))
    other = respx_router.get(host="integrations.test").respond(json={"success": True, "data": []})
    await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)
    told, bobs = len(outcomes), caller_for(bob)

    for offset in (1, 2):  # pages that nobody has asked for, so that no old answer can be given
        with pytest.raises(UpstreamRateLimited) as raised:
            await directory.clients_for(bobs).refund_engine.claims_page(limit=1, offset=offset)
        assert 890_000 < raised.value.retry_after_ms <= 900_000

    use = bobs.uses["refund-engine"]
    assert (route.call_count, use.calls, use.attempts, len(outcomes)) == (1, 2, 0, told)
    await directory.clients_for(caller_for(ann)).integrations.integrations()
    assert other.call_count == 1  # each service has its own


async def test_used_up_ends_with_the_window(directory, caller_for, respx_router, ann):
    """After the reset the next seller's call is sent, and not only after a restart."""
    route = respx_router.get(host="refund-engine.test").respond(429, headers={"retry-after": "30"})
    engine = directory.clients_for(caller_for(ann)).refund_engine
    for _ in range(3):
        with pytest.raises(UpstreamRateLimited):
            await engine.claims_page(limit=1)
    assert route.call_count == 1

    directory.quota("refund-engine").observe({}, retry_after_s=0)
    route.respond(json=EMPTY_PAGE)

    await engine.claims_page(limit=1)
    assert route.call_count == 2


async def test_what_was_kept_is_given_while_the_quota_is_used_up(
    directory, caller_for, respx_router, ann, bob
):
    """A quarter of an hour without a quota is an outage like another: stale beats nothing, to its viewer."""
    respx_router.get(host="refund-engine.test").respond(json=EMPTY_PAGE, headers=draft6_headers(100, 0, 900))
    first = await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    again = await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)
    with pytest.raises(UpstreamRateLimited):
        await directory.clients_for(caller_for(bob)).refund_engine.claims_page(limit=1)

    assert again.as_of == first.as_of
