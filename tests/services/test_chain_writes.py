"""After a write: nothing that the seller was told before is told again, and nobody else loses anything."""

import asyncio
import contextlib
from datetime import UTC, datetime

import httpx
import pytest
import structlog
import time_machine
from late import WITHIN_S

from clients.directory import Directory
from clients.errors import UpstreamError, UpstreamTimeout
from clients.shelf import MemoryShelf, SharedShelf

BEFORE, AFTER = ({"data": [], "pagination": {"total": total}} for total in (1, 2))
STARTED = {"success": True, "data": {"syncId": "sync-1", "detectionPipelineEnabled": True}}
ID = "33333333-3333-4333-8333-333333333333"


class Engine:
    """A refund engine that lists what it has, until it is told to fail; and that takes its time when told."""

    def __init__(self, captured):
        self.claim = captured("refund-engine", "052")
        self.page, self.write, self.down = BEFORE, httpx.Response(200, json=self.claim), False
        self.hold: asyncio.Event | None = None
        self.lists = self.writes = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            if self.down:
                return httpx.Response(503)
            self.lists += 1
            page, hold = self.page, self.hold
            if hold:
                await hold.wait()
            return httpx.Response(200, json=page)
        self.page = AFTER
        self.writes += 1
        if self.hold:
            await self.hold.wait()
        if isinstance(self.write, Exception):
            raise self.write
        return self.write


@pytest.fixture
def engine(captured):
    return Engine(captured)


@pytest.fixture
async def make_directory(engine, settings):
    """A replica, on a shelf of its own unless one is given."""
    made = []

    def make_directory(shelf=None):
        made.append(
            Directory(
                settings,
                lambda _name, _settings: httpx.MockTransport(engine),
                shelf=shelf or MemoryShelf(),
                reserve_s=0.05,
                on_outcome=lambda _: None,
            )
        )
        return made[-1]

    yield make_directory
    for directory in made:
        await directory.aclose()


@pytest.fixture
def listed(caller_for):
    """How many claims a viewer is told of, and whether that is an old answer."""

    async def listed(directory, viewer):
        page = await directory.clients_for(caller_for(viewer)).refund_engine.claims_page(limit=1)
        return page.total, page.stale

    return listed


@pytest.fixture
def change(caller_for):
    async def change(directory, viewer, **options):
        engine = directory.clients_for(caller_for(viewer, **options)).refund_engine
        return await engine.update_claim(ID, {"product_category": "x"})

    return change


async def test_an_outage_after_a_write_brings_nothing_from_before_it(
    engine, make_directory, listed, change, ann, bob
):
    """Ann has changed a claim: the list without her change is a lie to her, and still true enough for Bob."""
    directory = make_directory()
    assert [await listed(directory, who) for who in (ann, bob)] == [(1, False), (1, False)]

    await change(directory, ann)
    engine.down = True

    with pytest.raises(UpstreamError):
        await listed(directory, ann)
    assert await listed(directory, bob) == (1, True)

    engine.down = False
    assert await listed(directory, ann) == (2, False)
    engine.down = True
    assert await listed(directory, ann) == (2, True)  # what was asked after it is kept as ever


@pytest.mark.parametrize("broken", [httpx.ReadError("reset"), httpx.Response(500), httpx.Response(200)])
async def test_so_it_is_when_nobody_knows_whether_it_was_done(
    engine, make_directory, listed, change, ann, bob, broken
):
    """The work may still be under way: what is asked meanwhile may be from before it, so it is not kept."""
    directory = make_directory()
    for who in (ann, bob):
        await listed(directory, who)
    engine.write = broken
    with pytest.raises(UpstreamError) as raised:
        await change(directory, ann)
    assert raised.value.maybe_done

    assert await listed(directory, ann) == (2, False)
    engine.down = True
    with pytest.raises(UpstreamError):
        await listed(directory, ann)
    assert await listed(directory, bob) == (1, True)


async def test_a_second_write_does_not_end_the_wait_for_the_first(
    engine, make_directory, listed, change, ann, bob
):
    """The first got no answer and may be done any moment; that the second was quick says nothing of it."""
    directory = make_directory()
    engine.write, done = httpx.ReadError("reset"), engine.write
    with pytest.raises(UpstreamError):
        await change(directory, ann)
    engine.write, engine.page = done, BEFORE
    for who in (ann, bob):
        await change(directory, who)
    engine.page = BEFORE
    for who in (ann, bob):
        assert await listed(directory, who) == (1, False)
    engine.page, engine.down = AFTER, True

    with pytest.raises(UpstreamError):
        await listed(directory, ann)
    assert await listed(directory, bob) == (1, True)


async def test_a_clock_set_back_repeats_nothing_from_before_a_write(
    engine, make_directory, listed, change, ann, bob
):
    """By its own time the old list was asked for after the write; nor is it a list of now for Bob."""
    directory = make_directory()
    with time_machine.travel(datetime(2026, 1, 1, tzinfo=UTC), tick=False) as clock:
        for who in (ann, bob):
            await listed(directory, who)
        clock.shift(-3600)
        await change(directory, ann)
        engine.down = True

        for who in (ann, bob):
            with pytest.raises(UpstreamError):
                await listed(directory, who)
        engine.down = False
        clock.shift(1)
        for who in (ann, bob):
            assert await listed(directory, who) == (2, False)
        engine.down = True
        for who in (ann, bob):
            assert await listed(directory, who) == (2, True)


@pytest.mark.parametrize(
    "refusal", [httpx.ConnectError("refused"), httpx.Response(400, json={"error": "no"})]
)
async def test_what_was_not_done_costs_no_answer(engine, make_directory, listed, change, ann, refusal):
    """Nothing changed, so what was told is as good as before."""
    directory = make_directory()
    await listed(directory, ann)
    engine.write = refusal
    with pytest.raises(UpstreamError):
        await change(directory, ann)
    engine.down = True

    assert await listed(directory, ann) == (1, True)


async def test_a_read_that_began_before_is_neither_shared_nor_kept(
    engine, make_directory, listed, change, ann, bob
):
    """It carries the list from before: whoever asks after the write must not get it, now or in an outage."""
    directory, engine.hold = make_directory(), asyncio.Event()
    early = [asyncio.create_task(listed(directory, who)) for who in (ann, bob)]
    while engine.lists < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)

    hold, engine.hold = engine.hold, None
    await change(directory, ann)
    assert await listed(directory, ann) == (2, False)
    hold.set()
    assert await asyncio.gather(*early) == [(1, False), (1, False)]

    engine.down = True
    assert await listed(directory, bob) == (1, True)
    assert await listed(directory, ann) == (2, True)


async def test_who_leaves_in_the_middle_has_written_all_the_same(
    engine, make_directory, listed, caller_for, ann
):
    """A browser that is closed while the write is under way: what it changed is not forgotten."""
    directory = make_directory()
    await listed(directory, ann)
    caller, engine.hold = caller_for(ann), asyncio.Event()
    leaving = asyncio.create_task(
        directory.clients_for(caller).refund_engine.update_claim(ID, {"product_category": "x"})
    )
    while not engine.writes:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    caller.leave()
    with contextlib.suppress(asyncio.CancelledError, UpstreamTimeout):
        await leaving
    await asyncio.sleep(0.01)
    engine.down = True

    with pytest.raises(UpstreamError):
        await listed(directory, ann)


async def test_replicas_tell_each_other(engine, make_directory, listed, change, valkey, ann, bob):
    """The next request may go to another process, with the same shelf."""
    here, there = (SharedShelf(valkey.connection_url) for _ in range(2))
    await here.open()
    await there.open()
    one, other = make_directory(here), make_directory(there)
    for who in (ann, bob):
        await listed(other, who)

    await change(one, ann)
    engine.down = True

    with pytest.raises(UpstreamError):
        await listed(other, ann)
    assert await listed(other, bob) == (1, True)
    await here.close()
    await there.close()


async def test_a_write_while_valkey_is_away_is_told_later(
    engine, make_directory, listed, change, valkey, ann
):
    """A moment without the network to it: the other replica learns of the write when it is back."""
    here, there = (SharedShelf(valkey.connection_url) for _ in range(2))
    await there.open()
    one, other = make_directory(here), make_directory(there)
    await listed(other, ann)

    with structlog.testing.capture_logs() as logs:
        here._lose(TimeoutError())
        await change(one, ann)
        async with asyncio.timeout(WITHIN_S):
            while here.lost:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    engine.down = True

    assert [row["event"] for row in logs if row["event"].startswith("shelf")] == ["shelf.lost", "shelf.found"]
    with pytest.raises(UpstreamError):
        await listed(other, ann)
    await here.close()
    await there.close()


async def test_a_claim_that_is_gone_is_none_as_ever(engine, make_directory, caller_for, ann):
    """A 404 to a write is an answer, not a failure."""
    engine.write = httpx.Response(404, json={"error": "Claim not found"})
    clients = make_directory().clients_for(caller_for(ann))

    assert await clients.refund_engine.update_claim(ID, {"product_category": "x"}) is None
