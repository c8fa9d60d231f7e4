"""What is left of a service's patience, read from its own headers; what is used up is not asked for."""

import asyncio
import itertools
import time
from datetime import UTC, datetime

import httpx
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
def test_an_older_answer_that_comes_later_raises_nothing(quota, headers):
    """Twenty-five are under way at once: one that was counted earlier would open a door that is shut."""
    quota.observe(headers(100, 0, 900))
    quota.observe(headers(100, 7, 899))

    assert quota.used_up

    quota.observe(headers(100, 99, 960))  # the service was started anew, and with it its count
    assert quota.share_left == 0.99


def test_a_window_that_always_ends_as_far_away_is_not_one_for_ever(quota, monkeypatch):
    """A limiter whose window slides, or a clock that is a day ahead: what it has left may rise again."""
    began_s = time.monotonic()
    for second in range(10):
        monkeypatch.setattr("clients.quota.time.monotonic", lambda now_s=began_s + second: now_s)
        quota.observe(draft6_headers(100, 5 + second, 900))

    assert quota.share_left > 0.05


@pytest.mark.parametrize(
    "ask", [lambda service: service.connect("amazon"), lambda service: service.reconnect("gmail")]
)
async def test_a_viewers_own_limiter_is_no_news_of_the_services_quota(
    directory, as_ann, as_bob, respx_router, outcomes, ask
):
    """Thirty consent links a minute are each seller's own: who uses them up shuts no list of another's."""
    lists = respx_router.get("https://integrations.test/api/v1/integrations/status").respond(
        json={"success": True, "data": []}, headers=x_headers(1000, 950, 900)
    )
    links = respx_router.route(host="integrations.test").respond(
        json={"success": True, "authUrl": "https://a.test", "data": {"reconnectUrl": "https://a.test"}},
        headers=x_headers(30, 1, 60),
    )
    quota = directory.quota("integrations")
    await as_bob.integrations.integrations()

    await ask(as_ann.integrations)
    assert (quota.share_left, quota.scarce) == (0.95, False)
    links.respond(429, json={"error": "Too many"}, headers={**x_headers(30, 0, 60), "retry-after": "60"})
    with pytest.raises(UpstreamRateLimited) as raised:
        await ask(as_ann.integrations)

    assert raised.value.retry_after_ms == 60_000
    assert (quota.share_left, quota.used_up) == (0.95, False)
    await as_bob.integrations.integrations()
    assert lists.call_count == 2
    assert [outcome.error for outcome in outcomes] == [None] * 4  # nor is the service any worse for it


async def test_a_consent_link_that_is_counted_with_the_rest_is_news(directory, as_ann, respx_router):
    """Gmail's has no limiter of its own (captured): what it tells is the quota of all."""
    respx_router.post("https://integrations.test/api/gmail/connect").respond(
        json={"success": True, "authUrl": "https://a.test"}, headers=x_headers(100, 7, 900)
    )

    await as_ann.integrations.connect("gmail")

    assert directory.quota("integrations").share_left == 0.07


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


# ---- several viewers, and little left


class Counted:
    """A service that counts as the real ones do: 100 requests in a window, whoever sends them."""

    def __init__(self, used: int) -> None:
        self.used = used

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.used += 1
        if self.used > 100:
            return httpx.Response(429, headers={"retry-after": "900"})
        return httpx.Response(200, json=EMPTY_PAGE, headers=draft6_headers(100, 100 - self.used, 900))


@pytest.fixture
def pages(directory, caller_for, monkeypatch):
    """Ask for so many pages that nobody has asked for, all at once: how many were given."""
    monkeypatch.setattr("clients.chain.bulkhead.QUEUE_S", 30)  # nobody gives up while they wait for a place
    offsets = itertools.count(1)

    async def pages(viewer, times):
        engine = directory.clients_for(caller_for(viewer)).refund_engine
        asked = [engine.claims_page(limit=1, offset=next(offsets)) for _ in range(times)]
        given = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in given if isinstance(each, Exception)]
        assert all(isinstance(each, UpstreamRateLimited) for each in refused)
        assert all(each.retry_after_ms for each in refused)
        return times - len(refused)

    return pages


async def test_one_viewer_does_not_take_the_last_of_it(pages, respx_router, ann, bob):
    """One script would leave nothing to anybody for a quarter of an hour."""
    service = Counted(used=0)
    respx_router.get(host="refund-engine.test").mock(side_effect=service)

    assert await pages(ann, 1) == 1
    anns = 1 + await pages(ann, 200)

    assert 80 <= anns <= 91  # what is not scarce, and half of the rest
    assert service.used == anns
    assert await pages(bob, 1) == 1
    assert await pages(bob, 200) >= 2
    assert service.used <= 100


async def test_a_share_is_fair(pages, respx_router, ann, bob):
    """Who came before the quota ran low has as much of the rest as who made it run low."""
    service = Counted(used=70)
    respx_router.get(host="refund-engine.test").mock(side_effect=service)
    assert await pages(bob, 1) == 1

    assert await pages(ann, 1) == 1
    anns, bobs = await pages(ann, 50), await pages(bob, 50)

    while_enough = 28 - 20 + 1  # 28 are left, and 20 of 100 are not scarce yet
    assert (anns - while_enough, bobs) == (19 // 3, 19 // 3)
    assert service.used <= 100


async def test_nothing_is_held_back_before_it_is_scarce(pages, respx_router, ann, bob):
    """A share of plenty would only make screens fail."""
    respx_router.get(host="refund-engine.test").mock(side_effect=Counted(used=0))

    assert await pages(bob, 1) == 1
    assert await pages(ann, 25) == 25
    assert await pages(ann, 25) == 25


def test_our_own_probes_have_no_share(quota):
    """They grow rarer by themselves; without them an outage would go unseen for as long as it is scarce."""
    quota.observe(draft6_headers(100, 10, 900))

    taken = [quota.take(None) for _ in range(10)]

    assert taken == [True] * 10
    assert not quota.take(None)  # the ten are under way
    quota.give_back()
    assert quota.take(None)


def test_shares_end_with_the_window(quota, monkeypatch):
    """Else a viewer would be held back for what they took an hour ago."""
    quota.observe(draft6_headers(100, 4, 1))
    while quota.take("ann"):
        quota.give_back()

    later_s = time.monotonic() + 1.1
    monkeypatch.setattr("clients.quota.time.monotonic", lambda: later_s)

    assert quota.take("ann")
    quota.give_back()
    quota.observe(draft6_headers(100, 4, 900))
    assert quota.take("ann")
    assert quota.take("bob")
