"""What mutations are given: inputs that several of them share, and how their values are checked.

A service answers 500 where a value does not fit its column, so columns are known here and nothing that
cannot be stored is sent.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import orjson
import strawberry
from strawberry import UNSET

from resolvers.money import USD
from resolvers.mutations.user_errors import invalid


@strawberry.input(description="An amount given by the client.")
class MoneyInput:
    amount: Decimal = strawberry.field(description="Amount in major units, at most two decimals, above zero.")
    currency_code: str = strawberry.field(default=USD, description="ISO 4217 code in upper case.")


def key_field() -> Any:
    """The field of an input that holds its idempotency key."""
    return strawberry.field(
        description="Chosen by the client. A repeated key returns the first outcome for 24 hours."
    )


def amount_of(
    given: MoneyInput, path: str, *, at_most: Decimal, currencies: tuple[str, ...] = (USD,)
) -> Decimal:
    """The amount, with exactly two decimals; nothing is rounded.

    Raises:
        Refused: INVALID_INPUT at `path`: zero or less, more than two decimals, too much, another currency.
    """
    if given.currency_code not in currencies:
        accepted = ", ".join(currencies)
        raise invalid(f"The currency must be one of: {accepted}.", path, "currencyCode")
    amount = given.amount
    if not 0 < amount <= at_most:
        raise invalid(f"The amount must be above 0 and at most {at_most}.", path, "amount")
    if amount != amount.quantize(Decimal("0.01")):
        raise invalid("The amount may have two decimals at most; nothing is rounded.", path, "amount")
    return amount.quantize(Decimal("0.01"))


def text_of(given: str, path: str, *, at_most: int) -> str:
    """The text without blanks around it.

    Raises:
        Refused: INVALID_INPUT at `path`: empty, too long, or with a NUL, on which databases break.
    """
    text = given.strip()
    if not 1 <= len(text) <= at_most:
        raise invalid(f"This must have 1 to {at_most} characters.", path)
    if "\0" in text:
        raise invalid("This holds a NUL character; leave it out.", path)
    return text


def number_of(given: float, path: str, *, at_least: float, at_most: float) -> float:
    """The number as it is.

    Raises:
        Refused: INVALID_INPUT at `path`: out of bounds.
    """
    if not at_least <= given <= at_most:
        raise invalid(f"This must be from {at_least:g} to {at_most:g}.", path)
    return given


def digest_of(given: Any) -> str:
    """Names an input: the same for inputs that ask for the same, whatever their idempotency keys."""
    values = asdict(given)
    values.pop("idempotency_key")
    text = orjson.dumps(_plain(values), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not UNSET and item is not None}
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value
