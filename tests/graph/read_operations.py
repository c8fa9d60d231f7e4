"""Every stored read operation, with variables that give it the most to answer in a given world."""

from collections import Counter
from typing import Any

from graphql import OperationDefinitionNode, OperationType, parse

from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Row, Seller, World
from resolvers.connections import cursor
from resolvers.global_ids import global_id

Variables = dict[str, Any]


def read_operations() -> list[str]:
    """Names of the stored operations that are queries."""
    return [
        name
        for name, document in stored_operations().items()
        for node in parse(document).definitions
        if isinstance(node, OperationDefinitionNode) and node.operation is OperationType.QUERY
    ]


def variables_for(world: World, seller: Seller = SELLERS[0]) -> dict[str, Variables]:
    """Operation → variables that make sense for this seed; one that is missing here fails every drill."""
    claim = richest_claim(world, seller)
    document = uploaded_document(world, claim, by=seller.user_id)
    found_in = Counter(row["sync_id"] for row in detections_of(world, seller))
    sync_id = found_in.most_common(1)[0][0]
    claim_id, document_id = global_id("Claim", claim["id"]), global_id("Document", document["id"])
    return {
        "AppShell": {},
        "Billing": {},
        "CaseDetail": {"id": claim_id},
        "CaseDetailByNumber": {"caseNumber": claim["case_number"]},
        "CaseStatus": {"id": claim_id},
        "CaseTimelineNextPage": {"id": claim_id, "after": cursor(0)},
        "ClaimDocuments": {"claimId": claim_id},
        "ClaimLivePrediction": {"id": claim_id},
        "Dashboard": {},
        "DetectionRunDetail": {"id": global_id("DetectionRun", sync_id)},
        "Detections": {},
        "DocumentCostEstimate": {"id": document_id},
        "DocumentDetail": {"id": document_id},
        "DocumentEvidence": {"id": document_id},
        "DocumentLink": {"id": document_id},
        "EvidenceLocker": {},
        "HealthSummary": {},
        "IntegrationsHub": {},
        "OneServiceHealth": {"id": global_id("ServiceHealth", "refund-engine")},
        "PaymentMetrics": {},
        "RecoveriesList": {},
        "RecoveryMetrics": {},
        "Reports": {},
        "SearchRecoveries": {"query": claim["product_category"]},
        "SyncActivity": {},
        "SyncDetail": {"id": global_id("Sync", sync_id)},
        "SystemStatus": {},
    }


def claims_of(world: World, seller: Seller) -> list[Row]:
    """A seller's claims, newest first."""
    rows = [row for row in world.claims.values() if row["user_id"] == seller.user_id]
    return sorted(rows, key=lambda row: str(row["created_at"]), reverse=True)


def detections_of(world: World, seller: Seller) -> list[Row]:
    """A seller's findings, newest first."""
    rows = [row for row in world.detections.values() if row["seller_id"] == seller.user_id]
    return sorted(rows, key=lambda row: str(row["created_at"]), reverse=True)


def uploads_of(world: World, seller: Seller) -> list[Row]:
    """What a seller uploaded, newest first."""
    rows = [row for row in world.documents.values() if row["uploadedBy"] == seller.user_id]
    return sorted(rows, key=lambda row: str(row["uploadedAt"]), reverse=True)


def payments_of(world: World, seller: Seller) -> list[Row]:
    """A seller's charges, newest first."""
    rows = [row for row in world.transactions.values() if row["userId"] == seller.stripe_user_id]
    return sorted(rows, key=lambda row: (row["createdAt"], row["id"]), reverse=True)


def richest_claim(world: World, seller: Seller) -> Row:
    """The newest claim with a filing, an own document and a payment, or what comes closest to that."""
    filed = {row["case_number"] for row in world.disputes.values()}
    proved = {row["claimId"] for row in uploads_of(world, seller)}

    def riches(claim: Row) -> int:
        charged = claim["id"] in world.stripe_claim_ids
        return (claim["case_number"] in filed) + (claim["id"] in proved) + charged

    return max(claims_of(world, seller), key=riches)


def uploaded_document(world: World, claim: Row, *, by: str) -> Row:
    """A document of a claim that was uploaded by somebody."""
    return next(
        row for row in world.documents.values() if (row["claimId"], row["uploadedBy"]) == (claim["id"], by)
    )
