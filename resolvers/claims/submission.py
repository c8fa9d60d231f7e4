"""ClaimSubmission: the filing of a claim with Amazon. Owned by integrations, as a "dispute"."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from clients.integrations.disputes import DisputeRecord
from clients.transport import Answer
from resolvers.money import Money, optional_money
from resolvers.words import Words, described


@strawberry.enum(description="Where the filing of a claim with Amazon stands.")
class SubmissionStatus(Enum):
    NOT_OPENED = described(
        "NOT_OPENED",
        description="No filing case carries the claim's number, so the claim cannot be submitted.",
    )
    NOT_SUBMITTED = described("NOT_SUBMITTED", description="A filing case exists and waits to be submitted.")
    SUBMITTED = described("SUBMITTED", description="Filed; Amazon has not decided.")
    APPROVED = described("APPROVED", description="Amazon approved it.")
    REJECTED = described("REJECTED", description="Amazon rejected it.")
    CLOSED = described("CLOSED", description="Closed, for example after a partial approval.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


SUBMISSION_STATUS = Words(
    "integrations dispute.status",
    {
        "pending": SubmissionStatus.NOT_SUBMITTED,
        "submitted": SubmissionStatus.SUBMITTED,
        "approved": SubmissionStatus.APPROVED,
        "rejected": SubmissionStatus.REJECTED,
        "closed": SubmissionStatus.CLOSED,
    },
    unknown=SubmissionStatus.UNKNOWN,
)


@strawberry.type(
    description=(
        "The filing of a claim with Amazon. Always present when the owner answers; `NOT_OPENED` says there "
        "is none."
    )
)
class ClaimSubmission:
    status: SubmissionStatus = strawberry.field(description="Where the filing stands.")
    can_submit: bool = strawberry.field(
        description=(
            "Whether `submitClaim` would be accepted now: true exactly while the status is NOT_SUBMITTED."
        )
    )
    provider_case_id: str | None = strawberry.field(
        description="Amazon's case identifier; null until submitted."
    )
    submitted_at: datetime | None = strawberry.field(description="When it was submitted; null before.")
    resolved_at: datetime | None = strawberry.field(description="When Amazon decided; null before.")
    resolution_notes: str | None = strawberry.field(
        description="Amazon's reason, plain text; null when none is recorded."
    )
    expected_payout_at: datetime | None = strawberry.field(
        description="When that payment is expected; null until predicted."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    dispute: strawberry.Private[DisputeRecord | None]

    @strawberry.field(description="What Amazon granted; null before a decision or when nothing was granted.")
    def resolved_amount(self) -> Money | None:
        dispute = self.dispute
        return None if dispute is None else optional_money(dispute.resolution_amount, dispute.currency)

    @strawberry.field(description="Payment expected; null until the owner has predicted one.")
    def expected_amount(self) -> Money | None:
        dispute = self.dispute
        return None if dispute is None else optional_money(dispute.expected_amount, dispute.currency)

    @classmethod
    def from_dispute(cls, answer: Answer[DisputeRecord | None]) -> ClaimSubmission:
        dispute = answer.value
        if dispute is None:
            return cls(
                status=SubmissionStatus.NOT_OPENED,
                can_submit=False,
                provider_case_id=None,
                submitted_at=None,
                resolved_at=None,
                resolution_notes=None,
                expected_payout_at=None,
                as_of=answer.as_of,
                dispute=None,
            )
        status = SUBMISSION_STATUS.value(dispute.status)
        return cls(
            status=status,
            can_submit=status is SubmissionStatus.NOT_SUBMITTED,
            provider_case_id=dispute.provider_case_id,
            submitted_at=dispute.submission_date,
            resolved_at=dispute.resolution_date,
            resolution_notes=dispute.resolution_notes,
            expected_payout_at=dispute.expected_paid_date,
            as_of=answer.as_of,
            dispute=dispute,
        )
