"""A write whose answer is lost: never done twice, and known again as soon as somebody can look.

Each mutation with the service that does it down, hanging, failing, and failing after it did the work; then
the same key again, when all is well.
"""

import asyncio
import uuid
from datetime import timedelta

import pytest
from read_operations import claims_of
from write_operations import KEYED, MUTATIONS, codes_of, done, new_claim, payload_of, running_sync

from bff.sandbox.seed import SELLERS
from clients.errors import StoreUnavailable
from clients.store.receipts import Receipts
from resolvers.global_ids import global_id

BUDGET_MS = 2000  # for a service that hangs; what comes before it may meet a busy machine
BEFORE = ("down", "hang", "error", "rate-limited")
AFTER = ("after:error", "after:hang", "after:down")


def budget_ms(fault: str) -> int | None:
    """Only what hangs uses a budget up; the rest has the usual one."""
    return BUDGET_MS if fault.endswith("hang") else None


@pytest.mark.parametrize("fault", BEFORE + AFTER)
@pytest.mark.parametrize(
    ("name", "service"), [(name, each) for name, found in MUTATIONS.items() for each in found.services]
)
async def test_a_fault_is_told_as_what_it_is(make_bff, name, service, fault):
    """ "Nothing was done" is said only where it is so; where it is not known, that is said."""
    mutation, bff = MUTATIONS[name], await make_bff(cancel_repaired=True)
    variables = mutation.variables(bff.sandbox.world)
    bff.sandbox.faults[service] = fault

    answer = await bff.ask(name, budget_ms=budget_ms(fault), **variables)

    payload, did = payload_of(answer), done(bff.sandbox.writes)
    told = codes_of(answer) + [error["extensions"]["code"] for error in answer.errors]
    assert len(told) == 1 or (payload[mutation.shown] is not None and not told)
    # What does nothing twice is asked a second time after a failure.
    assert not mutation.keyed or did.count(mutation.does[-1]) <= 1
    assert payload.get(mutation.shown) is None or set(did) == set(mutation.does)
    if mutation.does[-1] in did:
        assert told in ([], ["OUTCOME_UNKNOWN"])
    if fault in ("down", "rate-limited"):
        assert mutation.does[-1] not in did
        # A filing case that was opened before is something that was done.
        assert told == (["OUTCOME_UNKNOWN"] if did else ["SERVICE_UNAVAILABLE"])


@pytest.mark.parametrize("fault", [fault for fault in BEFORE + AFTER if fault != "rate-limited"])
@pytest.mark.parametrize("name", KEYED)
async def test_the_same_key_brings_the_outcome_and_no_second_one(make_bff, monkeypatch, name, fault):
    """Whatever became of the first request: the second one ends in one thing done, and shown."""
    mutation, bff = MUTATIONS[name], await make_bff()
    variables = mutation.variables(bff.sandbox.world)
    bff.sandbox.faults[mutation.service] = fault
    await bff.ask(name, budget_ms=budget_ms(fault), **variables)
    bff.sandbox.faults.clear()
    monkeypatch.setattr("resolvers.mutations.once.LOST_AFTER", timedelta())  # so long ago is it now

    answer = await bff.ask(name, **variables)

    times_done = done(bff.sandbox.writes).count(mutation.does[-1])
    if mutation.settled or fault == "down":
        assert (answer.errors, codes_of(answer), times_done) == ([], [], 1)
        assert payload_of(answer)[mutation.shown] is not None
    else:  # nobody can tell whether it was done, and it is not done again
        assert codes_of(answer) == ["OUTCOME_UNKNOWN"]
        assert times_done == (fault in AFTER)


async def test_what_may_still_happen_is_not_done_again(bff):
    """A request that hangs may be carried out a moment later: seeing nothing yet proves nothing."""
    variables = MUTATIONS["StartSync"].variables(bff.sandbox.world)
    bff.sandbox.faults["integrations"] = "hang"
    await bff.ask("StartSync", budget_ms=BUDGET_MS, **variables)
    bff.sandbox.faults.clear()

    answer = await bff.ask("StartSync", **variables)

    assert (codes_of(answer), bff.sandbox.writes) == (["OUTCOME_UNKNOWN"], [])


# Mutation → method of the request whose answer is lost, the last that writes.
WRITES_WITH = dict.fromkeys(MUTATIONS, "POST") | {
    "UpdateClaim": "PUT",
    "CancelSync": "DELETE",
    "DisconnectIntegration": "DELETE",
    "ConnectIntegration": "PATCH",
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_an_answer_that_is_lost_alone_is_found_at_once(make_bff, name):
    """The write was done and everybody is well: one read tells, and nobody has to press a button again."""
    mutation, bff = MUTATIONS[name], await make_bff(cancel_repaired=True)
    variables = mutation.variables(bff.sandbox.world)
    bff.lost.add((mutation.service, WRITES_WITH[name]))

    answer = await bff.ask(name, **variables)

    did = done(bff.sandbox.writes)
    assert set(did) == set(mutation.does)
    assert not mutation.keyed or len(did) == len(mutation.does)
    assert answer.errors == []
    if mutation.settled:
        assert codes_of(answer) == []
        assert payload_of(answer)[mutation.shown] is not None
    else:
        assert codes_of(answer) == ["OUTCOME_UNKNOWN"]


async def test_a_lost_change_is_found_whatever_its_values(bff):
    """Nought and nothing are values, too."""
    claim = claims_of(bff.sandbox.world, SELLERS[0])[0]
    bff.lost.add(("refund-engine", "PUT"))

    answer = await bff.ask(
        "UpdateClaim",
        input={"claimId": global_id("Claim", claim["id"]), "daysSincePurchase": 0, "description": ""},
    )

    assert (answer.errors, codes_of(answer)) == ([], [])
    assert payload_of(answer)["claim"]["daysSincePurchase"] == 0


async def test_a_store_that_is_lost_while_looking_frees_no_key(bff, monkeypatch):
    """Our own database failing after the write was sent must not make a second write of one wish."""
    variables = MUTATIONS["StartSync"].variables(bff.sandbox.world)
    bff.lost.add(("integrations", "POST"))
    real = Receipts.outcomes

    async def lost(*_args):
        raise StoreUnavailable

    monkeypatch.setattr(Receipts, "outcomes", lost)
    first = await bff.ask("StartSync", **variables)
    monkeypatch.setattr(Receipts, "outcomes", real)
    second = await bff.ask("StartSync", **variables)

    assert (codes_of(first), codes_of(second)) == (["OUTCOME_UNKNOWN"], [])
    assert done(bff.sandbox.writes) == [("integrations", "startSync")]


async def test_two_lost_starts_are_two_syncs(bff, monkeypatch):
    """Each key finds its own, also when both look at the same moment."""
    lost = [
        {"input": {"kind": "INVENTORY", "runDetection": False, "idempotencyKey": str(uuid.uuid4())}}
        for _ in range(2)
    ]
    bff.sandbox.faults["integrations"] = "after:hang"
    await asyncio.gather(*(bff.ask("StartSync", budget_ms=BUDGET_MS, **each) for each in lost))
    bff.sandbox.faults.clear()

    answers = await asyncio.gather(*(bff.ask("StartSync", **each) for each in lost))

    shown = {payload_of(answer)["sync"]["id"] for answer in answers}
    assert shown == {global_id("Sync", write.facts["sync_id"]) for write in bff.sandbox.writes}
    assert len(shown) == 2


async def test_a_sync_of_another_kind_is_not_taken_for_the_lost_one(bff, monkeypatch):
    """A sync that somebody starts at the same moment is theirs."""
    variables = {"input": {"kind": "INVENTORY", "runDetection": False, "idempotencyKey": str(uuid.uuid4())}}
    await bff.ask("StartSync", input={"kind": "PRODUCT", "idempotencyKey": str(uuid.uuid4())})
    bff.sandbox.faults["integrations"] = "hang"
    await bff.ask("StartSync", budget_ms=BUDGET_MS, **variables)
    bff.sandbox.faults.clear()

    assert codes_of(await bff.ask("StartSync", **variables)) == ["OUTCOME_UNKNOWN"]
    monkeypatch.setattr("resolvers.mutations.once.LOST_AFTER", timedelta())
    assert codes_of(await bff.ask("StartSync", **variables)) == []
    assert [write.facts["sync_type"] for write in bff.sandbox.writes] == ["product", "inventory"]


async def test_a_third_search_that_nobody_can_tell_is_never_sent_again(bff, monkeypatch):
    """Two searches hide each other, so a third one shows nowhere: unknown is the truth about it."""
    sync_id = running_sync(bff.sandbox.world)["sync_id"]
    searches = [
        {"input": {"syncId": global_id("Sync", sync_id), "idempotencyKey": str(uuid.uuid4())}}
        for _ in range(3)
    ]
    for search in searches[:2]:
        assert codes_of(await bff.ask("RunDetection", **search)) == []
    bff.lost.add(("integrations", "POST"))
    await bff.ask("RunDetection", **searches[2])
    bff.lost.clear()
    monkeypatch.setattr("resolvers.mutations.once.LOST_AFTER", timedelta())

    answer = await bff.ask("RunDetection", **searches[2])

    assert codes_of(answer) == ["OUTCOME_UNKNOWN"]
    assert len(bff.sandbox.writes) == 3


async def test_a_claim_of_ones_own_number_is_found_when_it_landed_late(bff):
    """The first attempt was slow, the second met it: that is no number taken by somebody else."""
    given = {"caseNumber": "CASE-LATE", "idempotencyKey": str(uuid.uuid4())}
    bff.lost.add(("refund-engine", "POST"))
    bff.sandbox.faults["refund-engine"] = "ok"
    first = await bff.ask("CreateClaim", input=new_claim(**given))
    bff.lost.clear()

    second = await bff.ask("CreateClaim", input=new_claim(**given))

    assert (codes_of(first), codes_of(second)) == ([], [])
    assert payload_of(first)["claim"]["id"] == payload_of(second)["claim"]["id"]
    assert len(bff.sandbox.writes) == 1


@pytest.mark.parametrize("wrong", ["down", "refused", "store away"])
async def test_a_filing_case_that_was_opened_is_not_passed_over(bff, monkeypatch, wrong):
    """ "Nothing was done" would be false: the case is open, and the same key goes on from there."""
    variables = MUTATIONS["CreateClaim"].variables(bff.sandbox.world)
    real = Receipts.note

    async def noted_until_the_case_is_open(*args):
        if bff.sandbox.writes:
            raise StoreUnavailable
        return await real(*args)

    if wrong == "down":
        bff.sandbox.faults["refund-engine"] = "down"
    elif wrong == "refused":
        bff.refused.add(("refund-engine", "POST"))
    else:
        monkeypatch.setattr(Receipts, "note", noted_until_the_case_is_open)
    first = await bff.ask("CreateClaim", **variables)
    bff.sandbox.faults.clear()
    bff.refused.clear()
    monkeypatch.setattr(Receipts, "note", real)

    second = await bff.ask("CreateClaim", **variables)

    assert (first.errors, codes_of(first), codes_of(second)) == ([], ["OUTCOME_UNKNOWN"], [])
    assert "The filing case was opened" in payload_of(first)["userErrors"][0]["message"]
    assert done(bff.sandbox.writes) == list(MUTATIONS["CreateClaim"].does)


@pytest.mark.parametrize("wrong", ["lost", "refused"])
@pytest.mark.parametrize("provider", ["AMAZON", "GMAIL"])
async def test_a_connection_that_has_lapsed_is_not_passed_over(bff, provider, wrong):
    """A seller who reads "nothing was done" goes on without the connection that findings come from."""
    method = "GET" if provider == "AMAZON" else "POST"
    variables = {"input": {"provider": provider, "reconnect": True}}
    for row in bff.sandbox.world.connections.values():
        row["status"] = "active"
    getattr(bff, wrong).add(("integrations", method))

    first = await bff.ask("ConnectIntegration", **variables)
    bff.lost.clear()
    bff.refused.clear()
    second = await bff.ask("ConnectIntegration", **variables)

    [error] = payload_of(first)["userErrors"]
    assert (first.errors, error["code"]) == ([], "OUTCOME_UNKNOWN")
    assert "has lapsed" in error["message"]
    assert ("integrations", "reconnectIntegration") in done(bff.sandbox.writes)
    assert (codes_of(second), payload_of(second)["authorizationUrl"] is None) == ([], False)


async def test_a_connection_that_stays_is_not_called_lapsed(bff):
    """Without `reconnect` nothing is done before the consent: "try again" is all there is to say."""
    bff.refused.add(("integrations", "POST"))
    answer = await bff.ask("ConnectIntegration", input={"provider": "GMAIL"})
    assert codes_of(answer) == ["REFUSED"]


async def test_a_seller_with_many_payments_is_charged_all_the_same(bff):
    """Where the look is too large to be made, what the owner does once at most is simply done."""
    world = bff.sandbox.world
    variables = MUTATIONS["ChargeCommission"].variables(world)
    bff.sandbox.faults["stripe"] = "ok"
    template = next(row for row in world.transactions.values() if row["userId"] == SELLERS[0].stripe_user_id)
    for key in range(1, 520):
        world.transactions[-key] = {**template, "id": 5_000_000 + key, "claimId": 9_000_000 + key}
    bff.lost.add(("stripe", "POST"))
    first = await bff.ask("ChargeCommission", **variables)
    bff.lost.clear()

    second = await bff.ask("ChargeCommission", **variables)

    assert len(bff.sandbox.writes) == 1
    assert codes_of(first) in ([], ["OUTCOME_UNKNOWN"])
    assert codes_of(second) == []


async def test_an_amount_beyond_all_amounts_is_refused_as_input(bff):
    variables = MUTATIONS["GenerateDocument"].variables(bff.sandbox.world)
    variables["input"]["unitCost"] = {"amount": "1e9999999"}
    answer = await bff.ask("GenerateDocument", **variables)
    assert [error["extensions"]["code"] for error in answer.errors] == ["BAD_USER_INPUT"]
