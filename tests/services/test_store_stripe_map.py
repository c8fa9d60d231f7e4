"""New numbers for claims that are charged. Two claims under one number share their money at stripe."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from databases import patient_store
from sqlalchemy.exc import IntegrityError

from clients.errors import StripeIdsNotSetUp, StripeIdsUsedUp
from clients.store.store import Store

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
FIRST_ID = 1_000_000_000
LARGEST = 2_147_483_647


@pytest.fixture
async def store(db_url: str) -> AsyncIterator[Store]:
    """A store whose numbers begin at a thousand million."""
    store = patient_store(db_url, stripe_first_id=FIRST_ID)
    await store.open()
    yield store
    await store.close()


async def test_a_claim_gets_one_number_for_ever(store: Store):
    """A second number would be a second commission, which stripe cannot know to be the same."""
    anns, bobs = (
        await store.stripe_map.stripe_id_of(ANNS_CLAIM),
        await store.stripe_map.stripe_id_of(BOBS_CLAIM),
    )

    assert (anns, bobs) == (FIRST_ID, FIRST_ID + 1)
    assert await store.stripe_map.stripe_id_of(ANNS_CLAIM) == anns
    assert await store.stripe_map.stripe_ids([ANNS_CLAIM, BOBS_CLAIM]) == {ANNS_CLAIM: anns, BOBS_CLAIM: bobs}
    assert await store.stripe_map.claim_ids([anns, bobs]) == {anns: ANNS_CLAIM, bobs: BOBS_CLAIM}


async def test_new_numbers_lie_above_all_that_were_entered(store: Store):
    """An imported payment above the setting: to count up into it would charge somebody else's claim."""
    await store.stripe_map.enter_stripe_ids({ANNS_CLAIM: FIRST_ID + 5})

    assert await store.stripe_map.stripe_id_of(BOBS_CLAIM) == FIRST_ID + 6
    assert await store.stripe_map.stripe_id_of(ANNS_CLAIM) == FIRST_ID + 5


async def test_numbers_begin_at_the_setting_when_those_entered_lie_below(store: Store):
    """The list of old payments may be incomplete: the setting stands above what stripe-payments has used."""
    await store.stripe_map.enter_stripe_ids({ANNS_CLAIM: 7})

    assert await store.stripe_map.stripe_id_of(BOBS_CLAIM) == FIRST_ID


async def test_the_last_number_is_the_last(store: Store):
    """Beyond 32 bits stripe-payments keeps another number than it was sent."""
    await store.stripe_map.enter_stripe_ids({ANNS_CLAIM: LARGEST - 1})
    assert await store.stripe_map.stripe_id_of(BOBS_CLAIM) == LARGEST

    with pytest.raises(StripeIdsUsedUp):
        await store.stripe_map.stripe_id_of(str(uuid4()))

    assert await store.stripe_map.stripe_id_of(BOBS_CLAIM) == LARGEST


async def test_without_a_setting_known_claims_are_found_and_new_ones_refused(db_url: str):
    """A guessed start is another claim's money; what is known needs no start."""
    store = patient_store(db_url)
    await store.open()
    await store.stripe_map.enter_stripe_ids({ANNS_CLAIM: 7})

    assert await store.stripe_map.stripe_id_of(ANNS_CLAIM) == 7
    with pytest.raises(StripeIdsNotSetUp):
        await store.stripe_map.stripe_id_of(BOBS_CLAIM)
    assert await store.stripe_map.stripe_ids([BOBS_CLAIM]) == {}
    await store.close()


@pytest.mark.parametrize("entered", [{BOBS_CLAIM: 8, ANNS_CLAIM: 9}, {BOBS_CLAIM: FIRST_ID}])
async def test_entering_never_moves_a_number(store: Store, entered: dict[str, int]):
    """A row that moves points money at another claim; half a list entered cannot be told from a whole one."""
    anns = await store.stripe_map.stripe_id_of(ANNS_CLAIM)

    with pytest.raises(IntegrityError):
        await store.stripe_map.enter_stripe_ids(entered)

    assert await store.stripe_map.stripe_ids([ANNS_CLAIM, BOBS_CLAIM]) == {ANNS_CLAIM: anns}


async def test_two_replicas_give_one_claim_one_number_and_two_claims_two(shared_url: str):
    """Charges come in at once, for the same claim and for others, while old payments are being entered."""
    one, other = (patient_store(shared_url, stripe_first_id=FIRST_ID) for _ in range(2))
    await one.open()
    await other.open()
    claims = [str(uuid4()) for _ in range(8)]

    async def entered(n: int) -> None:
        await one.stripe_map.enter_stripe_ids({str(uuid4()): 100 + n})

    given, _ = await asyncio.gather(
        asyncio.gather(
            *(store.stripe_map.stripe_id_of(claim) for claim in claims for store in (one, other, one))
        ),
        asyncio.gather(*(entered(n) for n in range(4))),
    )

    of_claim = {claim: set(given[n * 3 : n * 3 + 3]) for n, claim in enumerate(claims)}
    assert all(len(numbers) == 1 for numbers in of_claim.values())
    assert {*given} == set(range(FIRST_ID, FIRST_ID + 8))
    assert await other.stripe_map.claim_ids(given) == {n: claim for claim, [n] in of_claim.items()}
    await one.close()
    await other.close()


async def test_a_number_is_there_for_the_other_replica_before_it_is_used(shared_url: str):
    """The charge may time out: whoever settles it, anywhere, must find it by the same number."""
    one, other = (patient_store(shared_url, stripe_first_id=first) for first in (FIRST_ID, None))
    await one.open()
    await other.open()

    anns, bobs = [await one.stripe_map.stripe_id_of(claim) for claim in (ANNS_CLAIM, BOBS_CLAIM)]

    assert await other.stripe_map.stripe_id_of(ANNS_CLAIM) == anns
    assert await other.stripe_map.claim_ids([bobs]) == {bobs: BOBS_CLAIM}
    await one.close()
    await other.close()
