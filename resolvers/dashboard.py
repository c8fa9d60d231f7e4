"""Dashboard: the first screen in one query. It owns nothing; each branch fails alone.

field                        asks              loader
Dashboard.claimMetrics       refund engine     claim_stats
Dashboard.paymentMetrics     stripe            payments_since
Dashboard.detectionMetrics   integrations      detection_statistics
Dashboard.documentMetrics    cost docs         document_stats
Dashboard.recentClaims       refund engine     claims_page
Dashboard.health             nobody            the health monitor
"""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.claim_metrics import ClaimMetrics
from resolvers.claims.connection import ClaimConnection
from resolvers.connections import window
from resolvers.context import Info
from resolvers.costs import CLAIM_STATS, DOCUMENT_STATS, INTEGRATIONS, REFUND_ENGINE, TRANSACTIONS, once
from resolvers.detection_metrics import DetectionMetrics
from resolvers.document_metrics import DocumentMetrics
from resolvers.fields import asks
from resolvers.payment_metrics import MetricsWindow, PaymentMetrics
from resolvers.service_health import SystemHealth

RECENT_AT_MOST = 20


@strawberry.type(
    description=(
        "Everything the first screen shows. The object itself always exists; each branch is null only while "
        "its owner cannot answer."
    )
)
class Dashboard:
    @asks(CLAIM_STATS, scope="claims:read", description="Figures about claims.")
    async def claim_metrics(self, info: Info) -> ClaimMetrics | None:
        return ClaimMetrics.from_stats(await info.context.loaders.claim_stats())

    @asks(TRANSACTIONS, scope="payments:read", description="Figures about payments.")
    async def payment_metrics(
        self,
        info: Info,
        window: Annotated[
            MetricsWindow, strawberry.argument(description="How far back.")
        ] = MetricsWindow.LAST_30_DAYS,
    ) -> PaymentMetrics | None:
        return await PaymentMetrics.over(info, window)

    @asks(
        once(INTEGRATIONS, shared="detectionStatistics"),
        scope="detections:read",
        description="Figures about findings.",
    )
    async def detection_metrics(self, info: Info) -> DetectionMetrics | None:
        return DetectionMetrics.from_statistics(await info.context.loaders.detection_statistics())

    @asks(DOCUMENT_STATS, scope="documents:read", optional=True, description="Figures about documents.")
    async def document_metrics(self, info: Info) -> DocumentMetrics | None:
        return DocumentMetrics.from_stats(await info.context.loaders.document_stats())

    @asks(
        once(REFUND_ENGINE),
        scope="claims:read",
        description=("Claims that changed last, latest change first: what is new in the account."),
    )
    async def recent_claims(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many, 1 to 20.")] = 5,
    ) -> ClaimConnection | None:
        part = window(first, at_most=RECENT_AT_MOST)
        page = await info.context.loaders.claims_page(
            limit=part.first, sort_by="updated_at", sort_order="DESC"
        )
        return ClaimConnection.of_page(page, part)

    @strawberry.field(description="Health of the services. Never null.")
    def health(self, info: Info) -> SystemHealth:
        return SystemHealth.from_monitor(info.context.health, info.context.directory)


@strawberry.type
class DashboardQueries:
    @strawberry.field(description="The first screen, in one query. Never null.")
    def dashboard(self) -> Dashboard:
        return Dashboard()
