"""submitClaim: a claim is filed with Amazon.

asks      refund engine getClaim (whose is it?), integrations listDisputes, submitDispute
"""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from clients.errors import CaseNotSubmittable
from clients.integrations.disputes import DisputeRecord
from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.claims.claim import Claim
from resolvers.claims.submission import SUBMISSION_STATUS, SubmissionStatus
from resolvers.costs import INTEGRATIONS, REFUND_ENGINE
from resolvers.costs import once as once_per_operation
from resolvers.mutations.given import key_field
from resolvers.mutations.once import Attempt, Deed, Done, Sent, once
from resolvers.mutations.owned import own_claim
from resolvers.mutations.user_errors import (
    ClaimNotSubmittableError,
    Refused,
    UserError,
    UserErrorCode,
    refused_if_rejected,
    user_errors_field,
)
from resolvers.mutations.work import Work, mutates


@strawberry.input(description="Input of `submitClaim`.")
class SubmitClaimInput:
    claim_id: strawberry.ID = strawberry.field(
        description="The claim; its `submission.canSubmit` must be true."
    )
    idempotency_key: UUID = key_field()


@strawberry.type(description="Result of `submitClaim`.")
class SubmitClaimPayload:
    claim: Claim | None = strawberry.field(
        default=None,
        description="The claim; `submission` holds the result. Null when `userErrors` is not empty.",
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class SubmitClaim:
    @mutates(
        SubmitClaimPayload,
        once_per_operation(REFUND_ENGINE),
        once_per_operation(INTEGRATIONS, pages=4, expected=2, hops=3),
        scope="claims:submit",
        description="Files a claim with Amazon.",
    )
    async def submit_claim(
        self, work: Work, input: Annotated[SubmitClaimInput, strawberry.argument(description="Input.")]
    ) -> SubmitClaimPayload | None:
        claim = await own_claim(work, input.claim_id)
        return await once(
            work,
            "submitClaim",
            input,
            Deed(
                service=INTEGRATIONS,
                do=partial(_file, work, claim.value),
                settle=partial(_filed, work, claim.value),
                repeatable=True,  # a case is handed in from `pending` only
                show=partial(_submitted, claim),
            ),
        )


async def _file(work: Work, claim: ClaimRecord, attempt: Attempt) -> Done[SubmitClaimPayload]:
    """Hand the claim's filing case in."""
    dispute = (await work.loaders.dispute_by_case_number.load(claim.case_number)).value
    if dispute is None or dispute.status != "pending":
        raise _not_submittable(dispute)
    await attempt.sending()
    try:
        with refused_if_rejected():
            submitted = await work.clients.integrations.submit_dispute(dispute.id)
    except CaseNotSubmittable:
        submitted = None
    if submitted is None:
        work.look_again()
        raise _not_submittable((await work.loaders.dispute_by_case_number.load(claim.case_number)).value)
    return Done(claim.id)


async def _filed(work: Work, claim: ClaimRecord, _sent: Sent | None) -> str | None:
    """The claim's id, when its filing case was handed in."""
    dispute = (await work.loaders.dispute_by_case_number.load(claim.case_number)).value
    return claim.id if dispute and dispute.status != "pending" else None


def _not_submittable(dispute: DisputeRecord | None) -> Refused:
    status = SUBMISSION_STATUS.value(dispute.status) if dispute else SubmissionStatus.NOT_OPENED
    message = (
        "The claim has no filing case: only claims made of a finding can be filed."
        if dispute is None
        else "The claim has been filed already."
    )
    return Refused(
        ClaimNotSubmittableError(
            code=UserErrorCode.CLAIM_NOT_SUBMITTABLE,
            message=message,
            field=["input", "claimId"],
            submission_status=status,
        )
    )


async def _submitted(claim: Answer[ClaimRecord], _claim_id: str) -> SubmitClaimPayload:
    return SubmitClaimPayload(claim=Claim.from_answer(claim))  # filing changes nothing about the claim
