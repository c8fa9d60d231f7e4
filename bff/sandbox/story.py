"""The story of one claim: what was lost, how it was found, how far Amazon has got with it, and when.

Every story is told by its own dice, thrown from seller and number alone: claim 7 is the same claim
whether ten or a thousand are seeded. Number 0 is the newest.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bff.sandbox.world import Seller

PACE = timedelta(hours=18)
"""From one claim to the next, on average: sixty claims are a month and a half."""

CATEGORIES = ("kitchen", "electronics", "toys", "beauty", "home", "sports", "grocery", "apparel")
ANOMALIES = ("missing_unit", "damaged_stock", "overcharge", "incorrect_fee", "duplicate_charge")

# status, and whether a finding led to the claim; ten claims show every state there is
_FATES = (
    ("processing", True),
    ("paid", True),
    ("pending", False),
    ("approved", True),
    ("rejected", True),
    ("pending", True),
    ("paid", False),
    ("processing", True),
    ("approved", True),
    ("pending", False),
)

_WAREHOUSES = ("JFK8", "ONT8", "PHX3", "CVG2", "LTN4", "DTM2")
_LOSSES = {
    "missing_unit": "{units} units of {sku} missing at {warehouse} after inbound receive",
    "damaged_stock": "{units} units of {sku} damaged by the carrier on the way to {warehouse}",
    "overcharge": "Weight of {sku} measured wrong at {warehouse}: fulfilment fee too high on {units} orders",
    "incorrect_fee": "Referral fee of the wrong category on {units} orders of {sku}",
    "duplicate_charge": "Removal of {units} units of {sku} from {warehouse} charged twice",
}


@dataclass(frozen=True)
class Story:
    """Everything that is settled before a single row is written."""

    seller: Seller
    number: int
    status: str
    has_finding: bool
    is_partial: bool
    anomaly: str
    category: str
    sku: str
    description: str | None
    amount_cents: int
    awarded_cents: int
    found_at: datetime
    created_at: datetime
    submitted_at: datetime | None
    resolved_at: datetime | None
    dice: random.Random

    @property
    def updated_at(self) -> datetime:
        """When the claim last changed: it follows what Amazon decides, so "recent" is not "newest"."""
        return self.resolved_at or self.submitted_at or self.created_at

    def new_id(self) -> str:
        """Throw a UUID v4; the same one on every start."""
        return uuid_from(self.dice)


def uuid_from(dice: random.Random) -> str:
    """Throw a UUID v4."""
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))


def base36(number: int) -> str:
    """Write as ``Number.toString(36)`` does."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


def epoch_ms(at: datetime) -> int:
    """Count milliseconds as ``Date.now()`` does."""
    return int(at.timestamp() * 1000)


def tail(dice: random.Random, length: int) -> str:
    """Throw the letters that end an id, as ``Math.random().toString(36)`` gives them."""
    return "".join(dice.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=length))


def tell(seller: Seller, number: int, anchor: datetime, *, chapter: str = "claim") -> Story:
    """Tell story ``number`` of a seller, all of it before ``anchor``; each chapter has dice of its own."""
    dice = random.Random(f"{seller.user_id}/{chapter}/{number}")
    status, has_finding = _FATES[number % len(_FATES)]
    anomaly = dice.choice(ANOMALIES)
    category = dice.choice(CATEGORIES)
    sku = f"{seller.email[:2].upper()}-{category[:3].upper()}-{dice.randrange(1000, 9999)}"
    loss = _LOSSES[anomaly].format(units=dice.randrange(2, 48), sku=sku, warehouse=dice.choice(_WAREHOUSES))
    amount_cents = round(min(9500.0, max(6.0, dice.lognormvariate(5.1, 0.9))) * 100)
    # Amazon now and then closes a case with less than was asked.
    is_partial = status == "paid" and has_finding and number // len(_FATES) % 2 == 1

    age = timedelta(hours=2) + number * PACE + dice.random() * (PACE - timedelta(hours=2))
    created_at = anchor - age
    was_submitted = has_finding and status != "pending"
    is_decided = status in ("approved", "rejected", "paid")
    submitted_at = created_at + min(timedelta(minutes=dice.uniform(5, 90)), age * 0.1)
    resolved_at = created_at + min(timedelta(days=dice.uniform(3, 14)), age * dice.uniform(0.4, 0.8))
    return Story(
        seller=seller,
        number=number,
        status=status,
        has_finding=has_finding,
        is_partial=is_partial,
        anomaly=anomaly,
        category=category,
        sku=sku,
        description=None if number % 9 == 4 else loss,
        amount_cents=amount_cents,
        awarded_cents=round(amount_cents * 0.6) if is_partial else amount_cents,
        found_at=created_at - timedelta(minutes=dice.uniform(20, 180)),
        created_at=created_at,
        submitted_at=submitted_at if was_submitted else None,
        resolved_at=resolved_at if is_decided else None,
        dice=dice,
    )
