"""The shelf: what is kept is there for its time, under its own key, and never in anybody's way."""

import asyncio
import os
import pickle
import signal
import struct
import time
from datetime import UTC, datetime

import httpx
import pytest
import structlog
from late import LATE_S, WITHIN_S

from clients.caller import Freshest
from clients.directory import Directory
from clients.errors import UpstreamFailed
from clients.shelf import CLOCKS_APART_S, ENTRIES_AT_MOST, Kept, MemoryShelf, SharedShelf, shelf_at

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
ANNS, BOBS = "answer:refund-engine:ann:listClaims:1", "answer:refund-engine:bob:listClaims:1"
PAGE = {"data": [], "pagination": {"total": 7}}


def kept_now(content=b'{"data":[]}'):
    return Kept(content, time.time(), time.time() - 0.01)


class Clock:
    """The shelf's clocks: they stand still unless the test moves them."""

    def __init__(self) -> None:
        self.wall_s = NOON.timestamp()
        self.running_s = 1000.0

    def time(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.running_s

    def shift(self, by_s: float) -> None:
        self.wall_s += by_s
        self.running_s += by_s


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("clients.shelf.time", clock)
    return clock


@pytest.fixture
async def shared(valkey):
    shelf = SharedShelf(valkey.connection_url)
    await shelf.open()
    yield shelf
    await shelf.close()


async def until(condition):
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - the shelf tells nobody but the log
            await asyncio.sleep(0.02)


def test_an_address_decides():
    """Memory unless told otherwise: `bff dev` needs nothing installed."""
    assert isinstance(shelf_at(None), MemoryShelf)
    assert isinstance(shelf_at("redis://127.0.0.1:1"), SharedShelf)


def test_what_is_kept_survives_packing():
    """To the microsecond: a stale answer must have the `asOf` that it had."""
    kept = Kept(b"{}", NOON.timestamp(), NOON.timestamp() - 0.5)

    assert Kept.unpacked(kept.packed()) == kept
    assert Kept.unpacked(kept.packed()).received_at == NOON


@pytest.mark.parametrize(
    "packed",
    [
        None,
        b"",
        b"short",
        7,
        "text",
        struct.pack(">dd", float("nan"), float("nan")) + b"{}",
        struct.pack(">dd", float("inf"), float("inf")) + b"{}",
        struct.pack(">dd", -1.0, -1.0) + b"{}",
        struct.pack(">dd", 1.0, 2.0) + b"{}",  # answered before it was asked
        struct.pack(">d", 1.0) + b'{"data": []}',  # as an older version packed
        pickle.dumps({"a": 1}),
    ],
    ids=repr,
)
def test_what_we_did_not_pack_is_nothing(packed):
    """Others can write to a shared server: what they write must not break a seller's screen."""
    assert Kept.unpacked(packed) is None


async def test_memory_keeps_for_the_time_it_is_told(clock):
    """Each key by itself: one viewer's entry is not the other's, and ends with its time."""
    shelf = MemoryShelf()
    await shelf.put(ANNS, Kept(b"anns", clock.time(), clock.time()), keep_s=600)
    clock.shift(599)
    assert (await shelf.get(ANNS)).content == b"anns"
    assert (await shelf.get(ANNS)).age_s == pytest.approx(599)
    assert await shelf.get(BOBS) is None
    clock.shift(2)
    assert await shelf.get(ANNS) is None


async def test_a_clock_that_is_set_back_keeps_nothing_longer(clock):
    """Ten minutes are ten minutes, whatever the wall says: an answer of an hour ago looks new by then."""
    shelf = MemoryShelf()
    await shelf.put(ANNS, kept_now(), keep_s=600)
    await shelf.mark_written("written:ann", clock.time(), keep_s=600)
    clock.shift(601)
    clock.wall_s -= 3600

    assert (await shelf.get(ANNS), await shelf.written_until_s("written:ann")) == (None, 0.0)


async def test_memory_gives_back_what_it_was_given():
    """To the byte and the microsecond, each to its viewer, however often the other's is kept and dropped."""
    shelf = MemoryShelf()
    anns, bobs = Kept(b"anns\x00\xff", time.time(), time.time() - 0.25), kept_now(b"bobs")
    newer = kept_now(b"newer")

    await shelf.put(ANNS, anns, keep_s=600)
    await shelf.put(BOBS, bobs, keep_s=600)
    for _ in range(3):
        assert (await shelf.get(ANNS), await shelf.get(BOBS)) == (anns, bobs)
    await shelf.put(BOBS, newer, keep_s=600)
    assert (await shelf.get(ANNS), await shelf.get(BOBS)) == (anns, newer)
    await shelf.drop(BOBS)
    assert (await shelf.get(ANNS), await shelf.get(BOBS)) == (anns, None)
    await shelf.close()


async def test_memory_knows_who_wrote_and_until_when(clock):
    """What was asked before a write is not repeated: to the one who wrote, and for as long as it was said."""
    shelf = MemoryShelf()
    until_s = clock.time() + 0.125
    assert await shelf.written_until_s("written:ann") == 0.0
    await shelf.mark_written("written:ann", until_s, keep_s=600)
    clock.shift(599)
    assert [await shelf.written_until_s(f"written:{who}") for who in ("ann", "bob")] == [until_s, 0.0]
    await shelf.mark_written("written:ann", until_s + 1, keep_s=600)
    assert await shelf.written_until_s("written:ann") == until_s + 1
    clock.shift(601)
    assert await shelf.written_until_s("written:ann") == 0.0


async def test_a_quick_write_does_not_shorten_a_lost_one():
    """The first may still be under way for half a minute, though the second was answered at once."""
    shelf, now_s = MemoryShelf(), time.time()
    await shelf.mark_written("written:ann", now_s + 30, keep_s=600)
    for who in ("ann", "bob"):
        await shelf.mark_written(f"written:{who}", now_s, keep_s=600)

    assert [await shelf.written_until_s(f"written:{who}") - now_s for who in ("ann", "bob")] == [30, 0]


async def test_of_two_replicas_marks_the_later_counts(valkey, shared):
    """Whoever is told first, and of the replica as well that saw neither write."""
    second, third = SharedShelf(valkey.connection_url), SharedShelf(valkey.connection_url)
    now_s = time.time()
    for who, shelves in (("ann", (shared, second)), ("bob", (second, shared))):
        for shelf, lasts_s in zip(shelves, (30, 0) if who == "ann" else (0, 30), strict=True):
            await shelf.mark_written(f"written:{who}", now_s + lasts_s, keep_s=600)
    await second.mark_written("written:eve", now_s, keep_s=600)

    for shelf in (shared, second, third):
        told = [await shelf.written_until_s(f"written:{who}") - now_s for who in ("ann", "bob", "eve")]
        assert told == [pytest.approx(30 + CLOCKS_APART_S)] * 2 + [pytest.approx(CLOCKS_APART_S)]
        assert await shelf.written_until_s("written:nobody") == 0.0
    with valkey.client() as client:
        assert {580 < client.ttl(key) <= 600 for key in client.scan_iter()} == {True}
    await second.close()
    await third.close()


async def test_memory_is_bounded_in_bytes(clock):
    """Two thousand pages of findings are half a gigabyte. The longest unused goes first, whoever's it is."""
    shelf = MemoryShelf(bytes_at_most=10_000)
    await shelf.put(ANNS, kept_now(b"a" * 4000), keep_s=600)
    await shelf.put(BOBS, kept_now(b"b" * 4000), keep_s=600)
    assert await shelf.get(ANNS)

    await shelf.put("new", kept_now(b"n" * 4000), keep_s=600)
    assert [bool(await shelf.get(key)) for key in (ANNS, BOBS, "new")] == [True, False, True]

    for _ in range(10):  # in the place of the one before it
        await shelf.put("new", kept_now(b"n" * 4000), keep_s=600)
    await shelf.drop("new")
    clock.shift(601)
    assert await shelf.get(ANNS) is None
    await shelf.put(BOBS, kept_now(b"b" * 9000), keep_s=600)  # room enough: what went is not counted
    assert (await shelf.get(BOBS)).content == b"b" * 9000

    await shelf.put(ANNS, kept_now(b"a" * 20_000), keep_s=600)
    assert await shelf.get(ANNS) is None


async def test_big_answers_push_no_mark_off():
    """Or what a seller was told before they wrote would be told again, because somebody read long lists."""
    shelf, now_s = MemoryShelf(entries=2, bytes_at_most=10_000), time.time()
    await shelf.mark_written("written:ann", now_s, keep_s=600)
    for number in range(20):
        await shelf.put(f"bobs:{number}", kept_now(b"b" * 4000), keep_s=600)

    assert [await shelf.written_until_s(f"written:{who}") for who in ("ann", "bob")] == [now_s, 0.0]


async def test_a_mark_that_has_to_go_counts_for_everybody(clock, monkeypatch):
    """There is no room for all writes of a stormy night: then too little is repeated, and never too much."""
    monkeypatch.setattr("clients.shelf.MARKS_AT_MOST", 2)
    shelf, now_s = MemoryShelf(), clock.time()
    for number, who in enumerate(("ann", "bob", "ann")):
        await shelf.mark_written(f"written:{who}", now_s + number, keep_s=600)
    assert await shelf.written_until_s("written:eve") == 0.0

    await shelf.mark_written("written:joe", now_s + 3, keep_s=600)
    told = [await shelf.written_until_s(f"written:{who}") - now_s for who in ("ann", "bob", "joe", "eve")]
    assert told == [2, 1, 3, 1]


async def test_marks_that_have_ended_are_simply_gone(clock, monkeypatch):
    """Writes of a day do not pile up, nor count for everybody once their time is over."""
    monkeypatch.setattr("clients.shelf.MARKS_AT_MOST", 2)
    shelf = MemoryShelf()
    for number in range(5):
        await shelf.mark_written(f"written:{number}", clock.time(), keep_s=600)
        clock.shift(400)

    noted = [await shelf.written_until_s(f"written:{number}") > 0 for number in range(6)]
    assert noted == [False, False, False, False, True, False]


async def test_memory_is_bounded():
    """A process that keeps every seller's answers for ever ends by being killed."""
    shelf = MemoryShelf()
    for number in range(ENTRIES_AT_MOST + 10):
        await shelf.put(str(number), kept_now(), keep_s=600)

    assert [await shelf.get(str(number)) is None for number in (0, 9, 10, ENTRIES_AT_MOST)] == [
        True,
        True,
        False,
        False,
    ]


async def test_replicas_share_and_viewers_do_not(valkey, shared):
    """What one process kept spares the other a request, for the same viewer."""
    second = SharedShelf(valkey.connection_url)
    await second.open()
    kept = kept_now(b"anns")

    await shared.put(ANNS, kept, keep_s=600)

    assert (await second.get(ANNS), await second.get(BOBS)) == (kept, None)
    assert (shared.state, second.state) == ("shared", "shared")
    await second.close()


async def test_the_newer_of_two_is_given(valkey, shared):
    """What this process kept while Valkey was away, or another kept since: the seller gets the latest."""
    second = SharedShelf(valkey.connection_url)
    await second.open()
    old, new = Kept(b"old", time.time() - 60, time.time() - 61), kept_now(b"new")

    await shared.put(ANNS, old, keep_s=600)
    await second.put(ANNS, new, keep_s=600)
    assert [await shelf.get(ANNS) for shelf in (shared, second)] == [new, new]

    await shared.put(ANNS, old, keep_s=600)
    assert [await shelf.get(ANNS) for shelf in (shared, second)] == [old, new]
    await second.close()


async def test_what_another_replica_dropped_is_gone(valkey, shared):
    """It was there, and is not any more: this process's own copy must not bring it back, nor in an outage."""
    second = SharedShelf(valkey.connection_url)
    for key in (ANNS, BOBS):
        for shelf in (shared, second):
            await shelf.put(key, kept_now(), keep_s=600)

    await second.drop(ANNS)

    assert [bool(await shared.get(key)) for key in (ANNS, BOBS)] == [False, True]
    shared._lose(TimeoutError())
    assert [bool(await shared.get(key)) for key in (ANNS, BOBS)] == [False, True]
    await second.close()


async def test_what_was_dropped_while_valkey_was_away_is_dropped_there_too(valkey, shared):
    """It has kept it through a moment without the network: the other replica must not show it afterwards."""
    second = SharedShelf(valkey.connection_url)
    for key in (ANNS, BOBS):
        for shelf in (shared, second):
            await shelf.put(key, kept_now(b"before"), keep_s=600)

    shared._lose(TimeoutError())
    await shared.drop(ANNS)
    await shared.put(BOBS, kept_now(b"meanwhile"), keep_s=600)
    await until(lambda: not shared.lost)

    assert [await shelf.get(ANNS) for shelf in (shared, second)] == [None, None]
    assert [(await shelf.get(BOBS)).content for shelf in (shared, second)] == [b"meanwhile", b"before"]
    await second.close()


async def test_what_is_written_is_plain_bytes_with_an_end(valkey, shared):
    """Nothing that is read there can be executed, and nothing of a seller's lies there for ever."""
    kept = Kept(b'{"data":[]}', NOON.timestamp(), NOON.timestamp())
    await shared.put(ANNS, kept, keep_s=600)

    with valkey.client() as client:
        [key] = client.keys()
        written, ends_in_ms = client.get(key), client.pttl(key)

    packed = struct.pack(">dd", NOON.timestamp(), NOON.timestamp()) + b'{"data":[]}'
    assert (key.decode(), written) == (ANNS, packed)
    assert 590_000 < ends_in_ms <= 600_000


async def test_what_others_wrote_there_is_nothing(valkey, shared):
    """Digits, a pickle or half an entry: the owner is asked, and no seller notices."""
    with valkey.client() as client:
        for number, junk in enumerate([b"12345", b"", b"\x80\x04N.", pickle.dumps(print)]):
            client.set(f"junk:{number}", junk)

    assert [await shared.get(f"junk:{number}") for number in range(4)] == [None] * 4
    assert shared.state == "shared"


async def test_lost_and_found_again(valkey, shared):
    """Valkey's restart is nobody's outage: the process makes do with its own shelf, and comes back."""
    await shared.put(ANNS, kept_now(b"old"), keep_s=600)
    with structlog.testing.capture_logs() as events:
        valkey.stop()
        for _ in range(5):
            assert (await shared.get(ANNS)).content == b"old"
            assert await shared.get(BOBS) is None
        assert (shared.lost, shared.state) == (True, "lost")

        await shared.put(ANNS, kept_now(b"meanwhile"), keep_s=600)
        assert (await shared.get(ANNS)).content == b"meanwhile"
        assert await shared.get(BOBS) is None

        valkey.start()
        await until(lambda: not shared.lost)

    assert [event["event"] for event in events] == ["shelf.lost", "shelf.found"]
    assert (
        await shared.get(ANNS)
    ).content == b"meanwhile"  # though Valkey has forgotten, or has an older one
    await shared.put(ANNS, kept_now(b"new"), keep_s=600)
    with valkey.client() as client:
        assert client.get(ANNS).endswith(b"new")


async def test_a_server_that_hangs_is_waited_for_once(valkey, shared, monkeypatch):
    """A cache that makes every call wait is worse than none."""
    monkeypatch.setattr("clients.shelf.PATIENCE_S", 0.5)  # forty times that is past all lateness
    os.kill(valkey._process.pid, signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        for _ in range(20):
            await shared.put(ANNS, kept_now(), keep_s=600)
            assert await shared.get(ANNS) is not None
        assert time.monotonic() - started_s < 0.5 + LATE_S
        assert shared.state == "lost"
    finally:
        os.kill(valkey._process.pid, signal.SIGCONT)
    await until(lambda: not shared.lost)


async def test_it_starts_without_the_server(valkey):
    """The BFF does not wait for Valkey to come up, and finds it when it does."""
    url = valkey.connection_url
    valkey.stop()
    shelf = SharedShelf(url)
    await shelf.open()
    assert shelf.state == "lost"
    await shelf.put(ANNS, kept_now(), keep_s=600)
    assert await shelf.get(ANNS) is not None

    valkey.start()
    await until(lambda: not shelf.lost)

    await shelf.put(ANNS, kept_now(b"there"), keep_s=600)
    with valkey.client() as client:
        assert client.get(ANNS).endswith(b"there")
    await shelf.close()


async def test_two_replicas_and_two_viewers_over_the_real_chain(
    valkey, settings, caller_for, respx_router, ann, bob
):
    """What one replica got is the other's stale answer in an outage, for the same viewer and nobody else."""
    route = respx_router.get(host="refund-engine.test").respond(json=PAGE)
    shelves = [SharedShelf(valkey.connection_url) for _ in range(2)]
    replicas = [
        Directory(
            settings,
            lambda *_: httpx.MockTransport(respx_router.async_handler),
            shelf=shelf,
            reserve_s=0.05,
            on_outcome=lambda _: None,
        )
        for shelf in shelves
    ]
    for shelf in shelves:
        await shelf.open()
    first = await replicas[0].clients_for(caller_for(ann)).refund_engine.claims_page(limit=1)
    route.respond(501)
    anns = caller_for(ann)

    stale = await replicas[1].clients_for(anns).refund_engine.claims_page(limit=1)
    with pytest.raises(UpstreamFailed):
        await replicas[1].clients_for(caller_for(bob)).refund_engine.claims_page(limit=1)

    assert (stale.total, stale.as_of) == (7, first.as_of)
    assert anns.uses["refund-engine"].state is Freshest.STALE
    for closing in (*replicas, *shelves):
        await (closing.aclose() if isinstance(closing, Directory) else closing.close())
