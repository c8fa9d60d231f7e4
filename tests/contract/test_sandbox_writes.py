"""The writes of the sandbox: each answers as agreed, refuses as captured, and shows in later reads."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import time_machine
from test_sandbox_speaks_the_contracts import OPERATIONS, check, token_of

from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import Row, Seller, World

ANCHOR = datetime(2026, 11, 1, tzinfo=UTC)
FIRST, SECOND = SELLERS
NOWHERE = "33333333-3333-4333-8333-333333333333"
KEY = "b73c7feb-d20c-4131-9494-ef8fa8638a0f"

NEW_CLAIM = {
    "case_number": "CASE-STR",
    "claim_amount": "12.345",
    "customer_history_score": 0.5,
    "product_category": "toys",
    "days_since_purchase": 3,
}
CHARGE = {"userId": 101, "claimId": 7, "amountRecoveredCents": 12345, "currency": "usd"}
EVIDENCE = {"anomaly_id": "an-1", "type": "lost_units", "sku": "SKU-1", "total_loss": 120.5}

Write = Callable[..., Awaitable[httpx.Response]]
Read = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def clock() -> Any:
    """A morning after the story, so that what is written is always the news."""
    with time_machine.travel(ANCHOR + timedelta(hours=9), tick=False) as traveller:
        yield traveller


@pytest.fixture
def world() -> World:
    world = seed(12, 4, ANCHOR)
    for seller in SELLERS:
        world.accounts[seller.stripe_user_id] = {**world.accounts[FIRST.stripe_user_id]}
    return world


@pytest.fixture
def sandbox(world: World) -> Sandbox:
    return Sandbox(world)


@pytest.fixture
def write(sandbox: Sandbox) -> Write:
    """Do one operation by its contracted name, and hold what it answers to the contract."""

    async def write(
        operation_id: str,
        body: Any = None,
        *,
        seller: Seller = FIRST,
        headers: dict[str, str] | None = None,
        of: Sandbox = sandbox,
        **path: str,
    ) -> httpx.Response:
        service = next(service for service, name in OPERATIONS if name == operation_id)
        method, template, _ = OPERATIONS[service, operation_id]
        token = {"authorization": f"Bearer {token_of(service, seller)}"}
        async with client_of(of, service) as client:
            answer = await client.request(
                method, template.format(**path), json=body, headers=token | (headers or {})
            )
        check(service, operation_id, answer)
        return answer

    return write


@pytest.fixture
def read(sandbox: Sandbox) -> Read:
    """Read the `data` of a path as a seller."""

    async def read(service: str, path: str, seller: Seller = FIRST) -> Any:
        async with client_of(sandbox, service) as client:
            answer = await client.get(path, headers={"authorization": f"Bearer {token_of(service, seller)}"})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    return read


def client_of(sandbox: Sandbox, service: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=sandbox.apps[service]), base_url="http://sandbox"
    )


def operations(sandbox: Sandbox) -> list[str]:
    return [write.operation for write in sandbox.writes]


def claim_of(world: World, seller: Seller = FIRST) -> Row:
    return next(row for row in world.claims.values() if row["user_id"] == seller.user_id)


def idle_finding(world: World, seller: Seller = FIRST) -> Row:
    """A finding no case was opened for."""
    taken = {row["detection_result_id"] for row in world.disputes.values()}
    return next(
        row
        for row in world.detections.values()
        if row["seller_id"] == seller.user_id and row["id"] not in taken
    )


def dispute_in(world: World, status: str, seller: Seller = FIRST) -> Row:
    return next(
        row
        for row in world.disputes.values()
        if row["seller_id"] == seller.user_id and row["status"] == status
    )


def running_sync(world: World, seller: Seller = FIRST) -> Row:
    return next(
        row for row in world.syncs.values() if row["user_id"] == seller.user_id and row["status"] == "running"
    )


def connection(world: World, provider: str) -> Row:
    return next(
        row
        for row in world.connections.values()
        if (row["user_id"], row["provider"]) == (FIRST.user_id, provider)
    )


def keyed(key: str = KEY) -> dict[str, str]:
    return {"idempotency-key": key}


# ---- refused: operation, path, body, headers, status, what it says

REFUSED: list[tuple[str, dict[str, str], Any, dict[str, str], int, str]] = [
    ("createClaim", {}, {"case_number": "X"}, {}, 400, "case_number, claim_amount, and product_category are"),
    ("createClaim", {}, {**NEW_CLAIM, "claim_amount": 0}, {}, 400, "are required"),
    ("createClaim", {}, {**NEW_CLAIM, "customer_history_score": None}, {}, 500, "Failed to create claim"),
    ("createClaim", {}, {**NEW_CLAIM, "days_since_purchase": None}, {}, 500, "Failed to create claim"),
    ("createClaim", {}, {**NEW_CLAIM, "claim_amount": "abc"}, {}, 500, "Failed to create claim"),
    ("createClaim", {}, {**NEW_CLAIM, "customer_history_score": 85}, {}, 500, "Failed to create claim"),
    ("createClaim", {}, {**NEW_CLAIM, "case_number": "X" * 51}, {}, 500, "Failed to create claim"),
    ("createClaim", {}, {**NEW_CLAIM, "case_number": "<number>"}, {}, 409, "with this case number already"),
    ("createClaim", {}, {**NEW_CLAIM, "case_number": "<other number>"}, {}, 409, "already exists"),
    ("updateClaim", {"id": NOWHERE}, {"status": "approved"}, {}, 404, "does not exist or you do not have"),
    ("updateClaim", {"id": "<claim>"}, {"status": "closed"}, {}, 500, "Failed to update claim"),
    ("updateClaim", {"id": "<claim>"}, {"foo": 1}, {}, 500, "Failed to update claim"),
    ("updateClaim", {"id": "<claim>"}, {"claim_amount": None}, {}, 500, "Failed to update claim"),
    ("updateClaim", {"id": "<claim>"}, {"case_number": "<other number>"}, {}, 500, "Failed to update claim"),
    ("updateClaim", {"id": "not-a-uuid"}, {"status": "approved"}, {}, 500, "Failed to update claim"),
    ("startSync", {}, {}, {}, 500, "Sync type is required"),
    ("startSync", {}, None, {}, 500, "Sync type is required"),
    ("cancelSync", {"syncId": "<running sync>"}, None, {}, 500, "Failed to cancel sync"),
    ("runDetection", {}, {}, {}, 400, "syncId is required"),
    ("createDispute", {}, {}, {}, 400, "detectionResultId, caseType, and claimAmount are required"),
    ("createDispute", {}, ("<finding>", "amazon_fba", 0), {}, 400, "are required"),
    ("createDispute", {}, (NOWHERE, "amazon_fba", 10), {}, 500, "dispute_cases_detection_result_id_fkey"),
    ("createDispute", {}, ("<taken finding>", "amazon_fba", 10), {}, 500, "duplicate key value violates"),
    ("createDispute", {}, ("xyz", "amazon_fba", 10), {}, 500, "invalid input syntax for type uuid"),
    ("createDispute", {}, ("<finding>", "ebay", 10), {}, 500, "check constraint"),
    ("createDispute", {}, ("<finding>", "amazon_fba", "ten"), {}, 500, "type numeric"),
    ("submitDispute", {"id": "<submitted>"}, {}, {}, 500, "Case cannot be submitted in status: submitted"),
    ("submitDispute", {"id": "<approved>"}, {}, {}, 500, "Case cannot be submitted in status: approved"),
    ("submitDispute", {"id": "<other dispute>"}, {}, {}, 403, "Access denied"),
    ("submitDispute", {"id": NOWHERE}, {}, {}, 500, "multiple (or no) rows returned"),
    ("reconnectIntegration", {"provider": "ebay"}, None, {}, 400, "Provider not supported for reconnection"),
    ("generateAuto", {}, {**EVIDENCE, "sku": ""}, {}, 400, "Missing required fields: anomaly_id, type, sku"),
    ("generateAuto", {}, {"evidence": EVIDENCE}, {}, 400, "Missing required fields"),
    ("chargeCommission", {}, CHARGE, {}, 400, "Idempotency-Key or X-Idempotency-Key header is required"),
    ("chargeCommission", {}, CHARGE, keyed("claim-3f51714e-status-paid"), 400, "must be a valid UUID v4"),
    ("chargeCommission", {}, {**CHARGE, "userId": FIRST.user_id}, keyed(), 400, "User ID must be an integer"),
    ("chargeCommission", {}, {**CHARGE, "claimId": NOWHERE}, keyed(), 400, "Claim ID must be an integer"),
    ("chargeCommission", {}, {**CHARGE, "currency": "jpy"}, keyed(), 400, "Invalid currency"),
    (
        "chargeCommission",
        {},
        {**CHARGE, "amountRecoveredCents": -5},
        keyed(),
        400,
        "Amount must be a positive",
    ),
    (
        "chargeCommission",
        {},
        {**CHARGE, "amountRecoveredCents": 40},
        keyed(),
        400,
        "payout cannot be negative",
    ),
    ("chargeCommission", {}, {**CHARGE, "userId": 555}, keyed(), 500, "StripeTransaction_userId_fkey"),
    ("createCustomerSetup", {}, {"userId": 101}, {}, 400, "userId and email are required"),
]


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
@pytest.mark.parametrize(
    ("operation_id", "path", "body", "headers", "status", "said"),
    REFUSED,
    ids=[f"{row[0]}-{row[4]}-{index}" for index, row in enumerate(REFUSED)],
)
async def test_refuses_as_captured_and_changes_nothing(
    write: Write,
    sandbox: Sandbox,
    world: World,
    seller: Seller,
    operation_id: str,
    path: dict,
    body: Any,
    headers: dict,
    status: int,
    said: str,
):
    """A mutation tells a person why from these words and numbers; half a write would be a lie."""
    other = SECOND if seller is FIRST else FIRST
    for owner in SELLERS:  # the small world of the second seller lacks them
        rows = [row for row in world.disputes.values() if row["seller_id"] == owner.user_id]
        for row, state in zip(rows, ("submitted", "approved"), strict=False):
            row["status"] = state
    names = {
        "<claim>": claim_of(world, seller)["id"],
        "<number>": claim_of(world, seller)["case_number"],
        "<other number>": claim_of(world, other)["case_number"],
        "<running sync>": running_sync(world, seller)["sync_id"],
        "<finding>": idle_finding(world, seller)["id"],
        "<taken finding>": dispute_in(world, "submitted", seller)["detection_result_id"],
        "<submitted>": dispute_in(world, "submitted", seller)["id"],
        "<approved>": dispute_in(world, "approved", seller)["id"],
        "<other dispute>": dispute_in(world, "submitted", other)["id"],
    }
    if isinstance(body, tuple):
        body = dict(zip(("detectionResultId", "caseType", "claimAmount"), body, strict=True))
    if isinstance(body, dict):
        body = {name: names.get(str(value), value) for name, value in body.items()}
    before = repr(world)

    answer = await write(
        operation_id,
        body,
        seller=seller,
        headers=headers,
        **{name: names.get(value, value) for name, value in path.items()},
    )

    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert repr(world) == before


def test_every_contracted_write_is_done_below():
    """An operation that is only listed could be wrong for ever."""
    listed = {name for (_, name), (_, _, operation) in OPERATIONS.items() if operation.get("x-writes")}

    assert listed == {row[0] for row in REFUSED} | {
        "startAmazonOAuth",
        "connectGmail",
        "connectStripe",
        "disconnectIntegration",
    }


async def test_the_ways_of_refusing_are_each_ones_own(write: Write, sandbox: Sandbox):
    """Details as a list, a code in an object, a bare text: a client reads all three."""
    ebay, detection = await write("reconnectIntegration", provider="ebay"), await write("runDetection", {})
    charge = await write("chargeCommission", {**CHARGE, "userId": "x", "currency": "jpy"}, headers=keyed())
    missing = await write("chargeCommission", {}, headers=keyed())

    assert ebay.json() == {"success": False, "message": "Provider not supported for reconnection"}
    assert detection.json()["error"] == {"code": "VALIDATION_ERROR", "message": "syncId is required"}
    assert [(entry["path"], entry["value"]) for entry in charge.json()["details"]] == [
        ("userId", "x"),
        ("currency", "jpy"),
    ]
    assert [entry["path"] for entry in missing.json()["details"]] == [
        "userId",
        "amountRecoveredCents",
        "currency",
    ]
    assert all("value" not in entry for entry in missing.json()["details"])


# ---- refund engine


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
async def test_a_new_claim_is_there(write: Write, read: Read, sandbox: Sandbox, seller: Seller):
    """The list, the number, the id and the figures must all know it, or a client sees its claim vanish."""
    before = int((await read("refund-engine", "/api/v1/claims/stats", seller))["pending"])

    answer = await write("createClaim", NEW_CLAIM, seller=seller)

    assert answer.status_code == 201
    made = answer.json()["data"]
    assert (made["claim_amount"], made["customer_history_score"]) == ("12.35", "0.50")
    assert (made["user_id"], made["status"], made["ml_prediction"]) == (seller.user_id, "pending", None)
    assert made["created_at"] == made["updated_at"] == "2026-11-01T09:00:00.000Z"
    assert (await read("refund-engine", "/api/v1/claims?limit=1", seller)) == [made]
    assert (await read("refund-engine", "/api/v1/claims/case/CASE-STR", seller)) == made
    assert int((await read("refund-engine", "/api/v1/claims/stats", seller))["pending"]) == before + 1
    assert [write.facts["case_number"] for write in sandbox.writes] == ["CASE-STR"]


async def test_a_case_number_is_taken_for_everybody(write: Write, sandbox: Sandbox):
    """It is the natural key of a claim: a second attempt is recognised by it, and only by it."""
    first = await write("createClaim", NEW_CLAIM)
    again = await write("createClaim", NEW_CLAIM)
    others = await write("createClaim", NEW_CLAIM, seller=SECOND)

    assert [answer.status_code for answer in (first, again, others)] == [201, 409, 409]
    assert operations(sandbox) == ["createClaim"]


async def test_a_token_without_a_uuid_makes_no_claim(sandbox: Sandbox):
    """A fault of identity is a 500 here, and must not leave a claim that belongs to nobody."""
    async with client_of(sandbox, "refund-engine") as client:
        for claim in ({"id": "usr_seller1"}, {"id": None}):
            token = token_of("refund-engine", FIRST, **claim)
            answer = await client.post(
                "/api/v1/claims", json=NEW_CLAIM, headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code == 500

    assert sandbox.writes == []


async def test_a_change_shows_and_moves_the_clock(write: Write, read: Read, world: World, sandbox: Sandbox):
    """Late events are dropped by `updated_at`: a change that did not move it would never be seen."""
    claim = {**claim_of(world)}

    answer = await write(
        "updateClaim", {"claim_amount": 99.5, "claim_description": None, "status": "paid"}, id=claim["id"]
    )

    changed = {"claim_amount": "99.50", "claim_description": None, "status": "paid"}
    assert answer.json()["data"] == claim | changed | {"updated_at": "2026-11-01T09:00:00.000Z"}
    assert await read("refund-engine", f"/api/v1/claims/{claim['id']}") == answer.json()["data"]
    assert sandbox.writes[0][:2] == ("refund-engine", "updateClaim")
    assert sandbox.writes[0].facts == {"id": claim["id"], "changed": changed}


async def test_an_empty_change_changes_nothing(write: Write, world: World, sandbox: Sandbox):
    """It is a 200 all the same."""
    claim = {**claim_of(world)}

    answer = await write("updateClaim", {}, id=claim["id"])

    assert answer.json()["data"] == claim
    assert sandbox.writes == []


async def test_a_stranger_may_change_a_claim(write: Write, world: World):
    """The engine checks no owner: this is the hole the BFF's own check has to close."""
    claim = claim_of(world, SECOND)

    answer = await write("updateClaim", {"claim_description": "by another tenant"}, id=claim["id"])

    assert answer.json()["data"]["user_id"] == SECOND.user_id
    assert claim["claim_description"] == "by another tenant"


# ---- integrations: syncs and searches


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
async def test_a_sync_begins_at_the_top_of_the_list(
    write: Write, read: Read, sandbox: Sandbox, seller: Seller
):
    """A lost answer is settled by the newest run of the history; it has to be that one."""
    answer = await write("startSync", {"syncType": "inventory"}, seller=seller)

    data = answer.json()["data"]
    assert (data["estimatedDuration"], data["detectionPipelineEnabled"]) == (300, True)
    (row,) = await read("integrations", "/api/v1/integrations/sync/history?limit=1", seller)
    assert (row["sync_id"], row["user_id"]) == (data["syncId"], seller.user_id)
    assert (row["step"], row["total_steps"], row["status"], row["progress"]) == (1, 5, "running", 20)
    assert row["metadata"]["sync_type"] == "inventory"
    assert [(write.operation, write.facts["sync_id"]) for write in sandbox.writes] == [
        ("startSync", data["syncId"])
    ]


async def test_each_start_is_another_run(write: Write, sandbox: Sandbox):
    """Nothing upstream stops a double click; only the BFF's key does."""
    runs = {(await write("startSync", {"syncType": "product"})).json()["data"]["syncId"] for _ in range(3)}

    assert len(runs) == 3
    assert operations(sandbox) == ["startSync"] * 3


async def test_a_sync_moves_with_the_clock(write: Write, read: Read, world: World, clock: Any):
    """A progress bar is tested by watching it."""
    sync_id = (await write("startSync", {"syncType": "inventory"})).json()["data"]["syncId"]
    seen = []
    for _ in range(7):
        data = await read("integrations", f"/api/v1/integrations/sync/status/{sync_id}")
        seen.append((data["step"], data["status"], data["progress"], data["detectionPipelineStatus"]))
        clock.shift(world.sync_step_s)

    assert seen == [
        (1, "running", 20, "pending"),
        (2, "running", 40, "detection_queued"),
        (3, "running", 60, "detection_queued"),
        (4, "running", 80, "detection_completed"),
        (5, "running", 100, "detection_completed"),
        (5, "completed", 100, "detection_completed"),
        (5, "completed", 100, "detection_completed"),
    ]
    assert data["updatedAt"] == "2026-11-01T09:01:00+00:00"
    assert data["metadata"]["success"] is True


async def test_a_look_does_not_move_the_clock_of_a_row(write: Write, read: Read, clock: Any):
    """Two polls of an unchanged sync must be equal, or each would be an event."""
    sync_id = (await write("startSync", {"syncType": "inventory"})).json()["data"]["syncId"]
    clock.shift(13)
    first = await read("integrations", f"/api/v1/integrations/sync/status/{sync_id}")
    clock.shift(1)

    assert await read("integrations", f"/api/v1/integrations/sync/status/{sync_id}") == first


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_syncs_can_be_finished_at_once(write: Write, read: Read, world: World, status: str):
    """A test must not wait a minute; and it needs syncs that fail."""
    sync_id = (await write("startSync", {"syncType": "inventory"})).json()["data"]["syncId"]

    world.finish_syncs(status)

    data = await read("integrations", f"/api/v1/integrations/sync/status/{sync_id}")
    assert (data["status"], data["progress"], data["metadata"]["success"]) == (
        status,
        100,
        status == "completed",
    )
    assert data["detectionPipelineStatus"] == "detection_completed"
    assert {row["status"] for row in world.syncs.values()} <= {"completed", "failed"}


async def test_a_sync_without_search_is_not_searched(write: Write, read: Read, world: World):
    """`enableDetection: false` leaves the search pending for good: that is how "never asked" looks."""
    answer = await write("startSync", {"syncType": "inventory", "enableDetection": False})
    world.finish_syncs()

    data = answer.json()["data"]
    assert data["detectionPipelineEnabled"] is False
    status = await read("integrations", f"/api/v1/integrations/sync/status/{data['syncId']}")
    assert status["detectionPipelineStatus"] == "pending"


async def test_the_syncs_of_the_seed_stand_still(read: Read, world: World, clock: Any):
    """Screens and tests count on one that runs; a clock that ended it would change them overnight."""
    row = {**running_sync(world)}
    clock.shift(86_400)
    await read("integrations", "/api/v1/integrations/sync/history")

    assert running_sync(world) == row


async def test_cancelling_what_does_not_run_succeeds(write: Write, world: World, sandbox: Sandbox):
    """Unknown, ended or another's: 200, and nothing touched. The BFF has to look first."""
    ended = next(row for row in world.syncs.values() if row["status"] == "completed")
    before = repr(world.syncs)

    for sync_id in ("sync-none", ended["sync_id"], running_sync(world, SECOND)["sync_id"]):
        assert (await write("cancelSync", syncId=sync_id)).status_code == 200
    assert (repr(world.syncs), sandbox.writes) == (before, [])


async def test_a_repaired_table_lets_a_sync_be_cancelled(write: Write, read: Read, world: World, clock: Any):
    """The graph promises CANCELLED; here is a deployment that keeps the promise."""
    repaired = Sandbox(world, cancel_repaired=True)
    started = await write("startSync", {"syncType": "inventory", "enableDetection": False}, of=repaired)
    sync_id = started.json()["data"]["syncId"]
    clock.shift(13)

    first = await write("cancelSync", of=repaired, syncId=sync_id)
    clock.shift(600)
    again = await write("cancelSync", of=repaired, syncId=sync_id)

    assert first.json() == again.json()
    data = await read("integrations", f"/api/v1/integrations/sync/status/{sync_id}")
    assert (data["status"], data["step"], data["message"]) == ("cancelled", 2, "Sync was cancelled")
    assert operations(repaired) == ["startSync", "cancelSync"]


async def test_a_second_search_hides_the_first(write: Write, read: Read, world: World, sandbox: Sandbox):
    """The lookup expects one trigger: this is why `runDetection` demands a key."""
    row = next(
        row
        for row in world.syncs.values()
        if row["user_id"] == FIRST.user_id and row["detectionPipelineStatus"] == "pending"
    )
    path = f"/api/v1/integrations/sync/status/{row['sync_id']}"

    job = await write("runDetection", {"syncId": row["sync_id"], "triggerType": "manual"})
    once = (await read("integrations", path))["detectionPipelineStatus"]
    await write("runDetection", {"syncId": row["sync_id"]})
    twice = (await read("integrations", path))["detectionPipelineStatus"]
    world.finish_syncs()
    for_ever = (await read("integrations", path))["detectionPipelineStatus"]

    assert job.json() == {"success": True, "job": {"sync_id": row["sync_id"], "trigger_type": "manual"}}
    assert (once, twice, for_ever) == ("detection_queued", "pending", "pending")
    assert operations(sandbox) == ["runDetection"] * 2


async def test_a_search_after_the_one_of_the_sync_hides_it_too(write: Write, world: World):
    """A sync that was searched when it ran has its one trigger already."""
    row = next(row for row in world.syncs.values() if row["detectionPipelineStatus"] == "detection_completed")

    await write("runDetection", {"syncId": row["sync_id"]}, seller=SECOND)
    by_a_stranger = row["detectionPipelineStatus"]
    await write("runDetection", {"syncId": row["sync_id"]})

    assert (by_a_stranger, row["detectionPipelineStatus"]) == ("detection_completed", "pending")


async def test_a_search_of_nothing_is_taken(write: Write):
    """The job has no id and the sync is not looked up: only the BFF can say that there is none."""
    assert (await write("runDetection", {"syncId": "sync-none"})).status_code == 200


async def test_a_search_as_published_fails(write: Write, world: World):
    """Its queue lacks a method: the one refusal of this route that carries a code."""
    broken = Sandbox(world, search_broken=True)

    answer = await write("runDetection", {"syncId": running_sync(world)["sync_id"]}, of=broken)

    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "code": "INTERNAL_ERROR",
        "message": "redisClient.zadd is not a function",
    }
    assert broken.writes == []


# ---- integrations: disputes


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
async def test_a_dispute_is_opened_and_handed_in(
    write: Write, read: Read, world: World, sandbox: Sandbox, seller: Seller
):
    """The one real submission there is: every step of it shows in the list that the graph reads."""
    finding = idle_finding(world, seller)
    asked = {"detectionResultId": finding["id"], "caseType": "amazon_fba", "claimAmount": 99.5}

    opened = (await write("createDispute", asked, seller=seller)).json()["data"]
    listed = await read("integrations", "/api/enhanced-detection/disputes?limit=1", seller)
    results = await read("integrations", "/api/enhanced-detection/results?status=disputed&limit=500", seller)
    sent = (await write("submitDispute", {}, seller=seller, id=opened["id"])).json()["data"]
    again = await write("submitDispute", {}, seller=seller, id=opened["id"])

    assert listed["cases"] == [opened]
    assert opened["case_number"].startswith(f"DC-{seller.user_id[:8]}-AMA-".upper())
    assert opened["case_number"] == opened["case_number"].upper()
    assert (opened["status"], opened["claim_amount"], opened["currency"]) == ("pending", 99.5, "USD")
    assert finding["id"] in {row["id"] for row in results}
    assert (sent["status"], sent["submission_date"]) == ("submitted", "2026-11-01T09:00:00+00:00")
    assert sent["provider_case_id"].startswith("AMZ-1793523600000-")
    assert sent["provider_response"]["amazon_case_id"] == sent["provider_case_id"]
    assert await read("integrations", f"/api/enhanced-detection/disputes/{opened['id']}", seller) == sent
    assert again.json()["message"] == "Case cannot be submitted in status: submitted"
    assert operations(sandbox) == ["createDispute", "submitDispute"]


async def test_a_case_may_be_opened_for_a_strangers_finding(write: Write, world: World):
    """Only the database looks, and it only looks whether there is such a finding."""
    finding = idle_finding(world, SECOND)

    answer = await write(
        "createDispute", {"detectionResultId": finding["id"], "caseType": "amazon_fba", "claimAmount": 1}
    )

    assert answer.json()["data"]["seller_id"] == FIRST.user_id


# ---- integrations: connections


async def test_consent_pages(write: Write, world: World, sandbox: Sandbox):
    """Amazon hands one out to the connected as well; the others leave `authUrl` out then."""
    assert connection(world, "amazon")["status"] == "active"
    amazon = (await write("startAmazonOAuth")).json()
    gmail = (await write("connectGmail")).json()
    stripe = (await write("connectStripe")).json()
    connection(world, "gmail")["status"] = "active"
    gmail_again = (await write("connectGmail")).json()

    assert amazon["message"] == "Amazon OAuth initiated"
    assert all(answer["authUrl"].startswith("https://") for answer in (amazon, gmail, stripe))
    assert stripe["authUrl"].endswith(f"state={FIRST.user_id}")
    assert "authUrl" not in gmail_again
    assert sandbox.writes == []


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
async def test_reconnecting_lets_the_connection_lapse(
    write: Write, read: Read, sandbox: Sandbox, seller: Seller
):
    """Asking to connect again already ends the connection: a mistaken click is noticed."""
    path = "/api/v1/integrations/status/amazon"
    before = await read("integrations", path, seller)

    answer = await write("reconnectIntegration", seller=seller, provider="amazon")
    never = await write("reconnectIntegration", seller=seller, provider="stripe")

    after = await read("integrations", path, seller)
    assert answer.json()["data"]["reconnectUrl"].endswith(f"reconnect=true&userId={seller.user_id}")
    assert never.status_code == 200
    assert (after["status"], after["updated_at"]) == ("expired", "2026-11-01T09:00:00+00:00")
    assert after["metadata"]["reconnection_attempted_at"] == "2026-11-01T09:00:00.000Z"
    assert after.get("lastSyncedAt") == before.get("lastSyncedAt")
    assert operations(sandbox) == ["reconnectIntegration"]


async def test_disconnecting_revokes(write: Write, read: Read, world: World, sandbox: Sandbox):
    """Only the viewer's own, only that one; what was never connected is disconnected without a word."""
    others = [{**row} for row in world.connections.values() if row["user_id"] == SECOND.user_id]

    answer = await write("disconnectIntegration", connector="amazon")
    never = await write("disconnectIntegration", connector="stripe")

    assert answer.json()["message"] == "Amazon integration disconnected successfully"
    assert never.status_code == 200
    states = {
        row["provider"]: row["status"] for row in await read("integrations", "/api/v1/integrations/status")
    }
    assert states == {"amazon": "revoked", "gmail": "expired"}
    assert [row for row in world.connections.values() if row["user_id"] == SECOND.user_id] == others
    assert operations(sandbox) == ["disconnectIntegration"]


async def test_other_connectors_have_no_route(sandbox: Sandbox):
    """A provider misspelt in a client has to look as it would look in production."""
    async with client_of(sandbox, "integrations") as client:
        client.headers["authorization"] = f"Bearer {token_of('integrations', FIRST)}"
        answer = await client.delete("/api/ebay/disconnect")

    assert answer.status_code == 404
    assert answer.json() == {"success": False, "message": "Route /api/ebay/disconnect not found"}


# ---- cost docs


async def test_a_document_is_queued_and_never_comes(write: Write, read: Read, sandbox: Sandbox):
    """A reference without a promise: nothing appears among the documents, and each call is another job."""
    before = await read("cost-docs", "/api/v1/cost-docs/stats/overview")

    first, again = await write("generateAuto", EVIDENCE), await write("generateAuto", EVIDENCE)

    assert (first.status_code, first.json()["anomaly_id"]) == (202, "an-1")
    assert (first.json()["job_id"], again.json()["job_id"]) == ("1", "2")
    assert await read("cost-docs", "/api/v1/cost-docs/stats/overview") == before
    assert operations(sandbox) == ["generateAuto"] * 2


# ---- stripe


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
async def test_a_charge_is_queued_and_listed(write: Write, read: Read, sandbox: Sandbox, seller: Seller):
    """The answer has no dates: the graph shows the payment from the list, where it must come first."""
    user_id = seller.stripe_user_id

    answer = await write("chargeCommission", {**CHARGE, "userId": user_id}, seller=seller, headers=keyed())

    data = answer.json()["data"]
    assert (data["platformFeeCents"], data["sellerPayoutCents"], data["status"]) == (2469, 9876, "pending")
    listed = (await read("stripe", f"/api/v1/stripe/transactions/{user_id}?limit=1", seller))["transactions"]
    assert [(row["id"], row["claimId"], row["status"]) for row in listed] == [
        (data["transactionId"], 7, "pending")
    ]
    assert listed[0]["idempotencyKey"] is None  # the header alone is not kept
    assert [write.facts["cents"] for write in sandbox.writes] == [12345]


@pytest.mark.parametrize(("cents", "fee"), [(50, 50), (249, 50), (251, 50), (253, 51), (12345, 2469)])
async def test_the_fee_is_a_fifth_and_at_least_fifty_cents(write: Write, cents: int, fee: int):
    """Both are hard-coded there; a client that shows them beforehand has to round alike."""
    answer = await write("chargeCommission", {**CHARGE, "amountRecoveredCents": cents}, headers=keyed())

    assert answer.json()["data"]["platformFeeCents"] == fee
    assert answer.json()["data"]["sellerPayoutCents"] == cents - fee


async def test_a_claim_is_charged_once(write: Write, sandbox: Sandbox):
    """Whatever the key and whoever asks: a short answer, without amounts."""
    first = await write("chargeCommission", CHARGE, headers=keyed())
    again = await write("chargeCommission", CHARGE, headers=keyed(str(uuid4())))
    stranger = await write("chargeCommission", {**CHARGE, "userId": 102}, seller=SECOND, headers=keyed())

    assert again.json() == stranger.json()
    assert again.json()["data"] == {
        "transactionId": first.json()["data"]["transactionId"],
        "status": "pending",
        "message": "Transaction already exists for this claim",
    }
    assert operations(sandbox) == ["chargeCommission"]


async def test_a_key_in_the_header_alone_does_nothing(write: Write, sandbox: Sandbox):
    """The same key with another claim charges again: money taken twice by who trusted the header."""
    await write("chargeCommission", CHARGE, headers=keyed())
    await write("chargeCommission", {**CHARGE, "claimId": 8}, headers=keyed())

    assert [write.facts["claim_id"] for write in sandbox.writes] == [7, 8]


async def test_a_key_in_both_places_is_remembered(write: Write, sandbox: Sandbox, clock: Any):
    """For 24 hours, for that user, and whatever else is sent with it: no 409, the first answer."""
    body = {**CHARGE, "idempotencyKey": KEY}
    other = {**body, "claimId": 9, "amountRecoveredCents": 999}

    first = await write("chargeCommission", body, headers=keyed())
    replay = await write("chargeCommission", other, headers={"x-idempotency-key": KEY})
    clock.shift(timedelta(hours=24, seconds=1))
    forgotten = await write("chargeCommission", other, headers=keyed())

    assert replay.json() == first.json()
    assert forgotten.json()["data"]["transactionId"] != first.json()["data"]["transactionId"]
    assert [write.facts["claim_id"] for write in sandbox.writes] == [7, 9]


async def test_one_sellers_key_is_not_the_others(write: Write, sandbox: Sandbox):
    """Keys are kept per user, or one could read what another was answered."""
    first = await write("chargeCommission", {**CHARGE, "idempotencyKey": KEY}, headers=keyed())
    body = {**CHARGE, "userId": 102, "claimId": 8, "idempotencyKey": KEY}
    second = await write("chargeCommission", body, seller=SECOND, headers=keyed())

    assert first.json()["data"]["transactionId"] != second.json()["data"]["transactionId"]


async def test_anybody_may_charge_anybody(write: Write, read: Read):
    """The user in the body is never compared with the token: the hole the BFF has to close."""
    answer = await write("chargeCommission", {**CHARGE, "userId": 102}, headers=keyed())

    listed = (await read("stripe", "/api/v1/stripe/transactions/102?limit=1", SECOND))["transactions"]
    assert listed[0]["id"] == answer.json()["data"]["transactionId"]


async def test_a_charge_without_a_claim_is_another_each_time(write: Write, sandbox: Sandbox):
    """`claimId` is what makes it one; without it there is only the key."""
    body = {name: value for name, value in CHARGE.items() if name != "claimId"}
    for _ in range(2):
        await write("chargeCommission", body, headers=keyed())

    assert operations(sandbox) == ["chargeCommission"] * 2


async def test_a_customer_is_kept_and_a_secret_is_not(write: Write, sandbox: Sandbox):
    """A repeated setup is harmless but never the same; the secret appears nowhere else."""
    body = {"userId": 101, "email": FIRST.email}
    first, again = (await write("createCustomerSetup", body)).json(), await write("createCustomerSetup", body)
    other = await write("createCustomerSetup", {"userId": 102, "email": SECOND.email}, seller=SECOND)

    secrets = {answer["data"]["setupClientSecret"] for answer in (first, again.json(), other.json())}
    assert len(secrets) == 3
    assert first["data"]["customerId"] == again.json()["data"]["customerId"] == "cus_sandbox_101"
    assert other.json()["data"]["customerId"] == "cus_sandbox_102"
    assert not any(secret in repr(sandbox.world) for secret in secrets)


# ---- all of them


@pytest.mark.parametrize(
    ("service", "method", "path", "status"),
    [
        ("refund-engine", "POST", "/api/v1/claims", 401),
        ("refund-engine", "PUT", f"/api/v1/claims/{NOWHERE}", 401),
        ("integrations", "POST", "/api/v1/integrations/sync/start", 401),
        ("integrations", "DELETE", "/api/enhanced-sync/cancel/sync-1", 401),
        ("integrations", "PATCH", "/api/v1/integrations/reconnect/gmail", 401),
        ("integrations", "DELETE", "/api/gmail/disconnect", 401),
        ("cost-docs", "POST", "/api/v1/cost-documentation/generate/auto", 401),
        ("stripe", "POST", "/api/v1/stripe/charge-commission", 401),
        ("stripe", "POST", "/api/v1/stripe/create-customer-setup", 401),
    ],
)
async def test_nobody_writes_without_a_token(
    sandbox: Sandbox, service: str, method: str, path: str, status: int
):
    """The token comes before the body, so a caller without one learns nothing about either."""
    async with client_of(sandbox, service) as client:
        answer = await client.request(method, path, json={})

    assert answer.status_code == status
    assert sandbox.writes == []


async def test_ids_of_what_is_made_are_new(write: Write, world: World):
    """Keys of rows are UUIDs, and transactions count upwards: the newest is the highest."""
    claim = (await write("createClaim", NEW_CLAIM)).json()["data"]
    highest = max(world.transactions)
    charge = (await write("chargeCommission", CHARGE, headers=keyed())).json()["data"]

    assert UUID(claim["id"]).version == 4
    assert charge["transactionId"] == highest + 1
