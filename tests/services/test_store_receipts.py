"""Receipts: a mutation that is sent twice is done once, whoever sends it and whichever replica gets it."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from databases import patient_store
from late import WITHIN_S
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from clients.caller import Viewer
from clients.errors import StoreUnavailable
from clients.store.receipts import Begun, Receipt, Standing
from clients.store.store import Store

KEY = "5f1c7f6e-0d6a-4c53-8d3c-51c0ce5f6c1a"
INPUT, OTHER_INPUT = "sha256:one", "sha256:other"
A_DAY_MS = 24 * 3600 * 1000


class Replica:
    """One engine, and the questions of the tests in short."""

    def __init__(self, store: Store, viewer: Viewer) -> None:
        self.receipts = store.receipts
        self._viewer_id = viewer.user_id

    async def begin(
        self, *, mutation: str = "createClaim", key: str = KEY, input_hash: str = INPUT, lease_s: float = 30
    ) -> Begun:
        return await self.receipts.begin(self._viewer_id, mutation, key, input_hash, lease_s)

    async def held(self, *, lease_s: float = 30) -> Receipt:
        """Begin, and be the one who works on it."""
        receipt = (await self.begin(lease_s=lease_s)).receipt
        assert receipt
        return receipt


@pytest.fixture
async def store(db_url: str) -> AsyncIterator[Store]:
    store = patient_store(db_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def as_ann(store: Store, ann: Viewer) -> Replica:
    return Replica(store, ann)


@pytest.fixture
def as_bob(store: Store, bob: Viewer) -> Replica:
    return Replica(store, bob)


@pytest.fixture
async def replicas(shared_url: str, ann: Viewer) -> AsyncIterator[list[Replica]]:
    """Two that share one database, asked by Ann."""
    stores = [patient_store(shared_url), patient_store(shared_url)]
    for store in stores:
        await store.open()
    yield [Replica(store, ann) for store in stores]
    for store in stores:
        await store.close()


@pytest.fixture
def changed(shared_url: str) -> Callable[[str], object]:
    """Change the database behind the replicas' backs: time passes only there."""

    async def changed(statement: str) -> int:
        engine = create_async_engine(shared_url)
        async with engine.begin() as connection:
            rows: int = (await connection.execute(text(statement))).rowcount
        await engine.dispose()
        return rows

    return changed


async def test_the_same_key_is_answered_with_the_first_outcome(as_ann: Replica):
    """A client that lost the answer sends the mutation again: it must get the answer, not a second claim."""
    begun = await as_ann.begin()
    assert begun.standing is Standing.NEW
    assert (await as_ann.begin()).standing is Standing.UNDER_WAY

    assert await as_ann.receipts.finish(begun.receipt, b'{"claim": 1}')

    assert await as_ann.begin() == Begun(Standing.FINISHED, outcome=b'{"claim": 1}')
    assert await as_ann.begin() == Begun(Standing.FINISHED, outcome=b'{"claim": 1}')


async def test_an_empty_outcome_is_an_outcome(as_ann: Replica):
    """Nothing to say is not the same as nothing said: the mutation would be done again."""
    await as_ann.receipts.finish(await as_ann.held(), b"")

    assert await as_ann.begin() == Begun(Standing.FINISHED, outcome=b"")


async def test_two_viewers_may_have_the_same_key(as_ann: Replica, as_bob: Replica):
    """Keys are the clients' own: with a shared one, Bob would be shown what Ann's mutation brought."""
    anns, bobs = await as_ann.begin(), await as_bob.begin(input_hash=OTHER_INPUT)
    assert (anns.standing, bobs.standing) == (Standing.NEW, Standing.NEW)
    await as_ann.receipts.finish(anns.receipt, b"Ann's")

    assert (await as_bob.begin(input_hash=OTHER_INPUT)).standing is Standing.UNDER_WAY
    await as_bob.receipts.finish(bobs.receipt, b"Bob's")

    assert (await as_ann.begin()).outcome == b"Ann's"
    assert (await as_bob.begin(input_hash=OTHER_INPUT)).outcome == b"Bob's"


async def test_a_key_belongs_to_one_mutation(as_ann: Replica):
    """A client that uses one key for a whole form must not get a claim where it asked for a sync."""
    assert (await as_ann.begin()).standing is Standing.NEW
    assert (await as_ann.begin(mutation="startSync")).standing is Standing.NEW


async def test_another_input_is_told_apart_in_every_state(as_ann: Replica):
    """A key that is reused for another claim must never answer with the first one, nor take its work over."""
    receipt = await as_ann.held(lease_s=0)
    assert await as_ann.begin(input_hash=OTHER_INPUT) == Begun(Standing.OTHER_INPUT)
    await as_ann.receipts.release(receipt)
    assert await as_ann.begin(input_hash=OTHER_INPUT) == Begun(Standing.OTHER_INPUT)
    await as_ann.receipts.finish(await as_ann.held(), b"done")

    assert await as_ann.begin(input_hash=OTHER_INPUT) == Begun(Standing.OTHER_INPUT)
    assert (await as_ann.begin()).outcome == b"done"


async def test_a_waiter_learns_how_long_the_lease_is(as_ann: Replica):
    """A waiter that does not know would give up too early, or wait for ever."""
    await as_ann.begin(lease_s=30)

    left_s = (await as_ann.begin(lease_s=1)).lease_left_s

    assert left_s
    assert 1 < left_s <= 30


async def test_a_lease_that_ended_is_taken_over_with_its_notes(as_ann: Replica):
    """A process was killed: its successor must know what has been done, and be the only one."""
    first = await as_ann.held(lease_s=0)
    assert await as_ann.receipts.note(first, b"dispute 7")
    assert await as_ann.receipts.note(first, b"dispute 7, case CASE-1")

    second = await as_ann.begin()

    assert (second.standing, second.notes) == (Standing.ABANDONED, b"dispute 7, case CASE-1")
    assert (await as_ann.begin()).standing is Standing.UNDER_WAY


async def test_whoever_lost_the_receipt_can_change_nothing(as_ann: Replica):
    """The slow one comes back after its lease: its outcome must not replace what the other one finds."""
    slow = await as_ann.held(lease_s=0)
    holder = (await as_ann.begin()).receipt
    assert holder

    assert not await as_ann.receipts.note(slow, b"late")
    assert not await as_ann.receipts.release(slow)
    assert not await as_ann.receipts.drop(slow)
    assert not await as_ann.receipts.finish(slow, b"late")

    assert (await as_ann.begin()).standing is Standing.UNDER_WAY
    assert await as_ann.receipts.finish(holder, b"settled")
    assert not await as_ann.receipts.finish(holder, b"again")
    assert not await as_ann.receipts.drop(holder)
    assert (await as_ann.begin()).outcome == b"settled"


async def test_a_holder_may_finish_late_when_nobody_took_over(as_ann: Replica):
    """The outcome is known: to throw it away because of the time would make somebody settle for nothing."""
    receipt = await as_ann.held(lease_s=0)

    assert await as_ann.receipts.finish(receipt, b"late, but known")
    assert (await as_ann.begin()).outcome == b"late, but known"


async def test_released_is_abandoned_at_once(as_ann: Replica):
    """The outcome is unknown and the holder knows it: the next one need not wait for the lease."""
    receipt = await as_ann.held()
    await as_ann.receipts.note(receipt, b"sent")

    assert await as_ann.receipts.release(receipt)

    assert not await as_ann.receipts.finish(receipt, b"not mine any more")
    second = await as_ann.begin()
    assert (second.standing, second.notes) == (Standing.ABANDONED, b"sent")


async def test_dropped_is_free(as_ann: Replica, as_bob: Replica):
    """Nothing was sent, and the client may try again with its key, even with a corrected input."""
    await as_bob.held()
    assert await as_ann.receipts.drop(await as_ann.held())

    assert (await as_ann.begin(input_hash=OTHER_INPUT)).standing is Standing.NEW
    assert (await as_bob.begin()).standing is Standing.UNDER_WAY


async def test_of_many_at_once_one_does_the_work(as_ann: Replica):
    """A double click, a client's retries: two that are told NEW are two claims."""
    begun = await asyncio.gather(*(as_ann.begin() for _ in range(20)))

    assert sorted(one.standing.value for one in begun) == ["NEW"] + ["UNDER_WAY"] * 19


async def test_of_many_at_two_replicas_one_does_the_work(replicas: list[Replica]):
    """Two replicas know nothing of each other but the database."""
    for key in map(str, range(5)):
        begun = await asyncio.gather(*(replicas[n % 2].begin(key=key) for n in range(16)))

        assert sorted(one.standing.value for one in begun) == ["NEW"] + ["UNDER_WAY"] * 15


async def test_of_many_at_two_replicas_one_takes_over(replicas: list[Replica]):
    """Two that settle the same mutation may both find nothing, and both do it again."""
    for n in range(5):
        holder = await replicas[0].begin(key=str(n))
        assert holder.receipt
        await replicas[0].receipts.release(holder.receipt)

        begun = await asyncio.gather(*(replicas[turn % 2].begin(key=str(n)) for turn in range(16)))

        assert sorted(one.standing.value for one in begun) == ["ABANDONED"] + ["UNDER_WAY"] * 15


async def test_a_key_that_comes_and_goes_has_one_holder_at_a_time(replicas: list[Replica]):
    """Begun, dropped, begun again by twelve at once: the moment between two rows must not let two in."""
    inside, most, done = 0, 0, 0

    async def work(replica: Replica) -> None:
        nonlocal inside, most, done
        while True:
            begun = await replica.begin()
            if begun.receipt:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1
                assert await replica.receipts.drop(begun.receipt)
                done += 1
                return
            await asyncio.sleep(0.005)

    await asyncio.gather(*(work(replicas[n % 2]) for n in range(12)))

    assert (most, done) == (1, 12)


async def test_the_first_to_finish_wins(replicas: list[Replica]):
    """Two answers to one mutation: a client must see the same one for ever."""
    receipt = await replicas[0].held()

    kept = await asyncio.gather(
        *(replicas[n % 2].receipts.finish(receipt, f"outcome {n}".encode()) for n in range(8))
    )

    assert sorted(kept) == [False] * 7 + [True]
    outcome = f"outcome {kept.index(True)}".encode()
    assert [(await replica.begin()).outcome for replica in replicas] == [outcome, outcome]


async def test_a_killed_holder_is_taken_over_when_its_lease_ends(
    replicas: list[Replica], shared_url: str, ann: Viewer
):
    """Killed in the middle, it can neither finish nor release: its lease has to end by itself."""
    program = f"""
import asyncio
from clients.store.store import Store

async def main():
    store = Store({shared_url!r}, patience_s={WITHIN_S})
    await store.open()
    begun = await store.receipts.begin({ann.user_id!r}, "createClaim", {KEY!r}, {INPUT!r}, 1.5)
    await store.receipts.note(begun.receipt, b"sent")
    print(begun.standing.value, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    async with await anyio.open_process([sys.executable, "-c", program], stderr=None) as process:
        assert process.stdout
        assert (await process.stdout.receive()).strip() == b"NEW"
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    standings = [await replicas[0].begin()]
    while standings[-1].standing is Standing.UNDER_WAY:
        await asyncio.sleep(0.1)
        standings.append(await replicas[0].begin())

    assert (standings[-1].standing, standings[-1].notes) == (Standing.ABANDONED, b"sent")
    assert (await replicas[1].begin()).standing is Standing.UNDER_WAY


async def test_an_outcome_is_kept_for_a_day_and_no_longer(replicas: list[Replica], changed):
    """A retry in the evening must not book the morning's claim again; a table that only grows ends badly."""
    await replicas[0].receipts.finish(await replicas[0].held(), b"morning")
    await changed(f"UPDATE receipts SET kept_until_ms = kept_until_ms - {A_DAY_MS - 60_000}")
    assert (await replicas[1].begin()).outcome == b"morning"

    await changed("UPDATE receipts SET kept_until_ms = kept_until_ms - 60000")

    assert (await replicas[1].begin(input_hash=OTHER_INPUT)).standing is Standing.NEW


async def test_a_day_begins_when_the_work_ends(replicas: list[Replica], changed):
    """What was settled late is young: its client has not heard of it yet."""
    receipt = await replicas[0].held()
    await changed(f"UPDATE receipts SET kept_until_ms = kept_until_ms - {A_DAY_MS - 60_000}")
    await replicas[0].receipts.finish(receipt, b"at last")

    a_day_from_its_end = "kept_until_ms - ended_at_ms BETWEEN 86400000 AND 86401000"
    assert await changed(f"UPDATE receipts SET key = key WHERE {a_day_from_its_end}") == 1


async def test_old_receipts_are_purged_in_passing_and_young_ones_never(
    shared_url: str, ann: Viewer, bob: Viewer, changed
):
    """Nobody comes back for most keys: what is left of them must go, of both viewers, and nothing else."""
    store = patient_store(shared_url)
    await store.open()
    as_ann, as_bob = Replica(store, ann), Replica(store, bob)
    for replica in (as_ann, as_bob):
        for key in ("old", "young", "abandoned"):
            begun = await replica.begin(key=key, lease_s=0)
            assert begun.receipt
            if key != "abandoned":
                await replica.receipts.finish(begun.receipt, key.encode())
    await changed(f"UPDATE receipts SET kept_until_ms = kept_until_ms - {A_DAY_MS} WHERE key = 'old'")
    await store.close()

    restarted = patient_store(shared_url)
    await restarted.open()
    await Replica(restarted, ann).begin(key="another")

    assert await changed("UPDATE receipts SET key = key WHERE key = 'old'") == 0
    assert await changed("UPDATE receipts SET key = key WHERE key IN ('young', 'abandoned')") == 4
    await restarted.close()


async def test_while_another_process_writes_nothing_is_begun(sqlite_url: str, ann: Viewer, bob: Viewer):
    """One file, two processes: a mutation must not be sent whose receipt could not be written."""
    store, hasty = patient_store(sqlite_url), Store(sqlite_url)
    await store.open()
    await hasty.open()
    as_ann, as_bob = Replica(store, ann), Replica(store, bob)
    bobs = await as_bob.held()
    with contextlib.closing(sqlite3.connect(make_url(sqlite_url).database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await Replica(hasty, ann).begin()
        with pytest.raises(StoreUnavailable):
            await hasty.receipts.finish(bobs, b"done")
        other.rollback()
    while (again := await as_bob.begin()).standing is Standing.UNDER_WAY:  # noqa: ASYNC110 - as clients do
        await asyncio.sleep(0.01)

    assert again.outcome == b"done", "what is known is kept as soon as it can be"
    assert (await as_ann.begin()).standing is Standing.NEW
    for each in (store, hasty):
        await each.close()
