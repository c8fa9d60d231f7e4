"""createClaim: a claim is recorded.

asks      with a finding: integrations listDetectionResults, listDisputes, createDispute where none is open;
          then refund engine createClaim; getClaimByCaseNumber where its number is taken
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from clients.errors import StoreError, UpstreamConflict, UpstreamError
from clients.integrations.disputes import DisputeRecord
from clients.refund_engine import ClaimRecord
from resolvers.claims.claim import Claim
from resolvers.costs import DETECTIONS, INTEGRATIONS, REFUND_ENGINE
from resolvers.costs import once as once_per_operation
from resolvers.money import USD
from resolvers.mutations.claims.checks import (
    AMOUNT_AT_MOST,
    CATEGORY_CHARS,
    days_of,
    description_of,
    score_of,
)
from resolvers.mutations.given import MoneyInput, amount_of, key_field, text_of
from resolvers.mutations.once import Attempt, Deed, Done, Sent, once
from resolvers.mutations.owned import own_detection
from resolvers.mutations.user_errors import (
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
    user_errors_field,
)
from resolvers.mutations.work import Work, mutates

CASE_NUMBER_CHARS = 50


@strawberry.input(description="Input of `createClaim`.")
class CreateClaimInput:
    claimed_amount: MoneyInput = strawberry.field(
        description="What the seller asks for. Only USD: the owner keeps no currency."
    )
    product_category: str = strawberry.field(description="Category of the product, at most 100 characters.")
    days_since_purchase: int = strawberry.field(description="Days between purchase and claim, 0 or more.")
    customer_history_score: float = strawberry.field(description="The buyer's record, 0 (bad) to 1 (good).")
    idempotency_key: UUID = key_field()
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
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class CreateClaim:
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
            input,
            Deed(
                service=REFUND_ENGINE,
                do=partial(_record, work, wanted),
                settle=partial(_recorded, work, wanted),
                repeatable=True,  # a number is taken once, and a finding has one filing case
                show=partial(_created, work),
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
        days=days_of(input.days_since_purchase),
        score=score_of(input.customer_history_score),
        description=description_of(input.description) or None,
    )


def _case_number(given: str) -> str:
    number = text_of(given, "caseNumber", at_most=CASE_NUMBER_CHARS)
    if number in (".", ".."):  # it is a segment of a path when it is read
        raise invalid("This cannot be a case number.", "caseNumber")
    return number


async def _record(work: Work, wanted: _Wanted, attempt: Attempt) -> Done[CreateClaimPayload]:
    """Record the claim. With a finding, its filing case comes first and gives the number."""
    number = wanted.case_number
    if wanted.detection_id:
        number = (await _dispute_of(work, wanted, wanted.detection_id, attempt)).case_number
    assert number, "one of the two was given"
    case_opened = attempt.sent is not None
    try:
        return await _record_under(number, work, wanted, attempt)
    except (UpstreamError, StoreError, Refused) as error:
        looked_for = isinstance(error, UpstreamError) and error.maybe_done
        if looked_for or not case_opened:
            raise
        raise outcome_unknown(
            REFUND_ENGINE,
            "The filing case was opened, and the claim is not recorded yet. Send the same key again.",
        ) from error


async def _record_under(
    number: str, work: Work, wanted: _Wanted, attempt: Attempt
) -> Done[CreateClaimPayload]:
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


async def _created(work: Work, claim_id: str) -> CreateClaimPayload:
    claim = Claim.from_answer(await work.loaders.claim_by_id.load(claim_id))
    if claim is None:
        raise unseen(REFUND_ENGINE)
    return CreateClaimPayload(claim=claim)
