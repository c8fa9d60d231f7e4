"""A write whose answer is lost: never done twice, and known again as soon as somebody can look.

Each mutation with the service that does it down, hanging, failing, and failing after it did the work; then
the same key again, when all is well.
"""

from datetime import timedelta

import pytest
from read_operations import claims_of
from write_operations import KEYED, MUTATIONS, codes_of, done, payload_of

from bff.sandbox.seed import SELLERS
from resolvers.global_ids import global_id

BUDGET_MS = 1200
BEFORE = ("down", "hang", "error", "rate-limited")
AFTER = ("after:error", "after:hang", "after:down")


@pytest.mark.parametrize("fault", BEFORE + AFTER)
@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_fault_is_told_as_what_it_is(make_bff, name, fault):
    """ "Nothing was done" is said only where it is so; where it is not known, that is said."""
    mutation, bff = MUTATIONS[name], await make_bff(cancel_repaired=True)
    variables = mutation.variables(bff.sandbox.world)
    bff.sandbox.faults[mutation.service] = fault

    answer = await bff.ask(name, budget_ms=BUDGET_MS, **variables)

    payload, did = payload_of(answer), done(bff.sandbox.writes)
    told = codes_of(answer) + [error["extensions"]["code"] for error in answer.errors]
    assert len(told) == 1 or (payload[mutation.shown] is not None and not told)
    # What does nothing twice is asked a second time after a failure.
    assert not mutation.keyed or did.count(mutation.does[-1]) <= 1
    assert payload.get(mutation.shown) is None or set(did) == set(mutation.does)
    if mutation.does[-1] in did:
        assert told in ([], ["OUTCOME_UNKNOWN"])
    if fault in ("down", "rate-limited"):
        assert told[0] in ("SERVICE_UNAVAILABLE", "RATE_LIMITED")
        assert mutation.does[-1] not in did


@pytest.mark.parametrize("fault", [fault for fault in BEFORE + AFTER if fault != "rate-limited"])
@pytest.mark.parametrize("name", KEYED)
async def test_the_same_key_brings_the_outcome_and_no_second_one(make_bff, monkeypatch, name, fault):
    """Whatever became of the first request: the second one ends in one thing done, and shown."""
    mutation, bff = MUTATIONS[name], await make_bff()
    variables = mutation.variables(bff.sandbox.world)
    bff.sandbox.faults[mutation.service] = fault
    await bff.ask(name, budget_ms=BUDGET_MS, **variables)
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
