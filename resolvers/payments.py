"""Payment: what became of recovered money. Owned by stripe.

field                  asks              loader
Query.payments         stripe            payments_page
Query.paymentAccount   stripe            payment_account
Payment.claim          refund engine     claim_by_stripe_id
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import UNSET

from clients.refund_engine import ClaimRecord
from clients.stripe import AccountRecord, TransactionRecord
from clients.transport import Answer
from resolvers.connections import After, Connection, First, Window, window
from resolvers.context import Info
from resolvers.costs import REFUND_ENGINE, STRIPE, TRANSACTIONS, keyed, once
from resolvers.fields import asks, loads
from resolvers.global_ids import Node, global_id, key_of
from resolvers.money import Money, cents
from resolvers.words import Words, described

if TYPE_CHECKING:
    from resolvers.claims.claim import Claim


@strawberry.enum(description="State of a commission charge.")
class PaymentStatus(Enum):
    PENDING = described("PENDING", description="Recorded and queued; no money has moved.")
    CHARGED = described("CHARGED", description="The commission was charged.")
    FAILED = described("FAILED", description="Charging failed.")
    REFUNDED = described("REFUNDED", description="The commission was given back.")
    TRANSFERRED = described("TRANSFERRED", description="The seller's share was paid out.")
    CANCELLED = described("CANCELLED", description="Dropped before charging.")
    REVERSAL_NEEDED = described("REVERSAL_NEEDED", description="Must be taken back by hand.")
    UNKNOWN = described(
        "UNKNOWN",
        description="The owner sent a word this graph does not know. Not accepted in filters.",
    )


PAYMENT_STATUS = Words(
    "stripe transaction.status",
    {status.value.lower(): status for status in list(PaymentStatus)[:-1]},
    unknown=PaymentStatus.UNKNOWN,
)


@strawberry.federation.type(
    keys=["id"],
    description=(
        "What became of recovered money: what Amazon paid, what Opside keeps, what the seller keeps."
    ),
)
class Payment(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    status: PaymentStatus = strawberry.field(description="State of the charge.")
    recovered_amount: Money = strawberry.field(description="What Amazon paid.")
    commission_amount: Money = strawberry.field(description="What Opside keeps: 20 %, at least 0.50.")
    payout_amount: Money = strawberry.field(description="What the seller keeps.")
    is_paid_out: bool = strawberry.field(description="Whether the seller's share was paid out.")
    created_at: datetime = strawberry.field(description="When it was recorded.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    stripe_claim_id: strawberry.Private[int | None]

    @classmethod
    def from_record(cls, record: TransactionRecord, as_of: datetime) -> Payment:
        status = PAYMENT_STATUS.value(record.status)
        return cls(
            id=global_id("Payment", record.id),
            status=status,
            recovered_amount=cents(record.recovered_cents, record.currency),
            commission_amount=cents(record.fee_cents, record.currency),
            payout_amount=cents(record.payout_cents, record.currency),
            is_paid_out=is_paid_out(record),
            created_at=record.created_at,
            updated_at=record.updated_at,
            as_of=as_of,
            stripe_claim_id=record.claim_id,
        )

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Payment | None:
        """The viewer's charge with this number; None when there is none."""
        info.context.require("payments:read")
        answer = await info.context.loaders.payment_by_id.load(int(key))
        return None if answer.value is None else cls.from_record(answer.value, answer.as_of)

    @loads(
        "claim_by_stripe_id",
        keyed(REFUND_ENGINE),
        key="stripe_claim_id",
        scope="claims:read",
        description=(
            "The claim it settles; null without an error when it settles none that this API recorded."
        ),
    )
    def claim(
        self, found: Answer[ClaimRecord] | None
    ) -> Annotated[Claim, strawberry.lazy("resolvers.claims.claim")] | None:
        from resolvers.claims.claim import Claim

        return Claim.from_answer(found)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Payment | None:
        """Answer the router's `_entities(representations: [{__typename: "Payment", id}])`."""
        return await cls.by_key(info, key_of(id, "Payment"))


def is_paid_out(record: TransactionRecord) -> bool:
    """Whether the seller's share of a charge was paid out: there is no payout of its own upstream."""
    return record.transfer_id is not None or record.status == "transferred"


@strawberry.type(description="A payment and its place in a connection.")
class PaymentEdge:
    cursor: str = strawberry.field(description="Opaque position.")
    node: Payment = strawberry.field(description="The payment.")


@strawberry.type(description="A page of payments.")
class PaymentConnection(Connection[Payment, PaymentEdge]):
    edge = PaymentEdge

    total_count: int | None = strawberry.field(
        description="How many match in all; null when the owner did not count."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def of_rows(
        cls, rows: list[TransactionRecord], part: Window, total: int | None, as_of: datetime
    ) -> PaymentConnection:
        """Exactly the rows of `part`, out of `total`."""
        return cls(
            nodes=[Payment.from_record(row, as_of) for row in rows],
            total_count=total,
            as_of=as_of,
            offset=part.offset,
            has_next_page=bool(rows) and part.end < (total or 0),
        )


@strawberry.enum(description="Whether the seller can be charged and paid.")
class PaymentAccountStatus(Enum):
    NOT_ONBOARDED = described("NOT_ONBOARDED", description="The seller never began; connect STRIPE.")
    ONBOARDING = described("ONBOARDING", description="Begun, details missing.")
    RESTRICTED = described("RESTRICTED", description="Details given; charges or payouts are not allowed yet.")
    ACTIVE = described("ACTIVE", description="Charges and payouts work.")


@strawberry.type(description="The seller's account with the payment provider.")
class PaymentAccount:
    status: PaymentAccountStatus = strawberry.field(
        description="Whether the seller can be charged and paid. Worked out from the three facts below."
    )
    charges_enabled: bool = strawberry.field(description="Whether charges work.")
    payouts_enabled: bool = strawberry.field(description="Whether payouts work.")
    details_submitted: bool = strawberry.field(description="Whether the seller gave all details.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def from_answer(cls, answer: Answer[AccountRecord] | None) -> PaymentAccount:
        if answer is None:
            return cls(
                status=PaymentAccountStatus.NOT_ONBOARDED,
                charges_enabled=False,
                payouts_enabled=False,
                details_submitted=False,
                as_of=datetime.now(UTC),
            )
        account = answer.value
        if not account.details_submitted:
            status = PaymentAccountStatus.ONBOARDING
        elif account.charges_enabled and account.payouts_enabled:
            status = PaymentAccountStatus.ACTIVE
        else:
            status = PaymentAccountStatus.RESTRICTED
        return cls(
            status=status,
            charges_enabled=account.charges_enabled,
            payouts_enabled=account.payouts_enabled,
            details_submitted=account.details_submitted,
            as_of=answer.as_of,
        )


@strawberry.type
class PaymentQueries:
    @asks(
        TRANSACTIONS,
        once(STRIPE, pages=2, expected=0),  # where a state is asked for, or rows beyond the shared pages
        scope="payments:read",
        description="Payments, newest first.",
    )
    async def payments(
        self,
        info: Info,
        first: First = 20,
        after: After = UNSET,
        status: Annotated[
            PaymentStatus | None, strawberry.argument(description="Only these; UNKNOWN is refused.")
        ] = UNSET,
    ) -> PaymentConnection | None:
        part = window(first, after)
        word = PAYMENT_STATUS.word(status, argument="status") if status else None
        page = await info.context.loaders.payments_page(part.offset, part.end, status=word)
        return PaymentConnection.of_rows(page.rows, part, page.total, page.as_of)

    @asks(
        once(STRIPE, shared="getAccountStatus"),
        scope="payments:read",
        description=(
            "The viewer's account with the payment provider. Repeated from memory for five minutes; see "
            "`asOf`."
        ),
    )
    async def payment_account(self, info: Info) -> PaymentAccount | None:
        return PaymentAccount.from_answer(await info.context.loaders.payment_account())
