"""The bulkhead link: one slow service must not hold every connection and every seller's request."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from interlock import State
from late import LATE_S
from pydantic import TypeAdapter

from clients.chain.breaker import BreakerSettings
from clients.errors import UpstreamRateLimited, UpstreamUnavailable

URL = "https://refund-engine.test/asked"
ANYTHING = TypeAdapter(dict[str, int])
RESILIENCE = Path(__file__).parents[2] / "docs" / "resilience.md"


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
def patient(monkeypatch):
    """Nobody gives up while they wait for a place."""
    monkeypatch.setattr("clients.chain.bulkhead.QUEUE_S", 30)


@pytest.fixture
def upstream(make_upstream):
    return make_upstream(in_flight=2, timeout_s=9, breaker=BreakerSettings(calls_at_least=1000))


@pytest.fixture
def ask(upstream):
    async def ask(caller):
        await upstream.call(caller, "asked", "GET", "/asked", ANYTHING)

    return ask


async def left(asking):
    """Whoever asks leaves."""
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def turns_of_the_loop():
    """Long enough to come through the links of the chain."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_so_many_at_once_and_the_next_waits_a_moment(patient, ask, slow, caller_for, ann, bob):
    """A burst is smoothed, not refused: three times the places are served, whoever's they are."""
    await asyncio.gather(*(ask(caller_for(who)) for who in (ann, bob) * 3))

    assert (slow.most, slow.asked) == (2, 6)


async def test_who_waits_too_long_is_told_so_and_nothing_is_sent(
    ask, upstream, slow, caller_for, outcomes, ann, bob
):
    """A queue behind a service that hangs would hold every screen. It is not held against the service."""
    slow.takes_s = 30
    first = [asyncio.create_task(ask(caller_for(ann))) for _ in range(2)]
    await turns_of_the_loop()
    bobs = caller_for(bob)
    started_s = time.monotonic()

    with pytest.raises(UpstreamRateLimited) as raised:  # "cannot be reached" would be untrue
        await ask(bobs)

    assert 0.5 <= time.monotonic() - started_s < 0.5 + LATE_S
    assert (raised.value.retryable, raised.value.retry_after_ms) == (True, None)
    use = bobs.uses["refund-engine"]
    assert (slow.asked, use.calls, use.attempts) == (2, 1, 0)
    assert (outcomes, upstream.circuit) == ([], State.CLOSED)
    await left(first)


async def test_a_place_is_given_back_whatever_happens(patient, ask, slow, caller_for, respx_router, ann):
    """Two lost places would close the service for everybody, until the next restart."""
    route = respx_router.get(URL)
    for failure in (httpx.ConnectError("refused"), [httpx.Response(404)] * 6):
        route.mock(side_effect=failure)
        await asyncio.gather(*(ask(caller_for(ann)) for _ in range(6)), return_exceptions=True)
    route.mock(side_effect=slow)
    leaving = [asyncio.create_task(ask(caller_for(ann))) for _ in range(6)]  # some ask, and some wait
    await asyncio.sleep(0.02)
    await left(leaving)

    await asyncio.gather(*(ask(caller_for(ann)) for _ in range(4)))

    assert (slow.most, slow.now) == (2, 0)


async def test_a_deadline_ends_the_waiting_too(patient, ask, slow, caller_for, ann):
    """A client that has a tenth of a second does not spend the queue's whole time in it."""
    slow.takes_s = 30
    first = [asyncio.create_task(ask(caller_for(ann))) for _ in range(2)]
    await turns_of_the_loop()
    started_s = time.monotonic()

    with pytest.raises(UpstreamUnavailable):
        await ask(caller_for(ann, budget_s=0.15))

    assert time.monotonic() - started_s < 0.15 + LATE_S
    assert slow.asked == 2
    await left(first)


async def test_each_service_has_its_own_places(patient, directory, caller_for, respx_router, ann):
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
    await turns_of_the_loop()

    await directory.clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)

    await left(asking)


# ---- several viewers at one service


class Gate:
    """A service that answers when it is told to, and notes whose requests came."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self._doors: list[asyncio.Future[None]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.came.append(request.url.params["who"])
        door = asyncio.get_running_loop().create_future()
        self._doors.append(door)
        await door
        return httpx.Response(200, json={})

    async def let_out(self) -> None:
        """Answer the one who came first, and see who comes in instead."""
        self._doors.pop(0).set_result(None)
        await turns_of_the_loop()

    @property
    def inside(self) -> int:
        return len(self._doors)


@pytest.fixture
def gate(respx_router):
    gate = Gate()
    respx_router.get(URL).mock(side_effect=gate)
    return gate


@pytest.fixture
async def crowd(patient, make_upstream, caller_for, gate):
    """Have a viewer ask many times at once: `await crowd(ann, 200)`."""
    upstream = make_upstream(in_flight=25, timeout_s=30)
    asking = []

    async def crowd(viewer, times):
        begun = []
        for _ in range(times):
            caller = caller_for(viewer, budget_s=30)
            call = upstream.call(caller, "asked", "GET", "/asked", ANYTHING, params={"who": viewer.name})
            begun.append(asyncio.create_task(call))
        asking.extend(begun)
        await turns_of_the_loop()
        return begun

    yield crowd
    await left(asking)


@pytest.fixture
def cid(ann):
    return replace(ann, user_id="5e11e200-0c00-4000-8000-000000000003", name="Cid")


async def test_one_request_does_not_wait_behind_two_hundred_of_another(crowd, gate, ann, bob):
    """A seller with 50,000 claims, or a script, must not make everybody else wait for all of it."""
    await crowd(ann, 225)
    assert gate.came == ["Ann"] * 25
    await crowd(bob, 1)

    await gate.let_out()

    assert gate.came[25:] == ["Bob"]


async def test_who_waits_is_served_in_turn(crowd, gate, ann, bob, cid):
    """Whoever has most requests has no more turns than the others."""
    await crowd(replace(ann, user_id="5e11e200-0d00-4000-8000-000000000004", name="Dan"), 25)
    for viewer, times in ((ann, 200), (bob, 10), (cid, 10)):
        await crowd(viewer, times)

    for _ in range(9):
        await gate.let_out()

    assert gate.came[25:] == ["Ann", "Bob", "Cid"] * 3


async def test_nobody_holds_more_than_half_while_others_wait(crowd, gate, ann, bob):
    """Slow requests of one seller would fill all places in the end, turn or no turn."""
    await crowd(ann, 225)
    await crowd(bob, 100)

    for _ in range(14):
        await gate.let_out()  # one of Ann's leaves

    assert gate.came[25:] == ["Bob"] * 12 + ["Ann", "Bob"]  # then Ann has twelve left, and her turn


async def test_the_docs_name_the_places_of_one_viewer(crowd, gate, ann, bob):
    """An operator who counts places must find the number that is written down."""
    await crowd(ann, 25)
    await crowd(bob, 60)
    await crowd(ann, 60)
    held = 0

    for left in range(1, 61):
        await gate.let_out()
        held = max(held, gate.came[left:].count("Bob"))

    assert f"| places of one viewer while others wait | {held} of 25 |" in RESILIENCE.read_text("utf-8")


async def test_alone_a_viewer_has_every_place(crowd, gate, ann):
    """What nobody else wants is held back from nobody."""
    await crowd(ann, 60)
    assert len(gate.came) == 25

    for _ in range(35):
        await gate.let_out()

    assert gate.came == ["Ann"] * 60


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_a_place_is_not_lost_with_who_leaves_the_queue(crowd, gate, ann, bob, cid, leaves_first):
    """Given to somebody who goes in the same moment, it goes to the next."""
    await crowd(ann, 25)
    [bobs] = await crowd(bob, 1)
    await crowd(cid, 1)

    if leaves_first:
        bobs.cancel()
        await gate.let_out()
    else:
        letting = asyncio.create_task(gate.let_out())
        await asyncio.sleep(0)
        bobs.cancel()
        await letting
    while gate.inside:
        await gate.let_out()
    await crowd(ann, 30)

    assert gate.came.count("Cid") == 1
    assert gate.inside == 25
