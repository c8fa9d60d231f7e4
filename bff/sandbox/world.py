"""The world the six services share: every row, in the words and types that go over the wire.

Only rows are stored. Counts, sums and averages are worked out from them on each request, so the
figures of a service always add up, also after a row was added or changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from bff.sandbox import pace

Row: TypeAlias = dict[str, Any]


class Write(NamedTuple):
    """Something a service really did, once; what it refused, or answered from memory, is none."""

    service: str
    operation: str
    facts: Row


@dataclass(frozen=True)
class Seller:
    """Somebody who sells: known by a UUID everywhere, and by an integer at stripe."""

    user_id: str
    email: str
    name: str
    stripe_user_id: int


@dataclass
class World:
    """All rows of all six services; a table is a dict by primary key, in order of insertion."""

    anchor: datetime
    """Midnight the seeded story leads up to: nothing seeded has happened after it."""

    # refund-engine
    claims: dict[str, Row] = field(default_factory=dict)
    ledger: dict[str, Row] = field(default_factory=dict)
    database_connected: bool = True

    # integrations
    connections: dict[str, Row] = field(default_factory=dict)
    syncs: dict[str, Row] = field(default_factory=dict)  # by sync_id
    detections: dict[str, Row] = field(default_factory=dict)
    disputes: dict[str, Row] = field(default_factory=dict)
    triggers: list[Row] = field(default_factory=list)
    """Who had which sync searched: `seller_id`, `sync_id`, `fired_at` (a datetime), `status`."""
    sync_starts: dict[str, datetime] = field(default_factory=dict)
    """The syncs that move with the clock, by sync_id; those of the seed stand still."""
    sync_step_s: float = 12.0
    """How long each of the five steps takes: a sync is watched for a minute."""

    # cost-docs; every row carries its whole `auditLogs`, newest first
    documents: dict[str, Row] = field(default_factory=dict)

    document_jobs: int = 0
    """How many documents were asked to be generated; the queue numbers them. None is ever done."""

    # stripe; every row carries its whole `auditTrail`, newest first
    transactions: dict[int, Row] = field(default_factory=dict)
    accounts: dict[int, Row] = field(default_factory=dict)  # by stripe user id
    stripe_claim_ids: dict[str, int] = field(default_factory=dict)
    """Claim UUID -> the integer stripe knows the claim by. No service stores this; a BFF has to."""
    customers: dict[str, str] = field(default_factory=dict)
    """Stripe customer ids, by the user id that was sent, as text."""
    replays: dict[tuple[str, str], tuple[datetime, Row]] = field(default_factory=dict)
    """(user, idempotency key) -> when and what stripe answered; it forgets after 24 hours."""

    # predictor
    predictions_made: int = 0
    model_loaded: bool = True

    writes: list[Write] = field(default_factory=list)

    def note(self, service: str, operation: str, **facts: Any) -> None:
        """Enter a write in the book; ``operation`` as the contract names it."""
        self.writes.append(Write(service, operation, facts))

    def finish_syncs(self, status: str = "completed") -> None:
        """Bring every running sync to its end, and every search that goes on, without waiting for them.

        Args:
            status: how the syncs end, ``completed`` or ``failed``.
        """
        pace.finish(self, status)
