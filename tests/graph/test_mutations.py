"""Each mutation does what it says, once, and shows it."""

import asyncio
import uuid

import pytest
from read_operations import claims_of
from write_operations import (
    KEYED,
    MUTATIONS,
    codes_of,
    done,
    idle_detection,
    new_claim,
    payload_of,
    uncharged_claim,
)

from bff.contracts import call_contracts
from bff.sandbox.seed import SELLERS
from resolvers.global_ids import global_id

FIRST, SECOND = SELLERS


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_mutation_does_it_once_and_shows_it(make_bff, name):
    """A button that is pressed must do what is written on it, and the screen must show the result."""
    mutation, bff = MUTATIONS[name], await make_bff(cancel_repaired=True)
    variables = mutation.variables(bff.sandbox.world)

    answer = await bff.ask(name, **variables)

    assert answer.errors == []
    assert codes_of(answer) == []
    assert payload_of(answer)[mutation.shown] is not None
    assert done(bff.sandbox.writes) == list(mutation.does)
    exceeded = {
        service: (count, call_contracts()[name].get(service, 0))
        for service, count in bff.calls().items()
        if count > call_contracts()[name].get(service, 0)
    }
    assert exceeded == {}


@pytest.mark.parametrize("name", KEYED)
async def test_a_repeated_key_gives_the_first_outcome(make_bff, name):
    """A client that did not hear the answer sends it again, and nothing may be done twice."""
    mutation, bff = MUTATIONS[name], await make_bff(cancel_repaired=True)
    variables = mutation.variables(bff.sandbox.world)
    first = await bff.ask(name, **variables)

    second = await bff.ask(name, **variables)

    assert (codes_of(first), codes_of(second)) == ([], [])
    shown = payload_of(first)[mutation.shown], payload_of(second)[mutation.shown]
    assert shown[0] == shown[1] or shown[0]["id"] == shown[1]["id"]
    assert done(bff.sandbox.writes) == list(mutation.does)


@pytest.mark.parametrize("name", KEYED)
async def test_a_key_belongs_to_one_input_and_one_viewer(make_bff, name):
    """Another input under the same key is a mistake; another seller's same key is a coincidence."""
    mutation, bff = MUTATIONS[name], await make_bff()
    variables = mutation.variables(bff.sandbox.world)
    first = await bff.ask(name, **variables)
    assert (first.errors, codes_of(first)) == ([], [])
    others = {
        "CreateClaim": {"daysSincePurchase": 13},
        "SubmitClaim": {"claimId": global_id("Claim", claims_of(bff.sandbox.world, FIRST)[-1]["id"])},
        "RunDetection": {"syncId": None},
        "GenerateDocument": {"sku": "KIT-0043"},
        "ChargeCommission": {"recoveredAmount": {"amount": "250.01"}},
        "StartSync": {"kind": "PRODUCT"},
    }
    before = len(bff.sandbox.writes)

    other_input = await bff.ask(name, input=variables["input"] | others[name])
    other_viewer = await bff.ask(name, seller=SECOND, **variables)

    assert codes_of(other_input) == ["IDEMPOTENCY_KEY_REUSED"]
    assert "IDEMPOTENCY_KEY_REUSED" not in codes_of(other_viewer)
    shown = payload_of(other_viewer)[mutation.shown]
    own = {row["sync_id"] for row in bff.sandbox.world.syncs.values() if row["user_id"] == SECOND.user_id}
    assert shown is None or shown["id"] in {global_id("Sync", key) for key in own}
    assert len(bff.sandbox.writes) - before == (name == "StartSync")


async def test_the_key_of_two_requests_at_once_is_used_once(make_bff):
    """Two clicks in one instant are one wish."""
    bff = await make_bff()
    variables = MUTATIONS["StartSync"].variables(bff.sandbox.world)
    bff.sandbox.faults["integrations"] = "slow:150"

    answers = await asyncio.gather(*(bff.ask("StartSync", **variables) for _ in range(5)))

    assert len({payload_of(answer)["sync"]["id"] for answer in answers}) == 1
    assert done(bff.sandbox.writes) == [("integrations", "startSync")]


async def test_a_claim_takes_the_number_of_its_filing_case(bff):
    """Claim, filing and finding are joined by the number: a claim with another one could never be filed."""
    finding = idle_detection(bff.sandbox.world)
    answer = await bff.ask(
        "CreateClaim",
        input=new_claim(detectionId=global_id("Detection", finding["id"]), idempotencyKey=str(uuid.uuid4())),
    )

    claim = payload_of(answer)["claim"]
    [dispute] = [
        row for row in bff.sandbox.world.disputes.values() if row["detection_result_id"] == finding["id"]
    ]
    assert claim["caseNumber"] == dispute["case_number"]
    assert claim["submission"]["canSubmit"] is True
    assert claim["claimedAmount"] == {"amount": "324.50", "currencyCode": "USD"}


async def test_the_claim_of_a_finding_that_has_one_is_that_one(bff):
    """The owner's own rules may have made the claim already: a second one would be a second demand."""
    world = bff.sandbox.world
    numbers = {row["case_number"]: row for row in claims_of(world, FIRST)}
    dispute = next(row for row in world.disputes.values() if row["case_number"] in numbers)
    finding_id = global_id("Detection", dispute["detection_result_id"])

    answer = await bff.ask(
        "CreateClaim", input=new_claim(detectionId=finding_id, idempotencyKey=str(uuid.uuid4()))
    )

    assert payload_of(answer)["claim"]["id"] == global_id("Claim", numbers[dispute["case_number"]]["id"])
    assert bff.sandbox.writes == []


async def test_a_change_is_seen_by_the_next_read(bff):
    """What was kept before a write must not be shown after it."""
    claim = claims_of(bff.sandbox.world, FIRST)[0]
    claim_id = global_id("Claim", claim["id"])
    await bff.ask("CaseDetail", id=claim_id)
    await bff.ask("RecoveriesList")

    await bff.ask("UpdateClaim", input={"claimId": claim_id, "claimedAmount": {"amount": "1.05"}})

    detail = await bff.ask("CaseDetail", id=claim_id)
    listed = await bff.ask("RecoveriesList")
    assert detail.data["claim"]["claimedAmount"]["amount"] == "1.05"
    [row] = [edge["node"] for edge in listed.data["claims"]["edges"] if edge["node"]["id"] == claim_id]
    assert row["claimedAmount"]["amount"] == "1.05"


async def test_a_text_can_be_emptied_and_null_leaves_it(bff):
    claim = claims_of(bff.sandbox.world, FIRST)[0]
    claim_id, before = global_id("Claim", claim["id"]), claim["claim_description"]

    await bff.ask("UpdateClaim", input={"claimId": claim_id, "description": None, "daysSincePurchase": 9})
    assert (claim["claim_description"], claim["days_since_purchase"]) == (before, 9)
    await bff.ask("UpdateClaim", input={"claimId": claim_id, "description": ""})
    assert claim["claim_description"] == ""


async def test_a_card_is_put_on_file_for_the_viewer(bff):
    """The customer is whom the token names, never whom an argument names."""
    answer = await bff.ask("CreateCardSetup", seller=SECOND)

    assert payload_of(answer)["clientSecret"].startswith("seti_sandbox_")
    assert [write.facts["user_id"] for write in bff.sandbox.writes] == [str(SECOND.stripe_user_id)]


async def test_a_charge_shows_the_payment_of_the_claim(bff):
    claim = uncharged_claim(bff.sandbox.world)
    claim_id = global_id("Claim", claim["id"])
    variables = {"claimId": claim_id, "recoveredAmount": {"amount": "250.00"}}

    first = await bff.ask("ChargeCommission", input=variables | {"idempotencyKey": str(uuid.uuid4())})
    again = await bff.ask("ChargeCommission", input=variables | {"idempotencyKey": str(uuid.uuid4())})

    assert payload_of(first)["payment"]["recoveredAmount"] == {"amount": "250.00", "currencyCode": "USD"}
    assert payload_of(again)["payment"]["id"] == payload_of(first)["payment"]["id"]
    assert len(bff.sandbox.writes) == 1
    shown = await bff.ask("CaseDetail", id=claim_id)
    assert [node["id"] for node in shown.data["claim"]["payments"]["nodes"]] == [
        payload_of(first)["payment"]["id"]
    ]
