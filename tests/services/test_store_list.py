"""The list of old payments: one slip in it is money shown for the wrong claim, so one slip stops it all."""

from collections.abc import AsyncIterator

import pytest
from databases import patient_store

from clients.store.checked_list import BadLine, ListedClaim, checked_list
from clients.store.store import Store

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
NEW_CLAIM = "33333333-3333-4333-8333-333333333333"
HEADER = "claim_id,stripe_id"


@pytest.fixture
async def store(db_url: str) -> AsyncIterator[Store]:
    store = patient_store(db_url, stripe_first_id=1_000_000_000)
    await store.open()
    yield store
    await store.close()


def test_a_list_as_spreadsheets_write_it():
    """A byte order mark, carriage returns and capitals are no slips."""
    content = f"\ufeff{HEADER}\r\n{ANNS_CLAIM.upper()},7\r\n{BOBS_CLAIM},2147483647\r\n".encode()

    assert checked_list(content) == [ListedClaim(2, ANNS_CLAIM, 7), ListedClaim(3, BOBS_CLAIM, 2_147_483_647)]


@pytest.mark.parametrize(
    ("second_line", "problem"),
    [
        (f"{BOBS_CLAIM}", "Line 3: it has 1 values, not 2."),
        ("", "Line 3: it has 0 values, not 2."),
        (f"{BOBS_CLAIM},8,9", "Line 3: it has 3 values, not 2."),
        ("4711,8", "Line 3: `4711` is not a UUID."),
        (f"{{{BOBS_CLAIM}}},8", f"Line 3: `{{{BOBS_CLAIM}}}` is not a UUID."),
        (f"{BOBS_CLAIM.replace('-', '')},8", f"Line 3: `{BOBS_CLAIM.replace('-', '')}` is not a UUID."),
        (f"{BOBS_CLAIM},", "Line 3: `` is not a whole number up to 2147483647."),
        (f"{BOBS_CLAIM},8.0", "Line 3: `8.0` is not a whole number up to 2147483647."),
        (f"{BOBS_CLAIM},-8", "Line 3: `-8` is not a whole number up to 2147483647."),
        (f"{BOBS_CLAIM},٨", "Line 3: `٨` is not a whole number up to 2147483647."),
        (f"{BOBS_CLAIM},0", "Line 3: 0 is not between 1 and 2147483647."),
        (f"{BOBS_CLAIM},2147483648", "Line 3: 2147483648 is not between 1 and 2147483647."),
        (f"{BOBS_CLAIM},{'9' * 5000}", f"Line 3: `{'9' * 5000}` is not a whole number up to 2147483647."),
        (f"{ANNS_CLAIM.upper()},8", f"Line 3: {ANNS_CLAIM} is in line 2 already."),
        (f"{BOBS_CLAIM},07", "Line 3: 7 is in line 2 already."),
    ],
)
def test_the_bad_line_is_named(second_line: str, problem: str):
    """An operator looks for it among ten thousand."""
    with pytest.raises(BadLine) as caught:
        checked_list(f"{HEADER}\n{ANNS_CLAIM},7\n{second_line}\n{NEW_CLAIM},9".encode())

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "Line 1: the columns must be `claim_id,stripe_id`."),
        (f"stripe_id,claim_id\n7,{ANNS_CLAIM}".encode(), "Line 1: the columns must be `claim_id,stripe_id`."),
        (f"{ANNS_CLAIM},7".encode(), "Line 1: the columns must be `claim_id,stripe_id`."),
        (HEADER.encode(), "Line 2: there is no claim in the list."),
        (f"{HEADER}\n{ANNS_CLAIM},7\n\xe9".encode("latin-1"), "Line 3: it is not UTF-8."),
    ],
)
def test_a_file_that_is_no_such_list(content: bytes, problem: str):
    """The columns swapped, the header forgotten, the wrong file: nothing of it may be taken for numbers."""
    with pytest.raises(BadLine) as caught:
        checked_list(content)

    assert str(caught.value) == problem


async def test_a_list_is_entered(store: Store):
    """Ann's and Bob's old payments are found by their claims, and new claims count on above them."""
    listed = [ListedClaim(2, ANNS_CLAIM, 7), ListedClaim(3, BOBS_CLAIM, 1_000_000_007)]

    await store.stripe_map.enter_list(listed)

    assert await store.stripe_map.claim_ids([7, 1_000_000_007]) == {7: ANNS_CLAIM, 1_000_000_007: BOBS_CLAIM}
    assert await store.stripe_map.stripe_id_of(NEW_CLAIM) == 1_000_000_008


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (ListedClaim(3, ANNS_CLAIM, 9), f"Line 3: claim {ANNS_CLAIM} has the number 7 already."),
        (ListedClaim(3, ANNS_CLAIM, 7), f"Line 3: claim {ANNS_CLAIM} has the number 7 already."),
        (ListedClaim(3, NEW_CLAIM, 7), f"Line 3: 7 is the number of claim {ANNS_CLAIM} already."),
    ],
)
async def test_a_list_that_meets_the_map_is_not_entered_at_all(store: Store, again: ListedClaim, said: str):
    """Half a list entered cannot be told from a whole one, and the second run would fail at its own rows."""
    await store.stripe_map.enter_list([ListedClaim(2, ANNS_CLAIM, 7)])

    with pytest.raises(BadLine) as caught:
        await store.stripe_map.enter_list([ListedClaim(2, BOBS_CLAIM, 8), again])

    assert str(caught.value) == said
    assert await store.stripe_map.stripe_ids([ANNS_CLAIM, BOBS_CLAIM, NEW_CLAIM]) == {ANNS_CLAIM: 7}


async def test_a_long_list_is_entered(store: Store):
    """More rows than a statement may have parameters."""
    listed = [ListedClaim(n, f"00000000-0000-4000-8000-{n:012}", n) for n in range(2, 12_002)]

    await store.stripe_map.enter_list(listed)

    assert await store.stripe_map.claim_ids([12_001]) == {12_001: "00000000-0000-4000-8000-000000012001"}
