"""The table: one row is one route, nothing else is written by hand.

Rows of one address stand together: the first whose `when` is in the query answers. Older and newer spellings
of an address are rows of their own.
"""

from bff.rest.row import Row
from bff.rest.values import body, choice, enum, fixed, flag, gid, key, limit, never, offset, path, query
from clients.directory import SERVICES
from resolvers.claims.claim import ClaimStatus
from resolvers.integrations import IntegrationProvider
from resolvers.mutations.syncs import SyncKind

WINDOWS = {"7d": "LAST_7_DAYS", "30d": "LAST_30_DAYS", "90d": "LAST_90_DAYS", "1y": "LAST_365_DAYS"}

CLAIM = {"id": gid("Claim", path("id"))}
DOCUMENT = {"id": gid("Document", path("id"))}
TEN_ROWS = {"first": limit(10), "after": offset()}
TWENTY_ROWS = {"first": limit(20), "after": offset()}
SYNC = {"id": gid("Sync", query("id"), required=True)}
SERVICE = {"id": gid("ServiceHealth", path("service_name"), keys=[service.name for service in SERVICES])}


CLAIM_TO_SUBMIT = {"input.claimId": gid("Claim", path("id")), "input.idempotencyKey": key()}
SYNC_TO_START = {
    "input.kind": enum(SyncKind, body("syncType"), default=SyncKind.INVENTORY),
    "input.runDetection": flag(body("enableDetection"), default=True),
    "input.idempotencyKey": key(),
}


def get(path: str, operation: str, response: str, says: str, /, **more: object) -> Row:
    return Row("GET", path, operation, response, says, **more)  # type: ignore[arg-type]


def post(path: str, operation: str, response: str, says: str, /, **more: object) -> Row:
    return Row("POST", path, operation, response, says, **more)  # type: ignore[arg-type]


TABLE = (
    # Production API endpoints
    post(
        "/api/integrations/connect",
        "ConnectIntegration",
        "connectIntegration.authorizationUrl",
        "Begin to connect a system: where to send the browser for consent.",
        variables={
            "input.provider": enum(
                IntegrationProvider, query("integration_type"), body("provider"), required=True
            ),
            "input.reconnect": flag(body("reconnect"), default=False),
        },
    ),
    post(
        "/api/integrations/sync/start",
        "StartSync",
        "startSync.sync",
        "Start a sync.",
        variables=SYNC_TO_START,
        success=202,
    ),
    get("/api/integrations/sync/status", "SyncDetail", "sync", "One sync.", when="id", variables=SYNC),
    get(
        "/api/integrations/sync/status",
        "SyncActivity",
        "syncs.edges[0].node",
        "The latest sync.",
        variables={"first": fixed(1)},
    ),
    get(
        "/api/integrations/sync/activity", "SyncActivity", "syncs", "Syncs, newest first.", variables=TEN_ROWS
    ),
    get(
        "/api/recoveries",
        "RecoveriesList",
        "claims",
        "Claims, newest first.",
        variables={**TWENTY_ROWS, "filter.status": enum(ClaimStatus, query("status"))},
    ),
    get(
        "/api/recoveries/{id}",
        "CaseDetail",
        "claim",
        "One claim, with its filing, timeline, findings, documents and payments.",
        variables=CLAIM,
    ),
    get(
        "/api/recoveries/{id}/status",
        "CaseStatus",
        "claim",
        "Where a claim stands, and how it came there.",
        variables=CLAIM,
    ),
    post(
        "/api/recoveries/{id}/submit",
        "SubmitClaim",
        "submitClaim.claim",
        "File a claim with Amazon.",
        variables=CLAIM_TO_SUBMIT,
    ),
    get(
        "/api/documents",
        "ClaimDocuments",
        "claim.documents",
        "The documents of one claim.",
        when="claim_id",
        variables={"claimId": gid("Claim", query("claim_id")), **TWENTY_ROWS},
    ),
    get(
        "/api/documents",
        "EvidenceLocker",
        "documents",
        "The caller's documents, newest first.",
        variables=TWENTY_ROWS,
    ),
    get("/api/documents/{id}", "DocumentDetail", "document", "One document.", variables=DOCUMENT),
    get(
        "/api/documents/{id}/view",
        "DocumentLink",
        "document.signedUrl",
        "A fresh link to the file. Ask on click; never keep it.",
        variables=DOCUMENT,
    ),
    get(
        "/api/documents/{id}/download",
        "DocumentLink",
        "document.signedUrl",
        "The same link as `view`: the owner signs one for both.",
        variables=DOCUMENT,
    ),
    post(
        "/api/detections/run",
        "RunDetection",
        "runDetection.detectionRun",
        "Search the data of a sync for findings; of the latest one, when none is named.",
        variables={"input.syncId": gid("Sync", body("syncId")), "input.idempotencyKey": key()},
        success=202,
    ),
    get(
        "/api/detections/status/{id}",
        "DetectionRunDetail",
        "detectionRun",
        "One detection run and what it found. Its id is that of its sync.",
        variables={"id": gid("DetectionRun", path("id"))},
    ),
    get(
        "/api/metrics/recoveries",
        "RecoveryMetrics",
        "dashboard.claimMetrics",
        "Figures about all claims, since the beginning.",
        refuses=(never(query("period"), "no service keeps windows of claims"),),
    ),
    get(
        "/api/metrics/payments",
        "PaymentMetrics",
        "dashboard.paymentMetrics",
        "Figures about payments of a period.",
        variables={"window": choice(WINDOWS, query("period"), default="LAST_30_DAYS")},
    ),
    get(
        "/api/metrics/dashboard",
        "Dashboard",
        "dashboard",
        "Everything the first screen shows. Each part is null only while its owner cannot answer.",
        variables={"window": choice(WINDOWS, query("window"), default="LAST_30_DAYS")},
    ),
    # Health and status
    get(
        "/health",
        "HealthSummary",
        "serviceHealth",
        "States of the services, for probes. 200 always: the state is in the body.",
        caller=False,
    ),
    get(
        "/api/services/status", "SystemStatus", "serviceHealth", "Health of every service, from our monitor."
    ),
    get(
        "/api/services/{service_name}/health",
        "OneServiceHealth",
        "node",
        "Health of one service.",
        variables=SERVICE,
        asks=False,
    ),
    # Paths that differ between the documents and the screens
    get(
        "/api/v1/integrations/status",
        "IntegrationsHub",
        "integrations",
        "Every system that can be connected, connected or not.",
    ),
    get(
        "/api/v1/integrations/connect-amazon",
        "ConnectIntegration",
        "connectIntegration.authorizationUrl",
        "Begin to connect Amazon: where to send the browser for consent.",
        variables={"input.provider": fixed("AMAZON")},
    ),
    get(
        "/api/v1/integrations/connect-docs",
        "ConnectIntegration",
        "connectIntegration.authorizationUrl",
        "Begin to connect a source of documents, of which Gmail is the only one.",
        variables={"input.provider": choice({"gmail": "GMAIL"}, query("provider"), required=True)},
    ),
    post(
        "/api/v1/integrations/disconnect",
        "DisconnectIntegration",
        "disconnectIntegration.integration",
        "Disconnect a system. What was fetched from it stays.",
        variables={"input.provider": enum(IntegrationProvider, query("provider"), required=True)},
        refuses=(never(query("purge"), "no service deletes fetched data", unless="false"),),
    ),
    post(
        "/api/sync/start",
        "StartSync",
        "startSync.sync",
        "Start a sync.",
        variables=SYNC_TO_START,
        success=202,
    ),
    get("/api/sync/status", "SyncDetail", "sync", "One sync.", variables=SYNC),
    get("/api/sync/activity", "SyncActivity", "syncs", "Syncs, newest first.", variables=TEN_ROWS),
    post(
        "/api/sync/cancel",
        "CancelSync",
        "cancelSync.sync",
        "Stop a sync.",
        variables={"input.syncId": gid("Sync", query("id"), required=True)},
    ),
    post(
        "/api/claims/{id}/submit",
        "SubmitClaim",
        "submitClaim.claim",
        "File a claim with Amazon.",
        variables=CLAIM_TO_SUBMIT,
    ),
    get("/api/detections/history", "SyncActivity", "syncs", "Syncs, newest first.", variables=TEN_ROWS),
    get("/api/auth/me", "AppShell", "viewer", "Who is asking, read from the token."),
)
