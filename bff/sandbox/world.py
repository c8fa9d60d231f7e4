"""The world the six services share: every row, in the words and types that go over the wire.

Only rows are stored. Counts, sums and averages are worked out from them on each request, so the
figures of a service always add up, also after a row was added or changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


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

    # cost-docs; every row carries its whole `auditLogs`, newest first
    documents: dict[str, Row] = field(default_factory=dict)

    # stripe; every row carries its whole `auditTrail`, newest first
    transactions: dict[int, Row] = field(default_factory=dict)
    accounts: dict[int, Row] = field(default_factory=dict)  # by stripe user id
    stripe_claim_ids: dict[str, int] = field(default_factory=dict)
    """Claim UUID -> the integer stripe knows the claim by. No service stores this; a BFF has to."""

    # predictor
    predictions_made: int = 0
    model_loaded: bool = True
