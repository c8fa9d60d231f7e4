"""The bulkhead link: one slow service must not hold every connection and every seller's request."""

import asyncio
import time

import httpx
import pytest
from interlock import State
from pydantic import TypeAdapter

from clients.chain.breaker import BreakerSettings
from clients.errors import UpstreamUnavailable

URL = "https://refund-engine.test/asked"
ANYTHING = TypeAdapter(dict[str, int])


class Slow:
    """A service that takes its time, and notes how many it serves at once."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.now = self.most = self.asked = 0

    async def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.now -= 1
        return httpx.Response(200, json={})


@pytest.fixture
def slow(respx_router):
    slow = Slow(0.1)
    respx_router.get(URL).mock(side_effect=slow)
    return slow


@pytest.fixture
def upstream(make_upstream):
    return make_upstream(in_flight=2, breaker=BreakerSettings(calls_at_least=1000))


@pytest.fixture
def ask(upstream):
    async def ask(caller):
        await upstream.call(caller, "asked", "GET", "/asked", ANYTHING)

    return ask


async def test_so_many_at_once_and_the_next_waits_a_moment(ask, slow, caller_for, ann, bob):
    """A burst is smoothed, not refused: three times the places are served, whoever's they are."""
    await asyncio.gather(*(ask(caller_for(who)) for who in (ann, bob) * 3))

    assert (slow.most, slow.asked) == (2, 6)


async def test_who_waits_too_long_is_told_so_and_nothing_is_sent(
    ask, upstream, slow, caller_for, outcomes, ann, bob
):
    """A queue behind a service that hangs would hold every screen. It is not held against the service."""
    slow.takes_s = 1.5
    first = [asyncio.create_task(ask(caller_for(ann))) for _ in range(2)]
    await asyncio.sleep(0.01)
    bobs = caller_for(bob)
    started_s = time.monotonic()

    with pytest.raises(UpstreamUnavailable) as raised:
        await ask(bobs)

    assert 0.5 <= time.monotonic() - started_s < 1.2
    assert (type(raised.value), raised.value.retryable) == (UpstreamUnavailable, True)
    use = bobs.uses["refund-engine"]
    assert (slow.asked, use.calls, use.attempts) == (2, 1, 0)
    assert (outcomes, upstream.circuit) == ([], State.CLOSED)
    await asyncio.gather(*first)


async def test_a_place_is_given_back_whatever_happens(ask, slow, caller_for, respx_router, ann):
    """Two lost places would close the service for everybody, until the next restart."""
    route = respx_router.get(URL)
    for failure in (httpx.ConnectError("refused"), [httpx.Response(404)] * 6):
        route.mock(side_effect=failure)
        await asyncio.gather(*(ask(caller_for(ann)) for _ in range(6)), return_exceptions=True)
    route.mock(side_effect=slow)
    leaving = [asyncio.create_task(ask(caller_for(ann))) for _ in range(6)]  # some ask, and some wait
    await asyncio.sleep(0.02)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)

    await asyncio.gather(*(ask(caller_for(ann)) for _ in range(4)))

    assert (slow.most, slow.now) == (2, 0)


async def test_a_deadline_ends_the_waiting_too(ask, slow, caller_for, ann):
    """Half a second in the queue is too long for a client that has a tenth."""
    slow.takes_s = 0.4
    first = [asyncio.create_task(ask(caller_for(ann))) for _ in range(2)]
    await asyncio.sleep(0.01)
    started_s = time.monotonic()

    with pytest.raises(UpstreamUnavailable):
        await ask(caller_for(ann, budget_s=0.15))

    assert time.monotonic() - started_s < 0.35
    await asyncio.gather(*first)
    assert slow.asked == 2


async def test_each_service_has_its_own_places(directory, caller_for, respx_router, ann):
    """One service that hangs must not keep the others' answers from the screen."""
    hanging = asyncio.Event()

    async def hang(_request):
        await hanging.wait()
        return httpx.Response(200, json={"data": []})

    respx_router.get(host="integrations.test").mock(side_effect=hang)
    respx_router.get(host="refund-engine.test").respond(json={"data": [], "pagination": {"total": 0}})
    asking = [
        asyncio.create_task(directory.clients_for(caller_for(ann)).integrations.sync(f"sync-{number}"))
        for number in range(40)
    ]
    await asyncio.sleep(0.05)
    started_s = time.monotonic()

    await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    assert time.monotonic() - started_s < 0.3
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
