"""Claims: recorded, changed, filed.

mutation      asks, in this order
createClaim   with a finding: integrations listDetectionResults, listDisputes, createDispute where none is
              open; refund engine createClaim; getClaimByCaseNumber where its number is taken
updateClaim   refund engine getClaim (whose is it?), updateClaim
submitClaim   refund engine getClaim (whose is it?), integrations listDisputes, submitDispute
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from clients.errors import CaseNotSubmittable, UpstreamConflict, UpstreamError
from clients.integrations.disputes import DisputeRecord
from clients.refund_engine import ClaimChanges, ClaimRecord
from clients.transport import Answer
from resolvers.claims.claim import Claim
from resolvers.claims.submission import SUBMISSION_STATUS, SubmissionStatus
from resolvers.costs import DETECTIONS, INTEGRATIONS, REFUND_ENGINE
from resolvers.costs import once as once_per_operation
from resolvers.money import USD
from resolvers.mutations.given import MoneyInput, amount_of, number_of, text_of
from resolvers.mutations.once import Attempt, Deed, Done, Sent, once
from resolvers.mutations.owned import own_claim, own_detection
from resolvers.mutations.user_errors import (
    ClaimNotSubmittableError,
    Refused,
    UserError,
    UserErrorCode,
    conflict,
    invalid,
    key_in,
    not_found,
    outcome_unknown,
    refused_if_rejected,
    seen_after,
    unseen,
)
from resolvers.mutations.work import Work, mutates

AMOUNT_AT_MOST = Decimal("99999999.99")  # NUMERIC(10, 2)
CASE_NUMBER_CHARS = 50
CATEGORY_CHARS = 100
DESCRIPTION_CHARS = 10_000
DAYS_AT_MOST = 2**31 - 1
HUNDREDTH = Decimal("0.01")  # the owner keeps scores to two decimals


@strawberry.input(description="Input of `createClaim`.")
class CreateClaimInput:
    claimed_amount: MoneyInput = strawberry.field(
        description="What the seller asks for. Only USD: the owner keeps no currency."
    )
    product_category: str = strawberry.field(description="Category of the product, at most 100 characters.")
    days_since_purchase: int = strawberry.field(description="Days between purchase and claim, 0 or more.")
    customer_history_score: float = strawberry.field(description="The buyer's record, 0 (bad) to 1 (good).")
    idempotency_key: UUID = strawberry.field(
        description="Chosen by the client. A repeated key returns the first outcome for 24 hours."
    )
    detection_id: strawberry.ID | None = strawberry.field(
        default=UNSET,
        description=(
            "The finding it is made of. A filing case is opened first and the claim takes its number, so "
            "that it can be submitted. Give this or `caseNumber`, not both."
        ),
    )
    case_number: str | None = strawberry.field(
        default=UNSET,
        description=(
            "Number for a claim without a finding, at most 50 characters. Such a claim has no filing case."
        ),
    )
    description: str | None = strawberry.field(
        default=UNSET, description="What happened, plain text, at most 10 000 characters."
    )


@strawberry.type(description="Result of `createClaim`.")
class CreateClaimPayload:
    claim: Claim | None = strawberry.field(
        default=None, description="The claim; null when `userErrors` is not empty."
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was done; empty on success."
    )


@strawberry.input(
    description=(
        "Input of `updateClaim`. What is absent or null stays as it is; at least one value must be given. "
        "State, number and prediction belong to the owner."
    )
)
class UpdateClaimInput:
    claim_id: strawberry.ID = strawberry.field(description="The claim.")
    claimed_amount: MoneyInput | None = strawberry.field(default=UNSET, description="New amount. Only USD.")
    product_category: str | None = strawberry.field(
        default=UNSET, description="New category, at most 100 characters."
    )
    days_since_purchase: int | None = strawberry.field(
        default=UNSET, description="New number of days, 0 or more."
    )
    customer_history_score: float | None = strawberry.field(
        default=UNSET, description="New record of the buyer, 0 to 1."
    )
    description: str | None = strawberry.field(
        default=UNSET, description="New text, at most 10 000 characters."
    )


@strawberry.type(description="Result of `updateClaim`.")
class UpdateClaimPayload:
    claim: Claim | None = strawberry.field(
        default=None, description="The claim after the change; null when `userErrors` is not empty."
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was done; empty on success."
    )


@strawberry.input(description="Input of `submitClaim`.")
class SubmitClaimInput:
    claim_id: strawberry.ID = strawberry.field(
        description="The claim; its `submission.canSubmit` must be true."
    )
    idempotency_key: UUID = strawberry.field(
        description="Chosen by the client. A repeated key returns the first outcome for 24 hours."
    )


@strawberry.type(description="Result of `submitClaim`.")
class SubmitClaimPayload:
    claim: Claim | None = strawberry.field(
        default=None,
        description="The claim; `submission` holds the result. Null when `userErrors` is not empty.",
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was done; empty on success."
    )


@strawberry.type
class ClaimMutations:
    @mutates(
        CreateClaimPayload,
        once_per_operation(REFUND_ENGINE, pages=2, expected=1, hops=4),
        DETECTIONS,
        once_per_operation(INTEGRATIONS, pages=4, expected=2, hops=3),
        scope="claims:write",
        description="Records a claim, with a filing case when it is made of a finding.",
    )
    async def create_claim(
        self, work: Work, input: Annotated[CreateClaimInput, strawberry.argument(description="Input.")]
    ) -> CreateClaimPayload | None:
        wanted = _wanted(input)
        return await once(
            work,
            "createClaim",
            input.idempotency_key,
            input,
            Deed(
                service=REFUND_ENGINE,
                do=partial(_record, work, wanted),
                settle=partial(_recorded, work, wanted),
                repeatable=True,  # a number is taken once, and a finding has one filing case
                show=partial(_created, work),
            ),
        )

    @mutates(
        UpdateClaimPayload,
        once_per_operation(REFUND_ENGINE, pages=2, expected=2, hops=2),
        scope="claims:write",
        description="Changes a claim's details.",
    )
    async def update_claim(
        self, work: Work, input: Annotated[UpdateClaimInput, strawberry.argument(description="Input.")]
    ) -> UpdateClaimPayload | None:
        changes = _changes(input)
        claim = (await own_claim(work, input.claim_id)).value
        try:
            with refused_if_rejected():
                changed = await work.clients.refund_engine.update_claim(claim.id, changes)
        except UpstreamError as error:
            if not error.maybe_done:
                raise
            changed = await seen_after(_changed(work, claim.id, changes), error)
            if changed is None:
                raise
        if changed is None:
            raise not_found("There is no such claim.", input.claim_id, "claimId")
        work.watchers.changed(work.viewer, "claim", claim.id)
        return UpdateClaimPayload(claim=Claim.from_answer(changed))

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
            input.idempotency_key,
            input,
            Deed(
                service=INTEGRATIONS,
                do=partial(_file, work, claim.value),
                settle=partial(_filed, work, claim.value),
                repeatable=True,  # a case is handed in from `pending` only
                show=partial(_submitted, claim),
            ),
        )


@dataclass(frozen=True)
class _Wanted:
    """A claim to be recorded, its values as the owner keeps them."""

    detection_id: strawberry.ID | None
    case_number: str | None
    amount: Decimal
    category: str
    days: int
    score: Decimal
    description: str | None

    def is_in(self, claim: ClaimRecord) -> bool:
        """Whether a claim says what was asked for."""
        return (
            claim.claim_amount == self.amount
            and claim.product_category == self.category
            and claim.days_since_purchase == self.days
            and claim.customer_history_score == self.score
            and (claim.claim_description or None) == self.description
        )


def _wanted(input: CreateClaimInput) -> _Wanted:
    if bool(input.detection_id) == bool(input.case_number):
        raise invalid("Give either `detectionId` or `caseNumber`.", "detectionId")
    return _Wanted(
        detection_id=input.detection_id or None,
        case_number=_case_number(input.case_number) if input.case_number else None,
        amount=amount_of(input.claimed_amount, "claimedAmount", at_most=AMOUNT_AT_MOST),
        category=text_of(input.product_category, "productCategory", at_most=CATEGORY_CHARS),
        days=int(_days(input.days_since_purchase)),
        score=_score(input.customer_history_score),
        description=_description(input.description) or None,
    )


def _changes(input: UpdateClaimInput) -> ClaimChanges:
    """The owner's names and values of what is to be changed.

    Raises:
        Refused: INVALID_INPUT, for a value or because there is none.
    """
    changes: ClaimChanges = {}
    if input.claimed_amount:
        changes["claim_amount"] = amount_of(input.claimed_amount, "claimedAmount", at_most=AMOUNT_AT_MOST)
    if input.product_category is not None and input.product_category is not UNSET:
        changes["product_category"] = text_of(
            input.product_category, "productCategory", at_most=CATEGORY_CHARS
        )
    if input.days_since_purchase is not None and input.days_since_purchase is not UNSET:
        changes["days_since_purchase"] = _days(input.days_since_purchase)
    if input.customer_history_score is not None and input.customer_history_score is not UNSET:
        changes["customer_history_score"] = _score(input.customer_history_score)
    if input.description is not None and input.description is not UNSET:
        changes["claim_description"] = _description(input.description)
    if not changes:
        raise invalid("Give at least one value to change.")
    return changes


def _case_number(given: str) -> str:
    number = text_of(given, "caseNumber", at_most=CASE_NUMBER_CHARS)
    if number in (".", ".."):  # it is a segment of a path when it is read
        raise invalid("This cannot be a case number.", "caseNumber")
    return number


def _days(given: int) -> int:
    return int(number_of(given, "daysSincePurchase", at_least=0, at_most=DAYS_AT_MOST))


def _score(given: float) -> Decimal:
    score = number_of(given, "customerHistoryScore", at_least=0, at_most=1)
    return Decimal(str(score)).quantize(HUNDREDTH)


def _description(given: str | None) -> str:
    return text_of(given, "description", at_most=DESCRIPTION_CHARS) if given else ""


async def _record(work: Work, wanted: _Wanted, attempt: Attempt) -> Done[CreateClaimPayload]:
    """Record the claim. With a finding, its filing case comes first and gives the number."""
    number = wanted.case_number
    if wanted.detection_id:
        number = (await _dispute_of(work, wanted, wanted.detection_id, attempt)).case_number
    assert number, "one of the two was given"
    case_opened = attempt.sent is not None
    await attempt.sending()
    try:
        with refused_if_rejected():
            answer = await work.clients.refund_engine.create_claim(
                case_number=number,
                claim_amount=wanted.amount,
                customer_history_score=wanted.score,
                product_category=wanted.category,
                days_since_purchase=wanted.days,
                claim_description=wanted.description,
            )
    except UpstreamConflict:
        existing = await work.loaders.claim_by_case_number.load(number)
        # The owner's rules may have made the claim of this filing case, or an earlier attempt of ours has.
        if existing is None or not (wanted.detection_id or (attempt.again and wanted.is_in(existing.value))):
            raise conflict(
                UserErrorCode.CASE_NUMBER_TAKEN, "This case number is in use. Choose another.", "caseNumber"
            ) from None
        return Done(existing.value.id, CreateClaimPayload(claim=Claim.from_answer(existing)))
    except UpstreamError as error:
        if case_opened and not error.maybe_done:
            raise outcome_unknown(
                error.upstream,
                "The filing case was opened, and the claim is not recorded yet. Send the same key again.",
            ) from error
        raise
    return Done(answer.value.id, CreateClaimPayload(claim=Claim.from_answer(answer)))


async def _dispute_of(
    work: Work, wanted: _Wanted, detection_id: strawberry.ID, attempt: Attempt
) -> DisputeRecord:
    """The filing case of the viewer's finding, opened where there is none."""
    key = (await own_detection(work, detection_id)).id
    found = await work.loaders.dispute_by_detection_id.load(key)
    if found.value is not None:
        return found.value
    await attempt.sending()
    try:
        with refused_if_rejected():
            opened = await work.clients.integrations.open_dispute(
                detection_id=key, claim_amount=wanted.amount, currency=USD
            )
    except UpstreamError as error:
        if not (error.maybe_done or isinstance(error, UpstreamConflict)):  # somebody opened it meanwhile
            raise
        work.look_again()
        found = await seen_after(work.loaders.dispute_by_detection_id.load(key), error)
        if found.value is None:
            raise
        return found.value
    if opened is None:
        raise not_found("There is no such finding.", detection_id, "detectionId")
    return opened.value


async def _recorded(work: Work, wanted: _Wanted, _sent: Sent | None) -> str | None:
    """The id of the claim, when it was recorded."""
    number = wanted.case_number
    if wanted.detection_id:
        key = key_in(wanted.detection_id, "Detection", "detectionId")
        dispute = await work.loaders.dispute_by_detection_id.load(key)
        number = dispute.value.case_number if dispute.value else None
    if number is None:
        return None
    claim = await work.loaders.claim_by_case_number.load(number)
    if claim is None or not (wanted.detection_id or wanted.is_in(claim.value)):
        return None
    return claim.value.id


async def _changed(work: Work, claim_id: str, changes: ClaimChanges) -> Answer[ClaimRecord] | None:
    """The claim, when it holds the changes."""
    work.look_again()
    claim = await work.loaders.claim_by_id.load(claim_id)
    if claim is None:
        return None
    now = claim.value.model_dump(include=set(changes))
    now["claim_description"] = claim.value.claim_description or ""  # an emptied one may be kept as null
    return claim if all(now[name] == value for name, value in changes.items()) else None


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


async def _created(work: Work, claim_id: str) -> CreateClaimPayload:
    claim = Claim.from_answer(await work.loaders.claim_by_id.load(claim_id))
    if claim is None:
        raise unseen(REFUND_ENGINE)
    return CreateClaimPayload(claim=claim)


async def _submitted(claim: Answer[ClaimRecord], _claim_id: str) -> SubmitClaimPayload:
    return SubmitClaimPayload(claim=Claim.from_answer(claim))  # filing changes nothing about the claim
