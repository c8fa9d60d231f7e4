"""Who asks, and until when.

Viewer    the person a verified token names
Deadline  when the answer must leave
Caller    both, as every upstream call of one operation carries them
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person the token was issued to; read from the verified token, never from a service."""

    user_id: str  # canonical UUID text: the same at every service but stripe
    email: str | None
    name: str | None
    stripe_user_id: int | None  # None: the issuer knows no payment identity for this person
    scopes: frozenset[str]
    expires_at: datetime


class Deadline:
    """When the answer of one operation must leave, on the monotonic clock."""

    __slots__ = ("_ends_at_s",)

    def __init__(self, budget_s: float) -> None:
        self._ends_at_s = time.monotonic() + budget_s

    def remaining_s(self) -> float:
        """Seconds left, negative once it has passed."""
        return self._ends_at_s - time.monotonic()


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf one operation asks upstreams, and how long it may wait."""

    viewer: Viewer | None  # None: the BFF asks for itself, as the health monitor does
    deadline: Deadline
    calls: Counter[str] = field(default_factory=Counter)  # upstream requests made, by service
