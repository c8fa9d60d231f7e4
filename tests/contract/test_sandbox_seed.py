"""The seeded world: the same on every start, adding up, and held together as RELATIONS.md says."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import jwt
import pytest
import time_machine

from bff.sandbox.paperwork import AGENT_ID
from bff.sandbox.sandbox import DEV_SECRETS, Sandbox
from bff.sandbox.seed import FIRST_STRIPE_CLAIM_ID, SELLERS, seed
from bff.sandbox.story import epoch_ms
from bff.sandbox.world import Seller, World

ANCHOR = datetime(2026, 11, 1, tzinfo=UTC)
FIRST, SECOND = SELLERS


@pytest.fixture(params=[1, 10, 100])
def world(request: pytest.FixtureRequest) -> World:
    return seed(request.param, anchor=ANCHOR)


async def read(world: World, service: str, path: str, seller: Seller = FIRST) -> Any:
    token = jwt.encode({"id": seller.user_id, "exp": int(time.time()) + 60}, DEV_SECRETS[service], "HS256")
    transport = httpx.ASGITransport(app=Sandbox(world).apps[service])
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        answer = await client.get(path, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return answer.json()["data"]


def all_rows(world: World) -> list[dict[str, Any]]:
    tables = (world.claims, world.ledger, world.connections, world.syncs, world.detections, world.disputes)
    return [row for table in (*tables, world.documents, world.transactions) for row in table.values()]


def test_is_the_same_on_every_start():
    """Links, screenshots and bug reports name ids; tomorrow they must lead to the same claim."""
    assert seed(anchor=ANCHOR) == seed(anchor=ANCHOR)


def test_keeps_its_ids_from_day_to_day():
    """Dates follow the calendar so that a demo is never stale; ids and amounts must not follow."""
    today, tomorrow = seed(anchor=ANCHOR), seed(anchor=ANCHOR + timedelta(days=1))

    assert list(today.claims) == list(tomorrow.claims)
    assert [row["claim_amount"] for row in today.claims.values()] == [
        row["claim_amount"] for row in tomorrow.claims.values()
    ]
    assert today.stripe_claim_ids == tomorrow.stripe_claim_ids


@time_machine.travel(datetime(2026, 11, 1, 14, 30, tzinfo=UTC), tick=False)
def test_ends_at_this_midnight_when_not_told_otherwise():
    """Started twice on one day, it is one world; started tomorrow, its news are a day old, not a year."""
    assert seed() == seed(anchor=ANCHOR)


def test_first_claims_do_not_depend_on_how_many_follow():
    """A benchmark with a thousand claims and a test with ten have to agree on what claim 0 is."""
    few, many = seed(10, anchor=ANCHOR), seed(100, anchor=ANCHOR)

    assert list(few.claims.values())[:10] == list(many.claims.values())[:10]
    assert few.stripe_claim_ids.items() <= many.stripe_claim_ids.items()


def test_nothing_happens_after_the_anchor(world: World):
    """A claim from the future sorts before every new one, and makes "3 hours ago" negative."""
    times = [
        value
        for row in all_rows(world)
        for name, value in row.items()
        if name.endswith(("_at", "At", "_date")) and name != "expected_paid_date" and value
    ]

    assert max(map(datetime.fromisoformat, times)) < ANCHOR


def test_one_claim_is_enough():
    """The smallest world has everything around its claim, or it would show nothing but empty screens."""
    world = seed(1, 0, ANCHOR)
    (claim,) = world.claims.values()

    assert claim["status"] == "processing"
    assert claim["case_number"] in {row["case_number"] for row in world.disputes.values()}
    assert [row["case_id"] for row in world.ledger.values()].count(claim["id"]) == 1
    assert [row["claimId"] for row in world.documents.values()].count(claim["id"]) == 3


def test_ten_claims_show_every_state():
    """Each badge and filter of the dashboard needs a row to be seen with."""
    assert {row["status"] for row in seed(10, anchor=ANCHOR).claims.values()} == {
        "pending",
        "processing",
        "approved",
        "rejected",
        "paid",
    }


def test_the_usual_world_shows_every_word():
    """A word of an enum that no row ever has is a branch nobody has seen."""
    world = seed(anchor=ANCHOR)

    def words(table: dict[Any, dict[str, Any]], column: str) -> set[str]:
        return {row[column] for row in table.values()}

    assert words(world.disputes, "status") == {"pending", "submitted", "approved", "rejected", "closed"}
    assert words(world.detections, "status") == {"pending", "reviewed", "disputed", "resolved"}
    assert words(world.detections, "severity") == {"low", "medium", "high", "critical"}
    assert len(words(world.detections, "anomaly_type")) == 5
    assert words(world.transactions, "status") == {"pending", "charged", "transferred", "refunded", "failed"}
    assert words(world.transactions, "currency") == {"usd", "eur", "gbp"}
    assert words(world.ledger, "entry_type") == {"claim", "refund", "fee", "adjustment"}
    assert words(world.syncs, "status") == {"running", "completed", "failed"}
    assert words(world.syncs, "detectionPipelineStatus") == {
        "pending",
        "triggered",
        "detection_queued",
        "detection_completed",
        "dispute_created",
        "unknown",
    }
    assert len(words(world.documents, "fileType")) == 4
    predictions = [(row["ml_prediction"], row["ml_confidence"]) for row in world.claims.values()]
    assert (None, None) in predictions
    assert ("0.50", "0.50") in predictions
    assert any(row["claim_description"] is None for row in world.claims.values())
    assert {len(row["auditTrail"]) for row in world.transactions.values()} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("seller", SELLERS)
async def test_claim_statistics_add_up(world: World, seller: Seller):
    """The dashboard shows totals beside the list; a reader will add them up."""
    mine = [row for row in world.claims.values() if row["user_id"] == seller.user_id]
    stats = await read(world, "refund-engine", "/api/v1/claims/stats", seller)

    count = Counter(row["status"] for row in mine)
    assert {name: int(stats[name]) for name in ("pending", "approved", "rejected", "processing")} == {
        name: count[name] for name in ("pending", "approved", "rejected", "processing")
    }
    assert int(stats["total"]) == len(mine)
    assert Decimal(stats["total_amount"]) == sum(Decimal(row["claim_amount"]) for row in mine)


@pytest.mark.parametrize("seller", SELLERS)
async def test_detection_statistics_add_up(world: World, seller: Seller):
    """Same for what was found: by severity, by type and in all."""
    found = [row for row in world.detections.values() if row["seller_id"] == seller.user_id]
    stats = await read(world, "integrations", "/api/enhanced-detection/statistics", seller)

    for column, figures in (("severity", stats["by_severity"]), ("anomaly_type", stats["by_type"])):
        assert {word: figure["count"] for word, figure in figures.items()} == Counter(
            row[column] for row in found
        )
        assert round(sum(figure["value"] for figure in figures.values()), 2) == stats["total_value"]
    assert stats["total_anomalies"] == len(found)
    assert stats["dispute_cases"] == sum(
        row["seller_id"] == seller.user_id for row in world.disputes.values()
    )


async def test_document_overview_adds_up(world: World):
    """Counts by type, the total and the sizes are one truth, and only about the viewer's own uploads."""
    mine = [row for row in world.documents.values() if row["uploadedBy"] == FIRST.user_id]
    overview = await read(world, "cost-docs", "/api/v1/cost-docs/stats/overview")

    by_type = {figure["fileType"]: figure["_count"]["fileType"] for figure in overview["documentsByType"]}
    assert by_type == Counter(row["fileType"] for row in mine)
    assert (overview["totalDocuments"], overview["totalSize"]) == (
        len(mine),
        sum(row["fileSize"] for row in mine),
    )
    assert len(overview["recentUploads"]) == min(10, len(mine))


def test_commission_and_payout_are_the_amount(world: World):
    """Money that appears or vanishes between two columns is the first thing an accountant sees."""
    for row in world.transactions.values():
        assert row["platformFeeCents"] == max(50, (row["amountRecoveredCents"] * 20 + 50) // 100)
        assert row["platformFeeCents"] + row["sellerPayoutCents"] == row["amountRecoveredCents"]


def test_ledger_tells_what_the_claim_and_the_payment_tell(world: World):
    """Three services know a paid claim's money; they have to agree to the cent."""
    entries: dict[str, dict[str, Decimal]] = {}
    for row in world.ledger.values():
        if row["case_id"]:
            entries.setdefault(row["case_id"], {})[row["entry_type"]] = Decimal(row["amount"])
    charged = {row["claimId"]: row for row in world.transactions.values()}

    for claim in world.claims.values():
        money = entries[claim["id"]]
        assert money["claim"] == Decimal(claim["claim_amount"])
        if claim["status"] == "paid":
            payment = charged[world.stripe_claim_ids[claim["id"]]]
            assert (money["refund"] + money.get("adjustment", 0)) * 100 == payment["amountRecoveredCents"]
            assert money["fee"] * 100 == payment["platformFeeCents"]


def test_foreign_keys_hold(world: World):
    """RELATIONS 2: what the real databases enforce, holds here without one."""
    assert {row["case_id"] for row in world.ledger.values()} - {None} <= set(world.claims)
    assert {row["detection_result_id"] for row in world.disputes.values()} <= set(world.detections)
    assert len({row["detection_result_id"] for row in world.disputes.values()}) == len(world.disputes)
    assert {row["sync_id"] for row in world.detections.values()} <= set(world.syncs)
    assert len({row["case_number"] for row in world.claims.values()}) == len(world.claims)
    audits = [entry for row in world.transactions.values() for entry in row["auditTrail"]]
    assert len({entry["id"] for entry in audits}) == len(audits)


def test_a_claim_and_its_dispute_tell_one_story(world: World):
    """RELATIONS 3: they are joined by the case number alone, and a screen shows both states side by side."""
    disputes = {row["case_number"]: row for row in world.disputes.values()}
    agreed = {
        "pending": {"pending"},
        "processing": {"submitted"},
        "approved": {"approved"},
        "rejected": {"rejected"},
        "paid": {"approved", "closed"},
    }
    joined = [
        (row, disputes[row["case_number"]]) for row in world.claims.values() if row["case_number"] in disputes
    ]

    for claim, dispute in joined:
        assert dispute["seller_id"] == claim["user_id"]
        assert dispute["status"] in agreed[claim["status"]]
        assert Decimal(str(dispute["claim_amount"])) == Decimal(claim["claim_amount"])
        assert bool(dispute["provider_case_id"]) == (dispute["status"] != "pending")
        assert bool(dispute["resolution_amount"]) == (claim["status"] in ("approved", "paid"))
        assert bool(dispute["resolution_date"]) == bool(dispute["resolution_notes"])
        if dispute["status"] == "closed":
            assert 0 < dispute["resolution_amount"] < dispute["claim_amount"]
        found = world.detections[dispute["detection_result_id"]]
        assert found["created_at"] < dispute["created_at"] < claim["created_at"].replace("Z", "+00:00")


def test_the_mix_is_the_usual_one():
    """Most claims came from a finding, some did not; some findings and some cases lead nowhere."""
    world = seed(100, anchor=ANCHOR)
    mine = [row for row in world.claims.values() if row["user_id"] == FIRST.user_id]
    numbers = {row["case_number"] for row in world.claims.values()}
    disputes = [row for row in world.disputes.values() if row["seller_id"] == FIRST.user_id]
    disputed = {row["detection_result_id"] for row in disputes}

    assert sum(row["case_number"].startswith("DC-") for row in mine) == 70
    assert sum(row["case_number"] not in numbers for row in disputes) == 10
    assert (
        sum(
            row["id"] not in disputed
            for row in world.detections.values()
            if row["seller_id"] == FIRST.user_id
        )
        == 25
    )


def test_documents_have_the_owners_that_make_trouble(world: World):
    """An agent's file on a seller's claim, a seller's file on nobody's: both try an ownership check."""
    strays = [row for row in world.documents.values() if row["claimId"] not in world.claims]

    assert Counter(row["uploadedBy"] for row in strays) == {FIRST.user_id: 2, SECOND.user_id: 2}
    assert all(row["claimId"].startswith("claim-") for row in strays)
    if len(world.claims) > 100:
        assert AGENT_ID in {row["uploadedBy"] for row in world.documents.values()}


def test_stripe_integers_are_mapped(world: World):
    """The map is the only way from a payment to its claim; two payments lead nowhere on purpose."""
    numbers = set(world.stripe_claim_ids.values())
    unmapped = [row["claimId"] for row in world.transactions.values() if row["claimId"] not in numbers]

    assert len(numbers) == len(world.stripe_claim_ids)
    assert all(FIRST_STRIPE_CLAIM_ID <= number < 2**31 for number in numbers)
    assert set(world.stripe_claim_ids) == {
        row["id"] for row in world.claims.values() if row["status"] in ("approved", "paid")
    }
    assert len(unmapped) == 4
    assert unmapped.count(None) == 2


def test_recent_is_not_newest():
    """Two orders that never differ hide a client that asks for the wrong one."""
    claims = list(seed(anchor=ANCHOR).claims.values())

    assert sorted(claims, key=lambda row: row["updated_at"]) != sorted(
        claims, key=lambda row: row["created_at"]
    )


def test_connections_are_in_different_states():
    """Connected, expired, revoked and never connected: the four states of the integrations screen."""
    states = {
        (row["user_id"], row["provider"], row["status"]) for row in seed(anchor=ANCHOR).connections.values()
    }

    assert states == {
        (FIRST.user_id, "amazon", "active"),
        (FIRST.user_id, "gmail", "expired"),
        (SECOND.user_id, "amazon", "revoked"),
    }


def test_sync_ids_carry_their_start():
    """Clients check the shape of an id before they put it into a path."""
    for row in seed(anchor=ANCHOR).syncs.values():
        _, started_ms, chance = row["sync_id"].split("-")
        assert abs(int(started_ms) - epoch_ms(datetime.fromisoformat(row["created_at"]))) <= 1000
        assert len(chance) == 9


def test_sellers_share_nothing(world: World):
    """Every leak test rests on this: what belongs to one seller is never also the other's."""
    owners = ("user_id", "seller_id", "uploadedBy")
    ids = {
        seller.user_id: {
            row["id"]
            for row in all_rows(world)
            if seller.user_id in [row.get(name) for name in owners]
            or row.get("userId") == seller.stripe_user_id
        }
        for seller in SELLERS
    }

    assert ids[FIRST.user_id]
    assert ids[SECOND.user_id]
    assert not ids[FIRST.user_id] & ids[SECOND.user_id]
