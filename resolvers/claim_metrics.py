"""ClaimMetrics: figures about all claims. Owned by the refund engine, which keeps no windows of time.

field                           asks              loader
Dashboard.claimMetrics          refund engine     claim_stats
ClaimMetrics.inProgressAmount   refund engine     claims_in_state
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal

import strawberry

from clients.errors import ResultTooLarge
from clients.refund_engine import ClaimStatsRecord
from clients.transport import Answer
from resolvers.context import Info
from resolvers.costs import REFUND_ENGINE, once
from resolvers.fields import asks
from resolvers.money import Money, money


@strawberry.type(
    description=("Figures about all claims, since the beginning: the refund engine keeps no windows.")
)
class ClaimMetrics:
    total_count: int = strawberry.field(description="All claims.")
    pending_count: int = strawberry.field(description="Claims in PENDING.")
    processing_count: int = strawberry.field(description="Claims in PROCESSING.")
    approved_count: int = strawberry.field(description="Claims in APPROVED.")
    rejected_count: int = strawberry.field(description="Claims in REJECTED.")
    paid_count: int = strawberry.field(
        description=("Claims in PAID: the total less the four above, because the owner does not count them.")
    )
    claimed_amount: Money = strawberry.field(
        description="Sum asked for in all claims, whatever became of them."
    )
    success_rate: float | None = strawberry.field(
        description=(
            "Share of decided claims that were approved or paid, 0 to 1; null when none was decided."
        )
    )
    average_success_probability: float | None = strawberry.field(
        description="Mean stored probability of success, 0 to 1; null when no claim has a prediction."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def from_stats(cls, answer: Answer[ClaimStatsRecord]) -> ClaimMetrics:
        stats = answer.value
        # The database allows exactly five states, so what the four counters leave over is paid.
        paid = stats.total - stats.pending - stats.processing - stats.approved - stats.rejected
        won = stats.approved + paid
        decided = won + stats.rejected
        return cls(
            total_count=stats.total,
            pending_count=stats.pending,
            processing_count=stats.processing,
            approved_count=stats.approved,
            rejected_count=stats.rejected,
            paid_count=paid,
            claimed_amount=money(stats.total_amount or Decimal(0)),
            success_rate=won / decided if decided else None,
            average_success_probability=None if stats.avg_prediction is None else float(stats.avg_prediction),
            as_of=answer.as_of,
        )

    @asks(
        once(REFUND_ENGINE, pages=6, expected=2, hops=1),  # pending and processing, three pages of 200 each
        optional=True,
        description=(
            "Sum asked for in claims that are PENDING or PROCESSING. Two calls or more; null with "
            "RESULT_TOO_LARGE above 600 claims in either state."
        ),
    )
    async def in_progress_amount(self, info: Info) -> Money | None:
        ask = info.context.loaders.claims_in_state
        scans = await asyncio.gather(ask("pending"), ask("processing"))
        if not all(scan.complete for scan in scans):
            raise ResultTooLarge("refund-engine", "listClaims")
        return money(sum((claim.claim_amount for scan in scans for claim in scan.rows), Decimal(0)))
