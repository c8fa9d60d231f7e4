"""The rows of one story: what a service keeps about a claim, in its words, types and dialect of time."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from bff.sandbox.story import Story, base36, epoch_ms, tail
from bff.sandbox.world import Row, Seller
from bff.sandbox.writing import js_number, js_time, pg_time, to_ms


def money(cents: int) -> str:
    """Write cents as PostgreSQL writes NUMERIC(10, 2)."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def claim_row(story: Story, case_number: str) -> Row:
    """refund-engine: one case."""
    prediction, confidence = f"{story.dice.uniform(0.31, 0.97):.2f}", f"{story.dice.uniform(0.55, 0.96):.2f}"
    if story.number % 7 == 3:
        prediction = confidence = None  # type: ignore[assignment]
    elif story.number % 16 == 5:
        prediction = confidence = "0.50"  # what the engine stores while its predictor is away
    return {
        "id": story.new_id(),
        "user_id": story.seller.user_id,
        "case_number": case_number,
        "claim_amount": money(story.amount_cents),
        "customer_history_score": f"{story.dice.uniform(0.4, 1):.2f}",
        "product_category": story.category,
        "days_since_purchase": story.dice.randrange(3, 180),
        "claim_description": story.description,
        "status": story.status,
        "ml_prediction": prediction,
        "ml_confidence": confidence,
        "created_at": js_time(story.created_at),
        "updated_at": js_time(story.updated_at),
    }


def ledger_rows(story: Story, claim_id: str) -> list[Row]:
    """refund-engine: the money of one case; refund and adjustment less the fee is what the seller gets."""
    decided = story.resolved_at or story.created_at
    state = {"rejected": "failed", "pending": "pending", "processing": "pending"}.get(
        story.status, "completed"
    )
    entries = [("claim", story.amount_cents, state, story.created_at, "Claim filed")]
    if story.status in ("approved", "paid"):
        paid = "completed" if story.status == "paid" else "pending"
        entries.append(("refund", story.amount_cents, paid, decided, "Reimbursement by Amazon"))
        if story.is_partial:
            cut = story.awarded_cents - story.amount_cents
            entries.append(("adjustment", cut, "completed", decided, "Closed with a partial amount"))
    if story.status == "paid":
        fee = platform_fee(story.awarded_cents)
        entries.append(("fee", fee, "completed", decided + timedelta(seconds=2), "Platform fee, 20 %"))
    return [
        ledger_row(story.new_id(), claim_id, story.seller, kind, cents, status, text, at)
        for kind, cents, status, at, text in entries
    ]


def ledger_row(
    id: str, claim_id: str | None, seller: Seller, kind: str, cents: int, status: str, text: str, at: datetime
) -> Row:
    """refund-engine: one movement; ``claim_id`` is None for one that belongs to no case."""
    return {
        "id": id,
        "case_id": claim_id,
        "user_id": seller.user_id,
        "entry_type": kind,
        "amount": money(cents),
        "description": text,
        "status": status,
        "created_at": js_time(at),
        "updated_at": js_time(at),
    }


def detection_row(story: Story, sync_id: str) -> Row:
    """integrations: what a sync found."""
    dollars = story.amount_cents / 100
    severity = (
        "critical" if dollars >= 500 else "high" if dollars >= 200 else "medium" if dollars >= 60 else "low"
    )
    is_decided = story.has_finding and story.resolved_at is not None
    return {
        "id": story.new_id(),
        "seller_id": story.seller.user_id,
        "sync_id": sync_id,
        "anomaly_type": story.anomaly,
        "severity": severity,
        "estimated_value": js_number(dollars),
        "currency": "USD",
        "confidence_score": js_number(story.dice.uniform(0.52, 0.98)),
        "evidence": {"rule_name": story.anomaly, "sku": story.sku},
        "status": "resolved" if is_decided else "disputed",
        "related_event_ids": [],
        "created_at": pg_time(story.found_at),
        "updated_at": pg_time(story.resolved_at if is_decided and story.resolved_at else story.found_at),
    }


def dispute_row(story: Story, detection_id: str) -> Row:
    """integrations: the case at Amazon; its number is the one the claim is created with."""
    opened_at = story.created_at - (story.created_at - story.found_at) / 4
    status = {"processing": "submitted", "paid": "approved"}.get(story.status, story.status)
    row: Row = {
        "id": story.new_id(),
        "seller_id": story.seller.user_id,
        "detection_result_id": detection_id,
        "case_number": case_number_of_dispute(story.seller.user_id, "amazon_fba", opened_at, story.dice),
        "status": "closed" if story.is_partial else status,
        "claim_amount": js_number(story.amount_cents / 100),
        "currency": "USD",
        "case_type": "amazon_fba",
        "provider": "amazon",
        "submission_date": None,
        "resolution_date": None,
        "resolution_amount": None,
        "resolution_notes": None,
        "evidence_attachments": {},
        "provider_case_id": None,
        "provider_response": {},
        "created_at": pg_time(opened_at),
        "updated_at": pg_time(story.updated_at if story.submitted_at else opened_at),
        "expected_amount": None,
        "expected_paid_date": None,
        "confidence": None,
    }
    if story.submitted_at:
        # Set by code, not by the database: milliseconds only.
        sent_at = to_ms(story.submitted_at)
        row["submission_date"] = pg_time(sent_at)
        row["provider_case_id"] = f"AMZ-{epoch_ms(sent_at)}-{tail(story.dice, 9)}"
        row["provider_response"] = {
            "status": "submitted",
            "submitted_at": js_time(sent_at),
            "amazon_case_id": row["provider_case_id"],
        }
    if story.submitted_at and not story.resolved_at and story.number % 20 == 0:
        row["expected_amount"] = js_number(story.amount_cents / 100)
        row["expected_paid_date"] = pg_time(to_ms(story.submitted_at + timedelta(days=21)))
    if story.resolved_at:
        row["resolution_date"] = pg_time(to_ms(story.resolved_at))
        row["resolution_notes"] = "Not covered: the units were found in the next cycle count."
    if story.resolved_at and story.status != "rejected":
        row["resolution_amount"] = js_number(story.awarded_cents / 100)
        row["resolution_notes"] = "Reimbursed in part." if story.is_partial else "Reimbursed in full."
    return row


def case_number_of_dispute(seller_id: str, case_type: str, opened_at: datetime, dice: random.Random) -> str:
    """Number a dispute as integrations does: seller, case type, time, chance."""
    return f"DC-{seller_id[:8]}-{case_type[:3]}-{base36(epoch_ms(opened_at))}-{tail(dice, 5)}".upper()


def platform_fee(cents: int) -> int:
    """stripe: 20 %, rounded, and never under 50 cents."""
    return max(50, (cents * 20 + 50) // 100)


def transaction_row(story: Story, id: int, claim_id: int | None, cents: int, status: str) -> Row:
    """stripe: one commission charge, with its audit trail, newest entry first."""
    fee = platform_fee(cents)
    made_at = (story.resolved_at or story.created_at) + timedelta(seconds=2)
    steps = {
        "pending": [("payment_intent_created", "pending")],
        "failed": [("payment_intent_created", "pending"), *[("payment_job_failed", "failed")] * 3],
        "charged": [("payment_intent_created", "pending"), ("payment_job_completed", "success")],
        "refunded": [
            ("payment_intent_created", "pending"),
            ("payment_job_failed", "failed"),
            ("payment_job_completed", "success"),
            ("transfer_created", "success"),
            ("transaction_reconciled", "success"),
        ],
        "transferred": [
            ("payment_intent_created", "pending"),
            ("payment_job_completed", "success"),
            ("transfer_created", "success"),
        ],
    }[status]
    times = [made_at + timedelta(seconds=3 * step) for step in range(len(steps))]
    trail = [
        {
            "id": id * 10 + step,
            "transactionId": id,
            "action": action,
            "status": outcome,
            "stripeEventId": None,
            "metadata": {"error": "Your card was declined.", "retryCount": step}
            if outcome == "failed"
            else {},
            "createdAt": js_time(times[step]),
        }
        for step, (action, outcome) in enumerate(steps)
    ]
    has_money = status in ("charged", "transferred", "refunded")
    return {
        "id": id,
        "userId": story.seller.stripe_user_id,
        "claimId": claim_id,
        "amountRecoveredCents": cents,
        "platformFeeCents": fee,
        "sellerPayoutCents": cents - fee,
        "currency": {6: "eur", 18: "gbp"}.get(story.number % 30, "usd"),
        "stripePaymentIntentId": f"pi_sandbox_{id}",
        "stripeChargeId": f"ch_sandbox_{id}" if has_money else None,
        "stripeTransferId": f"tr_sandbox_{id}" if status in ("transferred", "refunded") else None,
        "stripeInvoiceId": None,
        "stripeCustomerId": f"cus_sandbox_{story.seller.stripe_user_id}",
        "stripePaymentMethodId": None,
        "status": status,
        "idempotencyKey": story.new_id(),
        "metadata": {},
        "createdAt": js_time(made_at),
        "updatedAt": js_time(times[-1]),
        "auditTrail": trail[::-1],
    }
