"""The id map: which integer stripe knows a claim by. Money is shown for the wrong claim if it is wrong."""

from collections.abc import AsyncIterator

import pytest
from databases import patient_store
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from clients.store import stripe_map
from clients.store.store import Store

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
NEW_CLAIM = "33333333-3333-4333-8333-333333333333"
ENTERED = {ANNS_CLAIM: 7, BOBS_CLAIM: 2_147_483_647}


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """A store in memory that knows one claim of Ann and one of Bob."""
    store = patient_store("sqlite+aiosqlite://")
    await store.open()
    await store.stripe_map.enter_stripe_ids(ENTERED)
    yield store
    await store.close()


async def test_each_seller_finds_their_own_claim_both_ways(store):
    """Two sellers' claims under one number would show one the other's money."""
    assert await store.stripe_map.stripe_ids([ANNS_CLAIM]) == {ANNS_CLAIM: 7}
    assert await store.stripe_map.stripe_ids([BOBS_CLAIM]) == {BOBS_CLAIM: 2_147_483_647}
    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}
    assert await store.stripe_map.claim_ids([2_147_483_647, 7]) == {7: ANNS_CLAIM, 2_147_483_647: BOBS_CLAIM}


async def test_unknown_is_left_out(store):
    """A claim that was never charged has no number, and none is made up."""
    assert await store.stripe_map.stripe_ids([NEW_CLAIM, ANNS_CLAIM]) == {ANNS_CLAIM: 7}
    assert await store.stripe_map.claim_ids([8]) == {}
    assert await store.stripe_map.stripe_ids([]) == {}
    assert await store.stripe_map.claim_ids([]) == {}


@pytest.mark.parametrize(
    "again",
    [
        {NEW_CLAIM: 8, ANNS_CLAIM: 9},  # the claim has a number
        {NEW_CLAIM: 8, "44444444-4444-4444-8444-444444444444": 7},  # the number has a claim
    ],
)
async def test_entering_twice_changes_nothing(store, again):
    """A row that moves points money at another claim; half a list entered cannot be told from a whole one."""
    with pytest.raises(IntegrityError):
        await store.stripe_map.enter_stripe_ids(again)

    assert await store.stripe_map.stripe_ids([*ENTERED, *again]) == ENTERED


async def test_entering_nothing_is_fine(store):
    """An empty list from the migration is no error."""
    await store.stripe_map.enter_stripe_ids({})

    assert await store.stripe_map.stripe_ids(list(ENTERED)) == ENTERED


async def test_opening_again_keeps_the_rows(store):
    """Every start of the process opens the store: it must create what is missing and touch nothing else."""
    await store.open()

    assert await store.stripe_map.stripe_ids(list(ENTERED)) == ENTERED


@pytest.fixture
def asked(store: Store) -> list[tuple[int, ...]]:
    """The values that queries so far have looked for."""
    asked: list[tuple[int, ...]] = []

    @event.listens_for(store.database.engine.sync_engine, "before_cursor_execute")
    def keep(connection, cursor, statement, parameters, context, executemany) -> None:
        if parameters:  # `BEGIN` and the like have none
            asked.append(parameters)

    return asked


async def test_a_claim_is_asked_for_once(store, asked):
    """Rows never change: one that was read costs no query again, and each seller still finds their own."""
    await store.stripe_map.claim_ids([7])
    assert await store.stripe_map.claim_ids([7, 2_147_483_647]) == {7: ANNS_CLAIM, 2_147_483_647: BOBS_CLAIM}
    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}
    assert await store.stripe_map.claim_ids([2_147_483_647]) == {2_147_483_647: BOBS_CLAIM}
    assert await store.stripe_map.claim_ids([]) == {}

    assert asked == [(7,), (2_147_483_647,)]


async def test_what_is_missing_is_asked_for_again_in_a_while(store, asked, monkeypatch):
    """An import by a command is a process of its own; remembered for good, its payments would stay hidden."""
    monkeypatch.setattr(stripe_map, "MISSING_S", 3600)
    assert await store.stripe_map.claim_ids([8]) == await store.stripe_map.claim_ids([8]) == {}
    assert asked == [(8,)]

    monkeypatch.setattr(stripe_map, "MISSING_S", 0)
    store.stripe_map._missing_until_s.clear()
    assert await store.stripe_map.claim_ids([8]) == await store.stripe_map.claim_ids([8]) == {}
    assert asked == [(8,)] * 3


async def test_what_is_entered_here_is_there_at_once(store, monkeypatch):
    monkeypatch.setattr(stripe_map, "MISSING_S", 3600)
    assert await store.stripe_map.claim_ids([8]) == {}

    await store.stripe_map.enter_stripe_ids({NEW_CLAIM: 8})

    assert await store.stripe_map.claim_ids([8, 7]) == {8: NEW_CLAIM, 7: ANNS_CLAIM}


async def test_memory_of_the_map_is_bounded(store, asked, monkeypatch):
    """A table of millions must not become a process of gigabytes; what is used stays."""
    monkeypatch.setattr(stripe_map, "CLAIMS_KEPT", 2)
    await store.stripe_map.enter_stripe_ids({NEW_CLAIM: 8})
    asked.clear()

    for number in (7, 8, 7, 2_147_483_647, 7, 8):
        assert set(await store.stripe_map.claim_ids([number])) == {number}

    assert asked == [(7,), (8,), (2_147_483_647,), (8,)]
