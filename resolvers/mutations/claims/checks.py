"""What the columns of a claim take: checked here, because the engine answers 500 to what does not fit."""

from __future__ import annotations

from decimal import Decimal

from resolvers.mutations.given import number_of, text_of

AMOUNT_AT_MOST = Decimal("99999999.99")  # NUMERIC(10, 2)
CATEGORY_CHARS = 100
DESCRIPTION_CHARS = 10_000
DAYS_AT_MOST = 2**31 - 1
HUNDREDTH = Decimal("0.01")  # the owner keeps scores to two decimals


def days_of(given: int) -> int:
    """The days between purchase and claim.

    Raises:
        Refused: INVALID_INPUT.
    """
    return int(number_of(given, "daysSincePurchase", at_least=0, at_most=DAYS_AT_MOST))


def score_of(given: float) -> Decimal:
    """The buyer's record as the owner keeps it.

    Raises:
        Refused: INVALID_INPUT.
    """
    score = number_of(given, "customerHistoryScore", at_least=0, at_most=1)
    return Decimal(str(score)).quantize(HUNDREDTH)


def description_of(given: str | None) -> str:
    """The text; empty when none was given.

    Raises:
        Refused: INVALID_INPUT.
    """
    return text_of(given, "description", at_most=DESCRIPTION_CHARS) if given else ""
