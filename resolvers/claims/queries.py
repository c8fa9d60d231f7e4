"""How claims are found: listed, searched, by id and by number.

field                     asks              loader
Query.claims              refund engine     claims_page
Query.searchClaims        refund engine     claims_found
Query.claim               refund engine     claim_by_id
Query.claimByCaseNumber   refund engine     claim_by_case_number
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, TypeVar

import strawberry
from strawberry import UNSET

from clients.refund_engine import ClaimSort, SortOrder
from clients.transport import Page
from resolvers.claims.claim import CLAIM_STATUS, Claim, ClaimStatus
from resolvers.claims.connection import ClaimConnection
from resolvers.connections import After, First, window
from resolvers.context import Info
from resolvers.costs import REFUND_ENGINE, once
from resolvers.errors import BadUserInput
from resolvers.fields import asks
from resolvers.global_ids import key_of
from resolvers.words import described

T = TypeVar("T", str, str | None)

SEARCH_AT_MOST = 100
CATEGORY_AT_MOST = 100  # no claim has a longer one
CASE_NUMBER_CHARS = 50


@strawberry.input(description="Which claims to list. All given conditions must hold.")
class ClaimFilterInput:
    status: ClaimStatus | None = strawberry.field(
        default=UNSET, description="Exactly this state; UNKNOWN is refused."
    )
    product_category: str | None = strawberry.field(default=UNSET, description="Exactly this category.")


@strawberry.enum(description="What claims can be sorted by: the columns the refund engine can sort.")
class ClaimOrderField(Enum):
    CREATED_AT = described("created_at", description="When recorded.")
    UPDATED_AT = described("updated_at", description="When last changed.")
    CLAIMED_AMOUNT = described("claim_amount", description="Amount asked for.")
    STATUS = described("status", description="State, alphabetically by the owner's word.")
    CASE_NUMBER = described("case_number", description="Number, as text.")
    DAYS_SINCE_PURCHASE = described("days_since_purchase", description="Days since purchase.")


@strawberry.enum(description="Direction of a sort.")
class OrderDirection(Enum):
    ASC = described("ASC", description="Smallest, oldest or A first.")
    DESC = described("DESC", description="Largest, newest or Z first.")


@strawberry.input(description="How to sort claims.")
class ClaimOrderInput:
    field: ClaimOrderField = strawberry.field(default=ClaimOrderField.CREATED_AT, description="Sort key.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Sort direction.")


@strawberry.type
class ClaimQueries:
    @asks(
        once(REFUND_ENGINE),
        scope="claims:read",
        description=(
            "Claims, newest first unless ordered otherwise. Filters and sorts are the owner's own: nothing "
            "is filtered here."
        ),
    )
    async def claims(
        self,
        info: Info,
        first: First = 20,
        after: After = UNSET,
        filter: Annotated[ClaimFilterInput | None, strawberry.argument(description="Conditions.")] = UNSET,
        order_by: Annotated[
            ClaimOrderInput, strawberry.argument(description="Sort order.")
        ] = ClaimOrderInput(),  # noqa: B008  # never changed
    ) -> ClaimConnection | None:
        part, conditions = window(first, after), filter or ClaimFilterInput()
        category = _sendable(conditions.product_category or None, argument="filter.productCategory")
        if category and len(category) > CATEGORY_AT_MOST:
            raise BadUserInput(f"`filter.productCategory` must have 1 to {CATEGORY_AT_MOST} characters.")
        sort_by: ClaimSort = order_by.field.value
        sort_order: SortOrder = order_by.direction.value
        page = await info.context.loaders.claims_page(
            limit=part.first,
            offset=part.offset,
            status=CLAIM_STATUS.word(conditions.status, argument="filter.status")
            if conditions.status
            else None,
            product_category=category,
            sort_by=sort_by,
            sort_order=sort_order,
        )
        return ClaimConnection.of_page(page, part)

    @asks(
        once(REFUND_ENGINE),
        scope="claims:read",
        description=(
            "Claims whose number, description or category contains a text. One page only: the owner cannot "
            "continue a search."
        ),
    )
    async def search_claims(
        self,
        info: Info,
        query: Annotated[str, strawberry.argument(description="Text to look for, 1 to 100 characters.")],
        first: Annotated[int, strawberry.argument(description="How many, 1 to 100.")] = 20,
    ) -> ClaimConnection | None:
        part, text = window(first), _sendable(query.strip(), argument="query")
        if not 1 <= len(text) <= SEARCH_AT_MOST:
            raise BadUserInput(f"`query` must have 1 to {SEARCH_AT_MOST} characters.")
        # One more than asked for, to learn whether the search goes on where no page can follow.
        page = await info.context.loaders.claims_found(text, limit=part.first + 1)
        shown = Page(page.rows[: part.first], None, page.as_of)
        return ClaimConnection.of_page(shown, part, truncated=len(page.rows) > part.first)

    @asks(
        once(REFUND_ENGINE),
        scope="claims:read",
        description="One claim; null without an error when there is none.",
    )
    async def claim(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Global ID.")]
    ) -> Claim | None:
        return await Claim.by_key(info, key_of(id, "Claim"))

    @asks(
        once(REFUND_ENGINE),
        scope="claims:read",
        description=("One claim by the number that people see; null without an error when there is none."),
    )
    async def claim_by_case_number(
        self,
        info: Info,
        case_number: Annotated[str, strawberry.argument(description="Number, such as `CASE-2025-000417`.")],
    ) -> Claim | None:
        number = _sendable(case_number.strip(), argument="caseNumber")
        if not 1 <= len(number) <= CASE_NUMBER_CHARS:
            raise BadUserInput(f"`caseNumber` must have 1 to {CASE_NUMBER_CHARS} characters.")
        if number in (".", ".."):  # in an address they mean another place
            raise BadUserInput("`caseNumber` must not be `.` or `..`: no claim has such a number.")
        return Claim.from_answer(await info.context.loaders.claim_by_case_number.load(number))


def _sendable(text: T, *, argument: str) -> T:
    """The text as it is.

    Raises:
        BadUserInput: it holds a NUL, on which the services' database breaks.
    """
    if text is not None and "\0" in text:
        raise BadUserInput(f"`{argument}` holds a NUL character; leave it out.")
    return text
