"""Claim: the type. How claims are found is in `queries.py`.

field                  asks                              loader
Claim.livePrediction   predictor                         live_prediction_by_claim
Claim.submission       integrations                      dispute_by_case_number
Claim.detections       integrations                      detections_by_case_number
Claim.documents        cost docs                         documents_by_claim_id
Claim.payments         stripe                            payments_by_claim_id
Claim.timeline         refund engine, integrations,      ledger_by_claim_id, dispute_by_case_number,
                       stripe                            payments_by_claim_id
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
from strawberry import UNSET

from clients.cost_docs import DocumentRecord
from clients.integrations.detections import DetectionRecord
from clients.integrations.disputes import DisputeRecord
from clients.predictor import PredictionRecord
from clients.refund_engine import ClaimRecord
from clients.stripe import TransactionRecord
from clients.transport import Answer, Page
from resolvers.claims.prediction import ClaimPrediction
from resolvers.claims.submission import ClaimSubmission
from resolvers.claims.timeline import ClaimEventConnection, timeline_of
from resolvers.connections import After, First, window
from resolvers.context import Info
from resolvers.costs import (
    COST_DOCS,
    DETECTIONS,
    DISPUTES,
    LEDGER,
    PREDICTOR,
    TRANSACTIONS,
    each,
    packed,
)
from resolvers.detections import DetectionConnection
from resolvers.documents import DocumentConnection
from resolvers.fields import asks, loads
from resolvers.global_ids import Node, global_id, key_of
from resolvers.loaders.documents import DocumentsKey
from resolvers.money import Money, money
from resolvers.payments import PaymentConnection
from resolvers.words import Words, described


@strawberry.enum(
    description=(
        "Where a claim stands, in the refund engine's words. Where its filing stands is "
        "`ClaimSubmission.status`."
    )
)
class ClaimStatus(Enum):
    PENDING = described("PENDING", description="Recorded; nothing has been decided or is being worked on.")
    PROCESSING = described("PROCESSING", description="Being worked on.")
    APPROVED = described("APPROVED", description="Approved; the money is not recorded yet.")
    REJECTED = described("REJECTED", description="Rejected.")
    PAID = described("PAID", description="Paid.")
    UNKNOWN = described(
        "UNKNOWN",
        description="The owner sent a word this graph does not know. Not accepted in filters.",
    )


CLAIM_STATUS = Words(
    "refund-engine claim.status",
    {status.value.lower(): status for status in ClaimStatus if status is not ClaimStatus.UNKNOWN},
    unknown=ClaimStatus.UNKNOWN,
)


def _documents_key(claim: Claim, first: int, after: str | None) -> DocumentsKey:
    part = window(first, after)
    return DocumentsKey(claim.key, part.offset, part.end)


@strawberry.federation.type(
    keys=["id"],
    description="A claim: money the seller asks Amazon to give back. Screens call it a recovery or a case.",
)
class Claim(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    case_number: str = strawberry.field(
        description="The number people see and use in links (`CASE-2025-000417`). Unique."
    )
    status: ClaimStatus = strawberry.field(description="Where the claim stands.")
    claimed_amount: Money = strawberry.field(description="What the seller asks for, before commission.")
    product_category: str = strawberry.field(
        description="Category of the product (`kitchen`), the owner's free text."
    )
    description: str | None = strawberry.field(
        description="What happened, plain text; null when none was given."
    )
    days_since_purchase: int = strawberry.field(description="Days between purchase and claim.")
    customer_history_score: float = strawberry.field(description="The buyer's record, 0 (bad) to 1 (good).")
    prediction: ClaimPrediction | None = strawberry.field(
        description="The prediction stored with the claim; null until one was made. Costs no call."
    )
    created_at: datetime = strawberry.field(description="When the claim was recorded.")
    updated_at: datetime = strawberry.field(description="When it last changed. Use it to drop late events.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    key: strawberry.Private[str]
    record: strawberry.Private[ClaimRecord]

    @classmethod
    def from_record(cls, record: ClaimRecord, as_of: datetime) -> Claim:
        return cls(
            id=global_id("Claim", record.id),
            case_number=record.case_number,
            status=CLAIM_STATUS.value(record.status),
            claimed_amount=money(record.claim_amount),
            product_category=record.product_category,
            description=record.claim_description,
            days_since_purchase=record.days_since_purchase,
            customer_history_score=float(record.customer_history_score),
            prediction=ClaimPrediction.stored(record),
            created_at=record.created_at,
            updated_at=record.updated_at,
            as_of=as_of,
            key=record.id,
            record=record,
        )

    @classmethod
    def from_answer(cls, answer: Answer[ClaimRecord] | None) -> Claim | None:
        return None if answer is None else cls.from_record(answer.value, answer.as_of)

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Claim | None:
        """The viewer's claim with this UUID; None when there is none."""
        info.context.require("claims:read")
        return cls.from_answer(await info.context.loaders.claim_by_id.load(key))

    @loads(
        "live_prediction_by_claim",
        packed(PREDICTOR, size=100),
        key="record",
        optional=True,
        description="The predictor's answer right now, which is not stored. One call serves 100 claims.",
    )
    def live_prediction(self, found: PredictionRecord) -> ClaimPrediction | None:
        return ClaimPrediction.live(found)

    @loads(
        "dispute_by_case_number",
        DISPUTES,
        key="case_number",
        description="Where the filing with Amazon stands.",
    )
    def submission(self, found: Answer[DisputeRecord | None]) -> ClaimSubmission | None:
        return ClaimSubmission.from_dispute(found)

    @loads(
        "detections_by_case_number",
        DISPUTES,
        DETECTIONS,
        key="case_number",
        scope="detections:read",
        description=(
            "Findings that led to this claim, found through its filing case. Empty when the claim did not "
            "come from a finding."
        ),
    )
    def detections(
        self, found: Page[DetectionRecord], first: First = 20, after: After = UNSET
    ) -> DetectionConnection | None:
        return DetectionConnection.of_rows(found.rows, window(first, after), found.total, found.as_of)

    @loads(
        "documents_by_claim_id",
        each(COST_DOCS),
        key=_documents_key,
        scope="documents:read",
        description=(
            "Files that prove the claim. Empty when there is none. One call a claim: ask for it on small "
            "pages."
        ),
    )
    def documents(
        self, found: Page[DocumentRecord], first: First = 20, after: After = UNSET
    ) -> DocumentConnection | None:
        return DocumentConnection.of_page(found, window(first, after), listed=found.total or 0)

    @loads(
        "payments_by_claim_id",
        TRANSACTIONS,
        key="key",
        scope="payments:read",
        description="Commission charges for this claim. Empty until money was recovered.",
    )
    def payments(
        self, found: Page[TransactionRecord], first: First = 20, after: After = UNSET
    ) -> PaymentConnection | None:
        part = window(first, after)
        rows = found.rows[part.offset : part.end]
        return PaymentConnection.of_rows(rows, part, found.total, found.as_of)

    @asks(
        LEDGER,
        DISPUTES,
        TRANSACTIONS,
        description=(
            "What happened, newest first, put together from the claim, its ledger, its filing and its "
            "payments. Null only when none of the three services answered; when some did not, "
            "`missingServices` names them and the rest is here."
        ),
    )
    async def timeline(
        self, info: Info, first: First = 50, after: After = UNSET
    ) -> ClaimEventConnection | None:
        return await timeline_of(self.record, info, window(first, after))

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Claim | None:
        """Answer the router's `_entities(representations: [{__typename: "Claim", id}])`."""
        return await cls.by_key(info, key_of(id, "Claim"))
