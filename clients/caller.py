"""Who asks, and until when.

Viewer      the person a verified token names
Deadline    when the answer must leave
ServiceUse  what one operation asked of one service, and how it was answered
Caller      all of it, as every upstream call of one operation carries it
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any


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

    def end(self) -> None:
        """Let it have passed."""
        self._ends_at_s = min(self._ends_at_s, time.monotonic())

    def stretch_to(self, other: "Deadline") -> None:
        """Move it to where another one lies, if that is later."""
        self._ends_at_s = max(self._ends_at_s, other._ends_at_s)


class Freshest(Enum):
    """How an operation was answered by a service, the worst first."""

    MISSING = "MISSING"  # at least one question was not answered at all
    STALE = "STALE"  # at least one answer is an old one, because the owner could not give a new one
    LIVE = "LIVE"  # at least one answer came from the service just now
    CACHED = "CACHED"  # all answers were repeated while they were fresh


@dataclass(slots=True)
class ServiceUse:
    """What one operation asked of one service."""

    calls: int = 0  # questions asked
    attempts: int = 0  # requests that left for it
    waited_ms: float = 0.0  # summed over the calls, which may run side by side
    answers: set[Freshest] = field(default_factory=set)

    @property
    def state(self) -> Freshest:
        """The worst answer."""
        return next((state for state in Freshest if state in self.answers), Freshest.LIVE)


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf one operation asks upstreams, and how long it may wait."""

    viewer: Viewer | None  # None: the BFF asks for itself, as the health monitor does
    deadline: Deadline
    uses: dict[str, ServiceUse] = field(default_factory=dict)  # by service
    rehearsed: Mapping[str, Any] = field(default_factory=dict)  # faults that this operation wants to see
    wants_news: bool = False  # only what owners say now helps: nothing kept, fresh or stale
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)  # who waits for a service just now

    def use_of(self, upstream: str) -> ServiceUse:
        """The account of one service, opened at the first call."""
        use = self.uses.get(upstream)
        if use is None:
            use = self.uses[upstream] = ServiceUse()
        return use

    def leave(self) -> None:
        """Nobody waits for the answer any more: end what is under way, and let nothing begin."""
        self.deadline.end()
        for task in self.under_way:
            task.cancel()
