"""ClaimEvent: what happened to a claim, put together from four places; no service keeps the whole story.

entries                                    from
CREATED, CHANGED                           the claim itself
LEDGER_…                                   refund engine, ledger_by_claim_id
SUBMISSION_OPENED, SUBMITTED, RESOLVED     integrations, dispute_by_case_number
PAYMENT                                    stripe, payments_by_claim_id
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from clients.caller import Freshest
from clients.errors import StoreUnavailable, UpstreamError
from clients.integrations.disputes import DisputeRecord
from clients.refund_engine import ClaimRecord, LedgerRecord
from clients.stripe import TransactionRecord
from clients.transport import Answer, Page
from resolvers.connections import Connection, Window
from resolvers.context import Info
from resolvers.loaders.batching import settled
from resolvers.money import Money, cents, money, optional_money
from resolvers.words import Words, described


@strawberry.enum(description="What happened to a claim.")
class ClaimEventType(Enum):
    CREATED = described("CREATED", description="The claim was recorded.")
    CHANGED = described(
        "CHANGED", description="The claim last changed. Earlier changes are not kept by any service."
    )
    SUBMISSION_OPENED = described("SUBMISSION_OPENED", description="A filing case was opened.")
    SUBMITTED = described("SUBMITTED", description="The claim was filed with Amazon.")
    RESOLVED = described("RESOLVED", description="Amazon decided.")
    LEDGER_CLAIM = described("LEDGER_CLAIM", description="Ledger: an amount was claimed.")
    LEDGER_REFUND = described("LEDGER_REFUND", description="Ledger: a refund.")
    LEDGER_FEE = described("LEDGER_FEE", description="Ledger: a fee.")
    LEDGER_ADJUSTMENT = described("LEDGER_ADJUSTMENT", description="Ledger: a correction.")
    PAYMENT = described(
        "PAYMENT",
        description=(
            "A step of the commission charge. Only the latest five per payment are kept within reach."
        ),
    )
    UNKNOWN = described("UNKNOWN", description="The owner sent a kind this graph does not know.")


@strawberry.enum(description="How a step ended.")
class ClaimEventOutcome(Enum):
    PENDING = described("PENDING", description="Not finished.")
    SUCCEEDED = described("SUCCEEDED", description="Done.")
    FAILED = described("FAILED", description="Failed.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


LEDGER_TYPE = Words(
    "refund-engine ledger.entry_type",
    {
        "claim": ClaimEventType.LEDGER_CLAIM,
        "refund": ClaimEventType.LEDGER_REFUND,
        "fee": ClaimEventType.LEDGER_FEE,
        "adjustment": ClaimEventType.LEDGER_ADJUSTMENT,
    },
    unknown=ClaimEventType.UNKNOWN,
)
LEDGER_OUTCOME = Words(
    "refund-engine ledger.status",
    {
        "pending": ClaimEventOutcome.PENDING,
        "completed": ClaimEventOutcome.SUCCEEDED,
        "failed": ClaimEventOutcome.FAILED,
    },
    unknown=ClaimEventOutcome.UNKNOWN,
)
PAYMENT_OUTCOME = Words(
    "stripe audit.status",
    {
        "pending": ClaimEventOutcome.PENDING,
        "success": ClaimEventOutcome.SUCCEEDED,
        "failed": ClaimEventOutcome.FAILED,
    },
    unknown=ClaimEventOutcome.UNKNOWN,
)
# A closed filing may be a partial approval: it neither succeeded nor failed.
RESOLUTION_OUTCOME = {"approved": ClaimEventOutcome.SUCCEEDED, "rejected": ClaimEventOutcome.FAILED}


@strawberry.type(description="One entry of a claim's timeline.")
class ClaimEvent:
    id: strawberry.ID = strawberry.field(
        description=(
            "Unique among the entries of all claims, stable between requests. Made by the BFF; not a `node` "
            "id."
        )
    )
    type: ClaimEventType = strawberry.field(description="What happened.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
    service: str = strawberry.field(description="Which service recorded it, as in `ServiceHealth.name`.")
    outcome: ClaimEventOutcome | None = strawberry.field(
        description="How it ended; null where that makes no sense, such as CREATED."
    )
    amount: Money | None = strawberry.field(description="Amount concerned; null when none is.")
    note: str | None = strawberry.field(
        description="The owner's own note, plain text; null when there is none."
    )


@strawberry.type(description="An entry and its place in a connection.")
class ClaimEventEdge:
    cursor: str = strawberry.field(description="Opaque position.")
    node: ClaimEvent = strawberry.field(description="The entry.")


@strawberry.type(description="A page of timeline entries.")
class ClaimEventConnection(Connection[ClaimEvent, ClaimEventEdge]):
    edge = ClaimEventEdge

    total_count: int | None = strawberry.field(
        description="How many in all; null when `missingServices` is not empty."
    )
    missing_services: list[str] = strawberry.field(
        description=(
            "Services whose entries are missing because they could not answer, or because the token may not "
            "read them; empty when the timeline is whole."
        )
    )
    as_of: datetime = strawberry.field(
        description="When the owner's answer was received; of the oldest, where several were needed."
    )


async def timeline_of(claim: ClaimRecord, info: Info, part: Window) -> ClaimEventConnection:
    """Put a claim's timeline together from the services that answer, newest first.

    Raises:
        UpstreamError: none of the three answered; the refund engine's own error, which owns the claim.
    """
    context = info.context
    loads: dict[str, Awaitable[Any]] = {
        "refund-engine": context.loaders.ledger_by_claim_id.load(claim.id),
        "integrations": context.loaders.dispute_by_case_number.load(claim.case_number),
    }
    missing: list[str] = []
    if "payments:read" in context.viewer.scopes:
        loads["stripe"] = context.loaders.payments_by_claim_id.load(claim.id)
    else:
        missing.append("stripe")
    answers = dict(zip(loads, await settled(loads.values()), strict=True))
    events, as_of = list(_claim_events(claim)), []
    for service, answer in answers.items():
        if isinstance(answer, UpstreamError | StoreUnavailable):
            missing.append(service)
            if isinstance(answer, UpstreamError):  # of which no error will tell
                context.caller.use_of(service).answers.add(Freshest.MISSING)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            as_of.append(answer.as_of)
            events += _EVENTS_OF[service](claim, answer)
    if not as_of:
        raise answers["refund-engine"]
    events.sort(key=lambda event: (event.occurred_at, event.id), reverse=True)
    page = events[part.offset : part.end]
    return ClaimEventConnection(
        nodes=page,
        total_count=None if missing else len(events),
        missing_services=missing,
        as_of=min(as_of),
        offset=part.offset,
        has_next_page=part.end < len(events),
    )


def _event(
    claim: ClaimRecord,
    type: ClaimEventType,
    row_id: object,
    occurred_at: datetime,
    service: str,
    *,
    outcome: ClaimEventOutcome | None = None,
    amount: Money | None = None,
    note: str | None = None,
) -> ClaimEvent:
    event_id = base64.b64encode(f"ClaimEvent:{claim.id}:{type.value}:{row_id}".encode()).decode()
    return ClaimEvent(
        id=strawberry.ID(event_id),
        type=type,
        occurred_at=occurred_at,
        service=service,
        outcome=outcome,
        amount=amount,
        note=note,
    )


def _claim_events(claim: ClaimRecord) -> Iterator[ClaimEvent]:
    yield _event(claim, ClaimEventType.CREATED, claim.id, claim.created_at, "refund-engine")
    if claim.updated_at > claim.created_at:
        yield _event(claim, ClaimEventType.CHANGED, claim.id, claim.updated_at, "refund-engine")


def _ledger_events(claim: ClaimRecord, ledger: Page[LedgerRecord]) -> Iterator[ClaimEvent]:
    for row in ledger.rows:
        yield _event(
            claim,
            LEDGER_TYPE.value(row.entry_type),
            row.id,
            row.created_at,
            "refund-engine",
            outcome=LEDGER_OUTCOME.value(row.status),
            amount=money(row.amount),
            note=row.description or None,
        )


def _filing_events(claim: ClaimRecord, filing: Answer[DisputeRecord | None]) -> Iterator[ClaimEvent]:
    dispute = filing.value
    if dispute is None:
        return
    yield _event(claim, ClaimEventType.SUBMISSION_OPENED, dispute.id, dispute.created_at, "integrations")
    if dispute.submission_date:
        yield _event(claim, ClaimEventType.SUBMITTED, dispute.id, dispute.submission_date, "integrations")
    if dispute.resolution_date:
        yield _event(
            claim,
            ClaimEventType.RESOLVED,
            dispute.id,
            dispute.resolution_date,
            "integrations",
            outcome=RESOLUTION_OUTCOME.get(dispute.status),
            amount=optional_money(dispute.resolution_amount, dispute.currency),
            note=dispute.resolution_notes,
        )


def _payment_events(claim: ClaimRecord, payments: Page[TransactionRecord]) -> Iterator[ClaimEvent]:
    for transaction in payments.rows:
        for step in transaction.steps:
            yield _event(
                claim,
                ClaimEventType.PAYMENT,
                step.id,
                step.created_at,
                "stripe",
                outcome=PAYMENT_OUTCOME.value(step.status),
                amount=cents(transaction.recovered_cents, transaction.currency),
            )


_EVENTS_OF: dict[str, Callable[[ClaimRecord, Any], Iterator[ClaimEvent]]] = {
    "refund-engine": _ledger_events,
    "integrations": _filing_events,
    "stripe": _payment_events,
}
