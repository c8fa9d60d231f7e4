"""PaymentMetrics: figures about payments, added up here from at most the 500 latest. Owned by stripe.

field                      asks       loader
Dashboard.paymentMetrics   stripe     payments_since
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import Enum

import strawberry

from clients.stripe import TransactionRecord
from resolvers.context import Info
from resolvers.money import Money, cents
from resolvers.payments import PAYMENT_STATUS, PaymentStatus, is_paid_out
from resolvers.words import described


@strawberry.enum(description="How far back figures reach.")
class MetricsWindow(Enum):
    LAST_7_DAYS = described(7, name="LAST_7_DAYS", description="The last 7 days.")
    LAST_30_DAYS = described(30, name="LAST_30_DAYS", description="The last 30 days.")
    LAST_90_DAYS = described(90, name="LAST_90_DAYS", description="The last 90 days.")
    LAST_365_DAYS = described(365, name="LAST_365_DAYS", description="The last 365 days.")
    ALL_TIME = described(0, name="ALL_TIME", description="Since the beginning.")

    def start(self) -> datetime | None:
        """Where the window begins; None for all time."""
        return datetime.now(UTC) - timedelta(days=self.value) if self.value else None


# No money stands behind these: they are counted and not added up.
WITHOUT_MONEY = {
    PaymentStatus.FAILED,
    PaymentStatus.CANCELLED,
    PaymentStatus.REFUNDED,
    PaymentStatus.UNKNOWN,
}


@strawberry.type(
    description=(
        "Sums of payments in one currency. FAILED, CANCELLED, REFUNDED and UNKNOWN ones are in `count` only."
    )
)
class PaymentTotals:
    count: int = strawberry.field(description="Payments of any state.")
    recovered_amount: Money = strawberry.field(description="What Amazon paid.")
    commission_amount: Money = strawberry.field(description="What Opside keeps or is to keep.")
    payout_amount: Money = strawberry.field(description="What the seller keeps.")
    paid_out_amount: Money = strawberry.field(description="Part of `payoutAmount` already paid out.")

    @classmethod
    def of(cls, currency: str, rows: list[TransactionRecord]) -> PaymentTotals:
        moved = [row for row in rows if PAYMENT_STATUS.value(row.status) not in WITHOUT_MONEY]

        def total(among: Iterable[TransactionRecord], part: Callable[[TransactionRecord], int]) -> Money:
            return cents(sum(map(part, among)), currency)

        return cls(
            count=len(rows),
            recovered_amount=total(moved, lambda row: row.recovered_cents),
            commission_amount=total(moved, lambda row: row.fee_cents),
            payout_amount=total(moved, lambda row: row.payout_cents),
            paid_out_amount=total(filter(is_paid_out, moved), lambda row: row.payout_cents),
        )


@strawberry.type(description="Figures about payments, added up by the BFF from at most the 500 latest.")
class PaymentMetrics:
    covers_since: datetime | None = strawberry.field(
        description=(
            "Start of what was really added up: the window's start, or the oldest of the 500 when they did "
            "not reach back so far. Null when it is everything there is."
        )
    )
    totals: list[PaymentTotals] = strawberry.field(
        description=(
            "Sums per currency, largest recovered amount first; empty when there is no payment. Nothing is "
            "converted."
        )
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    async def over(cls, info: Info, window: MetricsWindow) -> PaymentMetrics:
        start = window.start()
        scan = await info.context.loaders.payments_since(start)
        of_currency: defaultdict[str, list[TransactionRecord]] = defaultdict(list)
        for row in scan.rows:
            of_currency[row.currency.upper()].append(row)
        totals = [PaymentTotals.of(currency, rows) for currency, rows in of_currency.items()]
        return cls(
            covers_since=start if scan.complete else scan.rows[-1].created_at,
            totals=sorted(totals, key=lambda total: total.recovered_amount.amount, reverse=True),
            as_of=scan.as_of,
        )
