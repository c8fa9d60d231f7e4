"""How long the answer to each upstream operation may be repeated, and which write ends that.

fresh   repeated without asking: only where asking is dear and the answer moves slowly
stale   repeated when the owner cannot answer, with the time it was received

Money that was moved (charges, ledger) is not repeated stale: an old sum looks like a true one. Claims and
what hangs on them are, for ten minutes, because a seller looking at a claim is better served by ten minutes
ago than by nothing. Operations that are not listed are always asked.
"""

from dataclasses import dataclass

TEN_MINUTES_S = 600.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long one operation's answer may be repeated, in seconds."""

    fresh_s: float
    stale_s: float  # counted from when it was received; at least `fresh_s`


FRESHNESS: dict[str, Freshness] = {
    # refund engine
    "listClaims": Freshness(0, TEN_MINUTES_S),
    "getClaim": Freshness(0, TEN_MINUTES_S),
    "getClaimByCaseNumber": Freshness(0, TEN_MINUTES_S),
    "searchClaims": Freshness(0, TEN_MINUTES_S),
    "claimStats": Freshness(0, TEN_MINUTES_S),
    "listLedger": Freshness(0, 0),  # money that was moved
    # integrations
    "listIntegrationStatuses": Freshness(0, TEN_MINUTES_S),
    "listDisputes": Freshness(0, TEN_MINUTES_S),
    "listDetectionResults": Freshness(0, TEN_MINUTES_S),
    "detectionStatistics": Freshness(0, TEN_MINUTES_S),
    "listSyncHistory": Freshness(0, TEN_MINUTES_S),
    "getSyncStatus": Freshness(0, TEN_MINUTES_S),
    # cost docs: one call a claim, so it is spared for a minute
    "listDocumentsByClaim": Freshness(60, TEN_MINUTES_S),
    "searchDocuments": Freshness(0, TEN_MINUTES_S),
    "documentStats": Freshness(60, TEN_MINUTES_S),
    # getDocument carries a signed link: never kept
    # stripe: each account call asks Stripe and writes
    "getAccountStatus": Freshness(300, TEN_MINUTES_S),
    "listTransactions": Freshness(0, 0),  # money that was moved
}

_CLAIM_READS = ("listClaims", "getClaim", "getClaimByCaseNumber", "searchClaims", "claimStats")
_SYNC_READS = ("listSyncHistory", "getSyncStatus")
_CONNECTION_READS = ("listIntegrationStatuses",)

# Every write that is made, and the reads of the same service whose answers it can change: what the viewer was
# told by them before is not repeated after it.
OUTDATES: dict[str, tuple[str, ...]] = {
    # refund engine
    "createClaim": _CLAIM_READS,
    "updateClaim": _CLAIM_READS,
    # integrations
    "startSync": _SYNC_READS,
    "cancelSync": _SYNC_READS,
    "runDetection": (*_SYNC_READS, "listDetectionResults", "detectionStatistics"),
    "createDispute": ("listDisputes", "listDetectionResults", "detectionStatistics"),
    "submitDispute": ("listDisputes", "detectionStatistics"),
    "startAmazonOAuth": _CONNECTION_READS,
    "connectGmail": _CONNECTION_READS,
    "connectStripe": _CONNECTION_READS,
    "reconnectIntegration": _CONNECTION_READS,
    "disconnectIntegration": _CONNECTION_READS,
    # cost docs: what it makes is in no list that is read
    "generateAuto": (),
    # stripe
    "chargeCommission": ("listTransactions",),
    "createCustomerSetup": (),
}
