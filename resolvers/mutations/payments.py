"""Payments: the commission charged, a card put on file.

mutation           asks, in this order
chargeCommission   refund engine getClaim (whose is it?), stripe getAccountStatus, the map of claims to
                   stripe's integers, stripe chargeCommission, listTransactions
createCardSetup    stripe createCustomerSetup
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry

from clients.errors import PaymentAccountMissing
from clients.refund_engine import ClaimRecord
from clients.stripe import Currency
from resolvers.costs import REFUND_ENGINE, STRIPE
from resolvers.costs import once as once_per_operation
from resolvers.mutations.given import MoneyInput, amount_of
from resolvers.mutations.once import Attempt, Deed, Done, Sent, once
from resolvers.mutations.owned import own_claim
from resolvers.mutations.user_errors import (
    InvalidInputError,
    Refused,
    UserError,
    UserErrorCode,
    conflict,
    invalid,
    refused_if_rejected,
    unseen,
    user_errors_field,
)
from resolvers.mutations.work import Work, mutates
from resolvers.payments import Payment

CHARGED_AT_LEAST = Decimal("0.50")  # the fee's least amount: below it the payout would be negative
CHARGED_AT_MOST = Decimal("1000000.00")
CURRENCIES: dict[str, Currency] = {"USD": "usd", "EUR": "eur", "GBP": "gbp", "CAD": "cad"}
KEY_VERSIONS = range(1, 6)  # of UUIDs that stripe payments takes as a key


@strawberry.input(description="Input of `chargeCommission`.")
class ChargeCommissionInput:
    claim_id: strawberry.ID = strawberry.field(
        description=(
            "The claim that was paid. A claim is charged at most once; a second charge returns the first "
            "payment."
        )
    )
    recovered_amount: MoneyInput = strawberry.field(
        description="What Amazon paid: 0.50 to 1000000.00 in USD, EUR, GBP or CAD."
    )
    idempotency_key: UUID = strawberry.field(
        description=(
            "Chosen by the client, of version 1 to 5. A repeated key returns the first outcome for 24 hours."
        )
    )


@strawberry.type(description="Result of `chargeCommission`.")
class ChargeCommissionPayload:
    payment: Payment | None = strawberry.field(
        default=None,
        description=(
            "The payment, PENDING at first: queued, no money moved yet. Null when `userErrors` is not empty."
        ),
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.type(description="Result of `createCardSetup`.")
class CreateCardSetupPayload:
    client_secret: str | None = strawberry.field(
        default=None,
        description=(
            "Hand this to the payment provider's card form, once. A secret: never log or store it. Null when "
            "`userErrors` is not empty."
        ),
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class PaymentMutations:
    @mutates(
        ChargeCommissionPayload,
        once_per_operation(STRIPE, pages=7, expected=3, hops=4),
        once_per_operation(REFUND_ENGINE),
        scope="payments:charge",
        description="Charges the commission on money that was recovered.",
    )
    async def charge_commission(
        self, work: Work, input: Annotated[ChargeCommissionInput, strawberry.argument(description="Input.")]
    ) -> ChargeCommissionPayload | None:
        amount = amount_of(
            input.recovered_amount, "recoveredAmount", at_most=CHARGED_AT_MOST, currencies=tuple(CURRENCIES)
        )
        if amount < CHARGED_AT_LEAST:
            raise invalid(f"The amount must be at least {CHARGED_AT_LEAST}.", "recoveredAmount", "amount")
        if input.idempotency_key.version not in KEY_VERSIONS:
            raise invalid("The key must be a UUID of version 1 to 5.", "idempotencyKey")
        claim = await own_claim(work, input.claim_id)
        return await once(
            work,
            "chargeCommission",
            input,
            Deed(
                service=STRIPE,
                do=partial(_charge, work, claim.value, amount, input),
                settle=partial(_charged, work, claim.value),
                repeatable=True,  # a claim is charged once, and the key is known there as well
                show=partial(_shown, work),
            ),
        )

    @mutates(
        CreateCardSetupPayload,
        once_per_operation(STRIPE),
        scope="payments:write",
        description=("Begins to put a card on file, as the customer whose e-mail address is in the token."),
    )
    async def create_card_setup(self, work: Work) -> CreateCardSetupPayload | None:
        if work.viewer.email is None:
            raise Refused(
                InvalidInputError(
                    code=UserErrorCode.INVALID_INPUT,
                    message="This sign-in has no e-mail address, without which no card can be put on file.",
                )
            )
        with refused_if_rejected():
            setup = await work.clients.stripe.create_card_setup(
                email=work.viewer.email, name=work.viewer.name
            )
        return CreateCardSetupPayload(client_secret=setup.value.client_secret)


async def _charge(
    work: Work, claim: ClaimRecord, amount: Decimal, input: ChargeCommissionInput, attempt: Attempt
) -> Done[ChargeCommissionPayload]:
    """Charge the claim. The payment's amounts are asked for: an existing one is named without them."""
    if await work.loaders.payment_account() is None:
        raise _no_account()
    # Committed before the charge, so that a charge without an answer can be found again.
    stripe_id = await work.loaders.store.stripe_map.stripe_id_of(claim.id)
    not_taken = invalid("The payment service does not take this amount.", "recoveredAmount", "amount")
    await attempt.sending()
    try:
        with refused_if_rejected(bad_request=not_taken):
            charged = await work.clients.stripe.charge(
                stripe_claim_id=stripe_id,
                recovered_cents=int(amount.scaleb(2)),
                currency=CURRENCIES[input.recovered_amount.currency_code],
                idempotency_key=input.idempotency_key,
            )
    except PaymentAccountMissing:  # the account we were told of is kept for minutes, and may be gone
        raise _no_account() from None
    return Done(str(charged.value.transaction_id))


def _no_account() -> Refused:
    return conflict(
        UserErrorCode.PAYMENT_ACCOUNT_MISSING, "There is no payment account yet. Connect STRIPE first."
    )


async def _charged(work: Work, claim: ClaimRecord, _sent: Sent | None) -> str | None:
    """The number of the claim's payment, when there is one."""
    payments = await work.loaders.payments_by_claim_id.load(claim.id)
    return str(payments.rows[0].id) if payments.rows else None


async def _shown(work: Work, payment_id: str) -> ChargeCommissionPayload:
    found = await work.loaders.payment_by_id.load(int(payment_id))
    if found.value is None:
        raise unseen(STRIPE)
    return ChargeCommissionPayload(payment=Payment.from_record(found.value, found.as_of))
