"""The seed: two sellers and what has happened to them until this midnight, the same on every start."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from math import ceil

from bff.sandbox.pace import STEPS
from bff.sandbox.paperwork import document_row, document_rows
from bff.sandbox.rows import (
    claim_row,
    detection_row,
    dispute_row,
    ledger_row,
    ledger_rows,
    transaction_row,
)
from bff.sandbox.story import PACE, Story, epoch_ms, tail, tell, uuid_from
from bff.sandbox.world import Seller, World
from bff.sandbox.writing import js_time, now, pg_time

__all__ = ["FIRST_STRIPE_CLAIM_ID", "SELLERS", "Seller", "seed"]

SELLERS = (
    Seller("5e11e200-0a00-4000-8000-000000000001", "avery@harbor-goods.example", "Avery Stone", 101),
    Seller("5e11e200-0b00-4000-8000-000000000002", "noor@tidepool.example", "Noor Haddad", 102),
)

FIRST_STRIPE_CLAIM_ID = 1_000_000_001
_SELLERS_APART = 500_000  # each seller's integers start so far apart that no number of claims makes them meet
_LAST_TRANSACTION_ID = 2_000_000

_SYNC_EVERY = timedelta(days=3, hours=18)
_SYNCS = (12, 3)
"""At least so many for each seller; more when the claims reach further back."""
_PIPELINE = ("detection_completed", "dispute_created", "pending", "triggered", "detection_queued", "unknown")


def seed(claims: int = 60, other_claims: int = 9, anchor: datetime | None = None) -> World:
    """Make a world.

    Args:
        claims: claims of the first seller; everything around them grows with their number.
        other_claims: claims of the second seller.
        anchor: the end of the story, aware; this day's midnight UTC when not given.

    Returns:
        A world in which claim n has the same ids, amounts and state whatever the other arguments are;
        only its dates move with the anchor, and what is made of dates: case numbers and sync ids.
    """
    at = anchor or now().replace(hour=0, minute=0, second=0, microsecond=0)
    world = World(anchor=at)
    for index, (seller, count) in enumerate(zip(SELLERS, (claims, other_claims), strict=True)):
        _connections(world, seller, is_first=index == 0)
        _syncs(world, seller, max(_SYNCS[index], ceil(count * PACE / _SYNC_EVERY) + 1))
        for number in range(count):
            _live(world, tell(seller, number, at), index * _SELLERS_APART)
        _leftovers(world, seller, count, index * _SELLERS_APART)
    world.accounts[SELLERS[0].stripe_user_id] = {
        "stripeAccountId": "acct_sandbox_harbor",
        "chargesEnabled": True,
        "payoutsEnabled": True,
        "detailsSubmitted": True,
        "capabilities": {"transfers": "active"},
    }
    return world


def _live(world: World, story: Story, block: int) -> None:
    """Let one story happen, and leave its rows with every service it touched."""
    case_number = f"CASE-{story.created_at:%Y}-{block + story.number + 1:06d}"
    if story.has_finding:
        case_number = _find(world, story)
    claim = claim_row(story, case_number)
    world.claims[claim["id"]] = claim
    world.ledger.update({row["id"]: row for row in ledger_rows(story, claim["id"])})
    world.documents.update({row["id"]: row for row in document_rows(story, claim["id"])})
    if story.status in ("approved", "paid"):
        stripe_id = FIRST_STRIPE_CLAIM_ID + block + story.number
        world.stripe_claim_ids[claim["id"]] = stripe_id
        _charge(world, story, block + story.number, stripe_id, _payment_status(story))


def _find(world: World, story: Story) -> str:
    """Let a sync find the loss and a case be opened for it; return the case's number."""
    detection = detection_row(story, _sync_of(world, story))
    dispute = dispute_row(story, detection["id"])
    world.detections[detection["id"]] = detection
    world.disputes[dispute["id"]] = dispute
    return str(dispute["case_number"])


def _payment_status(story: Story) -> str:
    turn = story.number // 5
    if story.status == "approved":
        return ("pending", "charged", "failed")[turn % 3]
    return ("transferred", "charged", "transferred", "refunded")[turn % 4]


def _charge(world: World, story: Story, nth: int, claim_id: int | None, status: str) -> None:
    # Ids count down from the newest: a charge made later gets a higher one than all of these.
    key = _LAST_TRANSACTION_ID - nth
    world.transactions[key] = transaction_row(story, key, claim_id, story.awarded_cents, status)


def _leftovers(world: World, seller: Seller, count: int, block: int) -> None:
    """Leave what belongs to no claim: idle findings, cases without a claim, stray files, fees and charges."""
    for index in range(ceil(count / 4)):
        story = tell(seller, 4 * index + 1, world.anchor, chapter="idle finding")
        row = detection_row(story, _sync_of(world, story))
        row |= {"status": ("pending", "reviewed")[index % 2], "updated_at": row["created_at"]}
        world.detections[row["id"]] = row
    for index in range(ceil(count / 10)):
        _find(world, tell(seller, 10 * index + 5, world.anchor, chapter="case without a claim"))

    dice = random.Random(f"{seller.user_id}/leftovers")
    day = timedelta(days=1)
    for index in range(2):
        claim_text = f"claim-{77 + 2 * SELLERS.index(seller) + index}"
        row = document_row(dice, claim_text, "MISC-0001", seller.user_id, world.anchor - (3 + index) * day)
        world.documents[row["id"]] = row
    fee = ledger_row(
        uuid_from(dice), None, seller, "fee", 1900, "completed", "Monthly plan", world.anchor - 9 * day
    )
    world.ledger[fee["id"]] = fee
    for nth, claim_id in ((-1, None), (-2, 424_242 + block)):
        stray = tell(seller, 3 - nth, world.anchor, chapter="stray charge")
        _charge(world, stray, block + _SELLERS_APART // 2 - nth, claim_id, "charged")


def _connections(world: World, seller: Seller, *, is_first: bool) -> None:
    dice = random.Random(f"{seller.user_id}/connections")
    synced_at = world.anchor - timedelta(hours=5)
    states = (("amazon", "active"), ("gmail", "expired")) if is_first else (("amazon", "revoked"),)
    for age, (provider, status) in enumerate(states):
        key = uuid_from(dice)
        world.connections[key] = {
            "id": key,
            "user_id": seller.user_id,
            "provider": provider,
            "status": status,
            "metadata": {"last_synced_at": js_time(synced_at)} if status == "active" else {},
            "updated_at": pg_time(synced_at - age * timedelta(days=6, seconds=17.867617)),
        }


def _syncs(world: World, seller: Seller, count: int) -> None:
    for nth in range(count):
        dice = random.Random(f"{seller.user_id}/sync/{nth}")
        started_at = world.anchor - (nth * _SYNC_EVERY + timedelta(minutes=20 if nth == 0 else 300))
        status = "running" if nth == 0 else "failed" if nth % 5 == 3 else "completed"
        step = 2 if status == "running" else 5
        sync_id = f"sync-{epoch_ms(started_at)}-{tail(dice, 9)}"
        ended_at = started_at + timedelta(seconds=dice.uniform(60, 300))
        trouble = {"error": "Amazon did not answer in time", "message": "Failed to finalize cases"}
        world.syncs[sync_id] = {
            "id": uuid_from(dice),
            "user_id": seller.user_id,
            "sync_id": sync_id,
            "step": step,
            "total_steps": len(STEPS),
            "current_step": STEPS[step - 1],
            "status": status,
            # 100 also for one that failed: the number counts steps taken, not steps that worked.
            "progress": 40 if status == "running" else 100,
            "metadata": {
                "step": step,
                "success": status != "failed",
                **(trouble if status == "failed" else {}),
            },
            "created_at": pg_time(started_at + timedelta(microseconds=dice.randrange(1_000_000))),
            "updated_at": pg_time(ended_at),
            "detectionPipelineStatus": _PIPELINE[nth % len(_PIPELINE) - 1] if nth else "pending",
            "disputeCasesCreated": 0,
        }


def _sync_of(world: World, story: Story) -> str:
    """Name the sync that found it: the last one that had completed by then, else the oldest."""
    found_at = pg_time(story.found_at)
    done = [
        row
        for row in world.syncs.values()
        if row["user_id"] == story.seller.user_id and row["status"] == "completed"
    ]
    before = (row["sync_id"] for row in done if row["updated_at"] <= found_at)
    return str(next(before, done[-1]["sync_id"]))
