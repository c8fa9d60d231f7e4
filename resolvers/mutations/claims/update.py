"""updateClaim: a claim's details are changed.

asks      refund engine getClaim (whose is it?), updateClaim; getClaim again where the answer was lost
"""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from clients.errors import UpstreamError
from clients.refund_engine import ClaimChanges, ClaimRecord
from clients.transport import Answer
from resolvers.claims.claim import Claim
from resolvers.costs import REFUND_ENGINE
from resolvers.costs import once as once_per_operation
from resolvers.mutations.claims.checks import (
    AMOUNT_AT_MOST,
    CATEGORY_CHARS,
    days_of,
    description_of,
    score_of,
)
from resolvers.mutations.given import MoneyInput, amount_of, text_of
from resolvers.mutations.owned import own_claim
from resolvers.mutations.user_errors import (
    UserError,
    invalid,
    not_found,
    refused_if_rejected,
    seen_after,
    user_errors_field,
)
from resolvers.mutations.work import Work, mutates


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
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class UpdateClaim:
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
        changes["days_since_purchase"] = days_of(input.days_since_purchase)
    if input.customer_history_score is not None and input.customer_history_score is not UNSET:
        changes["customer_history_score"] = score_of(input.customer_history_score)
    if input.description is not None and input.description is not UNSET:
        changes["claim_description"] = description_of(input.description)
    if not changes:
        raise invalid("Give at least one value to change.")
    return changes


async def _changed(work: Work, claim_id: str, changes: ClaimChanges) -> Answer[ClaimRecord] | None:
    """The claim, when it holds the changes."""
    work.look_again()
    claim = await work.loaders.claim_by_id.load(claim_id)
    if claim is None:
        return None
    now = claim.value.model_dump(include=set(changes))
    now["claim_description"] = claim.value.claim_description or ""  # an emptied one may be kept as null
    return claim if all(now[name] == value for name, value in changes.items()) else None
