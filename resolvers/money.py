"""Money: an amount and its currency, exact."""

from decimal import Decimal

import strawberry

USD = "USD"
CENT = Decimal("0.01")


@strawberry.federation.type(
    shareable=True,
    description="An amount in one currency. Select both fields: an amount without its currency says nothing.",
)
class Money:
    amount: Decimal = strawberry.field(description="Amount in major units (dollars, not cents).")
    currency_code: str = strawberry.field(
        description="ISO 4217 code in upper case. `USD` where the owner keeps no currency."
    )


def money(amount: Decimal, currency: str = USD) -> Money:
    """Money of an amount in major units; two decimals at least, more where the owner sent more."""
    if not amount.same_quantum(CENT):  # most are; to ask for the exponent is dear
        exponent = amount.as_tuple().exponent
        if exponent > -2:  # type: ignore[operator]  # finite: records refuse NaN
            amount = amount.quantize(CENT)
    return Money(amount=amount, currency_code=currency.upper())


def optional_money(amount: Decimal | None, currency: str = USD) -> Money | None:
    """As `money`; None stays None."""
    return None if amount is None else money(amount, currency)


def cents(amount_cents: int, currency: str) -> Money:
    """Money of whole cents, divided exactly."""
    return Money(amount=amount_cents * CENT, currency_code=currency.upper())
