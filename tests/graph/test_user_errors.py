"""Whatever keeps a mutation from its work is said in words, with a code, and before anything is written."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from read_operations import claims_of
from write_operations import (
    MUTATIONS,
    claim_to_file,
    codes_of,
    idle_detection,
    new_claim,
    payload_of,
    uncharged_claim,
)

from bff.auth import SCOPES
from bff.dev_issuer import DevIssuer
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Seller, World
from resolvers.global_ids import global_id

FIRST, SECOND = SELLERS
NOWHERE = "33333333-3333-4333-8333-333333333333"


def keyed(**given: Any) -> dict[str, Any]:
    return given | {"idempotencyKey": str(uuid.uuid4())}


def by_number(**given: Any) -> dict[str, Any]:
    return keyed(**new_claim(caseNumber="CASE-OWN-1") | given)


def charge(world: World, **given: Any) -> dict[str, Any]:
    claim_id = global_id("Claim", uncharged_claim(world)["id"])
    return keyed(claimId=claim_id, recoveredAmount={"amount": "250.00"}) | given


def document(world: World, **given: Any) -> dict[str, Any]:
    return keyed(detectionId=global_id("Detection", idle_detection(world)["id"]), sku="KIT-1") | given


def sync_id_of(world: World, seller: Seller, *, status: str = "running") -> str:
    rows = [
        row for row in world.syncs.values() if (row["user_id"], row["status"]) == (seller.user_id, status)
    ]
    return global_id("Sync", rows[0]["sync_id"])


def claim_id_of(world: World, seller: Seller) -> str:
    return global_id("Claim", claims_of(world, seller)[0]["id"])


def their_finding(world: World) -> str:
    return global_id("Detection", idle_detection(world, SECOND)["id"])


# Operation → what is wrong → (the input in a world, path of the user error below `input`).
Wrong = tuple[Callable[[World], dict[str, Any]], str]

INVALID: dict[str, dict[str, Wrong]] = {
    "CreateClaim": {
        "neither": (lambda _: keyed(**new_claim()), "detectionId"),
        "both": (lambda world: by_number(detectionId=their_finding(world)), "detectionId"),
        "no id": (lambda _: keyed(**new_claim(detectionId="nonsense")), "detectionId"),
        "currency": (
            lambda _: by_number(claimedAmount={"amount": "1", "currencyCode": "EUR"}),
            "claimedAmount.currencyCode",
        ),
        **{
            f"amount {amount}": (
                lambda _, amount=amount: by_number(claimedAmount={"amount": amount}),
                "claimedAmount.amount",
            )
            for amount in ("0", "-1", "1.005", "100000000", "1e30", "0.001")
        },
        "no category": (lambda _: by_number(productCategory=" "), "productCategory"),
        "long category": (lambda _: by_number(productCategory="k" * 101), "productCategory"),
        "NUL": (lambda _: by_number(description="a\0b"), "description"),
        "days": (lambda _: by_number(daysSincePurchase=-1), "daysSincePurchase"),
        "score": (lambda _: by_number(customerHistoryScore=1.01), "customerHistoryScore"),
        "long number": (lambda _: by_number(caseNumber="9" * 51), "caseNumber"),
        "dots": (lambda _: by_number(caseNumber=".."), "caseNumber"),
    },
    "UpdateClaim": {
        "nothing": (lambda world: {"claimId": claim_id_of(world, FIRST)}, ""),
        "another type": (
            lambda _: {"claimId": global_id("Document", NOWHERE), "daysSincePurchase": 1},
            "claimId",
        ),
    },
    "GenerateDocument": {
        "no sku": (lambda world: document(world, sku=""), "sku"),
        "units": (lambda world: document(world, unitsLost=-1), "unitsLost"),
        "unit cost": (lambda world: document(world, unitCost={"amount": "0"}), "unitCost.amount"),
    },
    "ChargeCommission": {
        "too little": (
            lambda world: charge(world, recoveredAmount={"amount": "0.49"}),
            "recoveredAmount.amount",
        ),
        "too much": (
            lambda world: charge(world, recoveredAmount={"amount": "1000000.01"}),
            "recoveredAmount.amount",
        ),
        "yen": (
            lambda world: charge(world, recoveredAmount={"amount": "5", "currencyCode": "JPY"}),
            "recoveredAmount.currencyCode",
        ),
        "key of version 7": (
            lambda world: charge(world, idempotencyKey="01930000-0000-7000-8000-000000000000"),
            "idempotencyKey",
        ),
    },
}
NOT_FOUND: dict[str, dict[str, Wrong]] = {
    "CreateClaim": {
        "theirs": (lambda world: keyed(**new_claim(detectionId=their_finding(world))), "detectionId")
    },
    "UpdateClaim": {
        "theirs": (
            lambda world: {"claimId": claim_id_of(world, SECOND), "daysSincePurchase": 1},
            "claimId",
        )
    },
    "SubmitClaim": {"theirs": (lambda world: keyed(claimId=claim_id_of(world, SECOND)), "claimId")},
    "RunDetection": {"theirs": (lambda world: keyed(syncId=sync_id_of(world, SECOND)), "syncId")},
    "CancelSync": {"theirs": (lambda world: {"syncId": sync_id_of(world, SECOND)}, "syncId")},
    "GenerateDocument": {
        "theirs": (lambda world: document(world, detectionId=their_finding(world)), "detectionId")
    },
    "ChargeCommission": {
        "theirs": (lambda world: charge(world, claimId=claim_id_of(world, SECOND)), "claimId")
    },
}
CASE_NUMBER_TAKEN: dict[str, dict[str, Wrong]] = {
    "CreateClaim": {
        f"{name} number": (
            lambda world, seller=seller: by_number(caseNumber=claims_of(world, seller)[0]["case_number"]),
            "caseNumber",
        )
        for name, seller in (("their", SECOND), ("own", FIRST))
    }
}
SYNC_NOT_RUNNING: dict[str, dict[str, Wrong]] = {
    "CancelSync": {
        "ended": (lambda world: {"syncId": sync_id_of(world, FIRST, status="completed")}, "syncId")
    }
}
REFUSED: dict[str, dict[str, Wrong]] = {
    "CancelSync": {"as published": (lambda world: {"syncId": sync_id_of(world, FIRST)}, "syncId")}
}
CASES = [
    pytest.param(operation, code, *case, id=f"{operation}-{wrong}")
    for code, cases in {
        "INVALID_INPUT": INVALID,
        "NOT_FOUND": NOT_FOUND,
        "CASE_NUMBER_TAKEN": CASE_NUMBER_TAKEN,
        "SYNC_NOT_RUNNING": SYNC_NOT_RUNNING,
        "REFUSED": REFUSED,
    }.items()
    for operation, wrongs in cases.items()
    for wrong, case in wrongs.items()
]


@pytest.mark.parametrize(("operation", "code", "input_in", "path"), CASES)
async def test_what_cannot_be_done_is_told_and_not_begun(bff, operation, code, input_in, path):
    """A person must read what to mend, and nothing may be half done meanwhile."""
    given = input_in(bff.sandbox.world)

    answer = await bff.ask(operation, input=given)

    payload = payload_of(answer)
    assert answer.errors == []
    [error] = payload["userErrors"]
    assert (error["code"], error["field"]) == (code, ["input", *filter(None, path.split("."))])
    assert error["message"]
    assert payload[MUTATIONS[operation].shown] is None
    assert bff.sandbox.writes == []
    if code == "NOT_FOUND":
        assert error["requestedId"] in given.values()


async def test_a_key_is_free_again_when_nothing_was_done(bff):
    """Whoever mends the mistake sends the same form again, key and all."""
    wrong = by_number(productCategory="k" * 101)
    await bff.ask("CreateClaim", input=wrong)

    answer = await bff.ask("CreateClaim", input=wrong | {"productCategory": "kitchen"})

    assert (codes_of(answer), len(bff.sandbox.writes)) == ([], 1)


async def test_only_a_waiting_claim_can_be_filed(bff):
    """Where the filing stands is said: "no" alone would send the seller to support."""
    world = bff.sandbox.world
    disputes = {row["case_number"]: row for row in world.disputes.values()}
    claims = claims_of(world, FIRST)
    without = next(row for row in claims if row["case_number"] not in disputes)
    approved = next(row for row in claims if disputes.get(row["case_number"], {}).get("status") == "approved")

    answers = [
        await bff.ask("SubmitClaim", input=keyed(claimId=global_id("Claim", row["id"])))
        for row in (without, approved)
    ]

    [not_opened], [filed] = (payload_of(answer)["userErrors"] for answer in answers)
    assert (not_opened["code"], not_opened["submissionStatus"]) == ("CLAIM_NOT_SUBMITTABLE", "NOT_OPENED")
    assert (filed["code"], filed["submissionStatus"]) == ("CLAIM_NOT_SUBMITTABLE", "APPROVED")
    assert bff.sandbox.writes == []


async def test_a_claim_that_somebody_filed_meanwhile_is_not_filed_twice(bff):
    """The owner refuses with a 500 what was filed a moment ago: that is a state, not a failure."""
    world = bff.sandbox.world
    claim = claim_to_file(world)
    await bff.ask("CaseDetail", id=global_id("Claim", claim["id"]))  # kept: its case still waits
    dispute = next(row for row in world.disputes.values() if row["case_number"] == claim["case_number"])
    dispute["status"] = "submitted"

    answer = await bff.ask("SubmitClaim", input=keyed(claimId=global_id("Claim", claim["id"])))

    [error] = payload_of(answer)["userErrors"]
    assert (error["code"], error["submissionStatus"]) == ("CLAIM_NOT_SUBMITTABLE", "SUBMITTED")


async def test_a_search_that_cannot_be_queued_is_refused(make_bff):
    """As published, the owner fails on every search: no promise is made of a run that never begins."""
    bff = await make_bff(search_broken=True)
    answer = await bff.ask("RunDetection", input=keyed(syncId=sync_id_of(bff.sandbox.world, FIRST)))
    assert codes_of(answer) == ["REFUSED"]


async def test_there_may_be_no_sync_to_search(bff):
    bff.sandbox.world.syncs.clear()
    answer = await bff.ask("RunDetection", input=keyed())
    assert codes_of(answer) == ["NOT_FOUND"]


async def test_a_finding_of_an_unknown_type_cannot_be_written_up(bff):
    """Cost docs would take any word and write nonsense."""
    idle_detection(bff.sandbox.world)["anomaly_type"] = "gremlins"
    answer = await bff.ask("GenerateDocument", input=document(bff.sandbox.world))
    assert (codes_of(answer), bff.sandbox.writes) == (["INVALID_INPUT"], [])


async def test_a_charge_needs_a_payment_account(bff):
    """Without one the owner fails with a foreign key; the seller is told what to do first."""
    claim = uncharged_claim(bff.sandbox.world, SECOND)
    answer = await bff.ask(
        "ChargeCommission",
        seller=SECOND,
        input=keyed(claimId=global_id("Claim", claim["id"]), recoveredAmount={"amount": "5"}),
    )
    assert (codes_of(answer), bff.sandbox.writes) == (["PAYMENT_ACCOUNT_MISSING"], [])


async def test_what_is_connected_is_not_connected_again(bff):
    for row in bff.sandbox.world.connections.values():
        row["status"] = "active"
    answer = await bff.ask("ConnectIntegration", input={"provider": "GMAIL"})
    assert codes_of(answer) == ["ALREADY_CONNECTED"]


@pytest.mark.parametrize("name", MUTATIONS)
async def test_each_mutation_needs_its_scope(bff, name):
    """A token that may only read must not reach any service with a write."""
    token = DevIssuer(bff.settings.jwt_secret).token(
        user_id=FIRST.user_id,
        email=FIRST.email,
        name=FIRST.name,
        stripe_user_id=FIRST.stripe_user_id,
        scopes=[scope for scope in SCOPES if scope.endswith(":read")],
    )
    answer = await bff.ask_with(
        {"authorization": f"Bearer {token}"}, name, **MUTATIONS[name].variables(bff.sandbox.world)
    )
    assert [error["extensions"]["code"] for error in answer.errors] == ["FORBIDDEN"]
    assert bff.calls() == {}


@pytest.mark.parametrize("name", ["ChargeCommission", "CreateCardSetup"])
async def test_without_a_payment_identity_nobody_is_charged(bff, name):
    """Any other number would be another person's account."""
    token = DevIssuer(bff.settings.jwt_secret).token(
        user_id=FIRST.user_id, email=FIRST.email, name=FIRST.name, stripe_user_id=None
    )
    answer = await bff.ask_with(
        {"authorization": f"Bearer {token}"}, name, **MUTATIONS[name].variables(bff.sandbox.world)
    )
    assert [error["extensions"]["code"] for error in answer.errors] == ["PAYMENTS_IDENTITY_MISSING"]
    assert bff.calls().get("stripe") is None


async def test_without_an_email_no_card_is_put_on_file(bff):
    token = DevIssuer(bff.settings.jwt_secret).token(
        user_id=FIRST.user_id, email=None, name=None, stripe_user_id=FIRST.stripe_user_id
    )
    answer = await bff.ask_with({"authorization": f"Bearer {token}"}, "CreateCardSetup")
    assert (codes_of(answer), bff.calls()) == (["INVALID_INPUT"], {})
