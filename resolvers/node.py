"""Query.node: any object by its id; the type in the id says whose it is."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers.claims.claim import Claim
from resolvers.context import Info
from resolvers.costs import (
    CLAIM_OF_DOCUMENT,
    CLAIMS_NAMED,
    COST_DOCS,
    DETECTIONS,
    DOCUMENTS_NAMED,
    INTEGRATIONS,
    REFUND_ENGINE,
    RUNS_NAMED,
    SYNCS,
    SYNCS_NAMED,
    TRANSACTIONS,
    Calls,
    keyed,
    once,
)
from resolvers.detections import Detection
from resolvers.documents import Document
from resolvers.fields import CALLS
from resolvers.global_ids import Node, type_and_key
from resolvers.integrations import Integration
from resolvers.payments import Payment
from resolvers.service_health import ServiceHealth
from resolvers.syncs import DetectionRun, Sync

NODE_TYPES = {
    "Claim": Claim,
    "Detection": Detection,
    "DetectionRun": DetectionRun,
    "Document": Document,
    "Integration": Integration,
    "Payment": Payment,
    "ServiceHealth": ServiceHealth,
    "Sync": Sync,
}

# What `resolve_reference` asks for so many different ids of a type. A type that is not here asks nobody.
REFERENCES: dict[str, tuple[Calls, ...]] = {
    "Claim": (CLAIMS_NAMED,),
    "Detection": (DETECTIONS,),
    "DetectionRun": (RUNS_NAMED,),
    "Document": (DOCUMENTS_NAMED, CLAIM_OF_DOCUMENT),
    "Integration": (once(INTEGRATIONS, shared="listIntegrationStatuses"),),
    "Payment": (TRANSACTIONS,),
    "Sync": (SYNCS_NAMED,),
}


@strawberry.type
class NodeQueries:
    @strawberry.field(
        description=(
            "Any object by its ID; null without an error when there is none. Its owner follows from the type "
            "in the ID."
        ),
        # One of these, by the type in the id; which one is not known before it is read.
        metadata={CALLS: (keyed(REFUND_ENGINE), once(COST_DOCS), DETECTIONS, SYNCS, TRANSACTIONS)},
    )
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Global ID.")]
    ) -> Node | None:
        type_name, key = type_and_key(id)
        found: Node | None = await NODE_TYPES[type_name].by_key(info, key)  # type: ignore[attr-defined]
        return found
