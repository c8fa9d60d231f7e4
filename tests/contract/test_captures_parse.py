"""What the real services answered, through our clients: every captured answer means what we say it means.

`tests/captures/<service>.jsonl` holds one recorded exchange a line: service, name, variant (which code
answered), method, path, status, retry_after, body; `curl_exit` where there was no HTTP answer (status 0).
"""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import respx
import yaml

from clients.caller import Caller, Deadline, Viewer
from clients.directory import SERVICES, Clients, Directory
from clients.errors import (
    PaymentAccountMissing,
    UpstreamAuthFailed,
    UpstreamConflict,
    UpstreamError,
    UpstreamFailed,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from clients.freshness import OUTDATES
from clients.predictor import ClaimFeatures
from clients.shelf import MemoryShelf
from clients.transport import Page, UpstreamSettings

CAPTURES = Path(__file__).parents[1] / "captures"
EXCHANGES = [
    json.loads(line)
    for service in SERVICES
    for line in (CAPTURES / f"{service.name}.jsonl").read_text("utf-8").splitlines()
]
FEATURES = ClaimFeatures(
    claim_amount="1",
    customer_history_score="0.5",
    product_category="a",
    days_since_purchase=1,
    claim_description=None,
)


@dataclass(frozen=True)
class Operation:
    """One question that a client asks."""

    name: str
    service: str
    path: str  # a pattern, without the query
    succeeded: int  # captured 2xx answers
    ask: Callable[[Clients], Awaitable[Any]]
    rows: str = ""  # where a list keeps its rows in the body
    method: str = "GET"


UUID = "[0-9a-f]{8}-[0-9a-f-]{27}"
OPERATIONS = [
    Operation("listClaims", "refund-engine", "/api/v1/claims", 13,
              lambda c: c.refund_engine.claims_page(limit=9), "data"),
    Operation("claimStats", "refund-engine", "/api/v1/claims/stats", 2,
              lambda c: c.refund_engine.claim_stats()),
    Operation("searchClaims", "refund-engine", "/api/v1/claims/search", 2,
              lambda c: c.refund_engine.claims_found("x", limit=9), "data"),
    Operation("getClaimByCaseNumber", "refund-engine", "/api/v1/claims/case/[^/]+", 1,
              lambda c: c.refund_engine.claim_by_case_number("C-1")),
    Operation("getClaim", "refund-engine", f"/api/v1/claims/({UUID}|not-a-uuid)", 4,
              lambda c: c.refund_engine.claim("c")),
    Operation("listLedger", "refund-engine", "/api/v1/ledger", 4,
              lambda c: c.refund_engine.ledger_page(limit=9), "data"),
    Operation("createClaim", "refund-engine", "/api/v1/claims", 2,
              lambda c: c.refund_engine.create_claim(
                  case_number="C-1", claim_amount=Decimal("9.5"), customer_history_score=Decimal("0.5"),
                  product_category="toys", days_since_purchase=3), method="POST"),
    Operation("updateClaim", "refund-engine", f"/api/v1/claims/{UUID}", 5,
              lambda c: c.refund_engine.update_claim("c", {"product_category": "x"}), method="PUT"),
    Operation("refundEngineHealth", "refund-engine", "/health", 3,
              lambda c: c.refund_engine.health()),
    Operation("listIntegrationStatuses", "integrations", "/api/v1/integrations/status", 3,
              lambda c: c.integrations.integrations(), "data"),
    Operation("listDisputes", "integrations", "/api/enhanced-detection/disputes", 3,
              lambda c: c.integrations.disputes_page(limit=9), "data.cases"),
    Operation("listDetectionResults", "integrations", "/api/enhanced-detection/results", 4,
              lambda c: c.integrations.detections_page(limit=9), "data"),
    Operation("detectionStatistics", "integrations", "/api/enhanced-detection/statistics", 1,
              lambda c: c.integrations.detection_statistics()),
    Operation("listSyncHistory", "integrations", "/api/v1/integrations/sync/history", 1,
              lambda c: c.integrations.syncs_page(limit=9), "data"),
    Operation("getSyncStatus", "integrations", "/api/v1/integrations/sync/status/[^/]+", 1,
              lambda c: c.integrations.sync("s")),
    Operation("startSync", "integrations", "/api/v1/integrations/sync/start", 1,
              lambda c: c.integrations.start_sync("inventory"), method="POST"),
    Operation("cancelSync", "integrations", "/api/enhanced-sync/cancel/[^/]+", 0,  # its twin was captured
              lambda c: c.integrations.cancel_sync("s"), method="DELETE"),
    Operation("runDetection", "integrations", "/api/v1/integrations/detections/run", 0,  # broken as published
              lambda c: c.integrations.run_detection("s"), method="POST"),
    Operation("createDispute", "integrations", "/api/enhanced-detection/disputes", 1,
              lambda c: c.integrations.open_dispute(
                  detection_id="d", claim_amount=Decimal("9.5"), currency="USD"), method="POST"),
    Operation("submitDispute", "integrations", f"/api/enhanced-detection/disputes/{UUID}/submit", 1,
              lambda c: c.integrations.submit_dispute("d"), method="POST"),
    Operation("startAmazonOAuth", "integrations", "/api/amazon/auth", 1,
              lambda c: c.integrations.connect("amazon")),
    Operation("connectGmail", "integrations", "/api/gmail/connect", 0,  # Google was out of reach
              lambda c: c.integrations.connect("gmail"), method="POST"),
    Operation("connectStripe", "integrations", "/api/stripe/connect", 0,  # and so was Stripe
              lambda c: c.integrations.connect("stripe"), method="POST"),
    Operation("reconnectIntegration", "integrations", "/api/v1/integrations/reconnect/[^/]+", 2,
              lambda c: c.integrations.reconnect("gmail"), method="PATCH"),
    Operation("disconnectIntegration", "integrations", "/api/[^/]+/disconnect", 0,  # nothing to revoke there
              lambda c: c.integrations.disconnect("gmail"), method="DELETE"),
    Operation("integrationsHealth", "integrations", "/health", 4,
              lambda c: c.integrations.health()),
    Operation("listDocumentsByClaim", "cost-docs", "/api/v1/cost-docs/claim/[^/]+", 6,
              lambda c: c.cost_docs.documents_of_claim("c"), "data.documents"),
    Operation("documentStats", "cost-docs", "/api/v1/cost-docs/stats/overview", 2,
              lambda c: c.cost_docs.document_stats()),
    Operation("searchDocuments", "cost-docs", "/api/v1/cost-docs/search", 0,  # hidden as published
              lambda c: c.cost_docs.documents_uploaded_by("u", limit=9), "data.documents"),
    Operation("getDocument", "cost-docs", f"/api/v1/cost-docs/({UUID}|xyz)", 2,
              lambda c: c.cost_docs.document("d")),
    Operation("generateAuto", "cost-docs", "/api/v1/cost-documentation/generate/auto", 1,
              lambda c: c.cost_docs.generate_document(
                  detection_id="d", evidence_type="lost_units", sku="S", seller_id="u",
                  total_loss=Decimal(5), detected_at=datetime(2026, 1, 1, tzinfo=UTC)), method="POST"),
    Operation("costDocsHealth", "cost-docs", "/health", 4,
              lambda c: c.cost_docs.health()),
    Operation("listTransactions", "stripe", "/api/v1/stripe/transactions/[^/]+", 15,
              lambda c: c.stripe.transactions_page(limit=9), "data.transactions"),
    Operation("getAccountStatus", "stripe", "/api/v1/stripe/status/[^/]+", 0,  # Stripe was out of reach
              lambda c: c.stripe.account()),
    Operation("chargeCommission", "stripe", "/api/v1/stripe/charge-commission", 7,
              lambda c: c.stripe.charge(
                  stripe_claim_id=7, recovered_cents=500, currency="usd", idempotency_key=uuid4()),
              method="POST"),
    Operation("createCustomerSetup", "stripe", "/api/v1/stripe/create-customer-setup", 0,  # out of reach
              lambda c: c.stripe.create_card_setup(email="a@example.test", name=None), method="POST"),
    Operation("stripeHealth", "stripe", "/health", 5,
              lambda c: c.stripe.health()),
    Operation("validateCompliance", "mcde", "/validate-compliance", 1,
              lambda c: c.mcde.evidence_validation(claim_id="c", document_id="d"), method="POST"),
    Operation("estimateCost", "mcde", "/cost-estimate", 0,  # always 400 as published
              lambda c: c.mcde.cost_estimate(claim_id="c", document_id="d"), method="POST"),
    Operation("mcdeHealth", "mcde", "/health", 4,
              lambda c: c.mcde.health()),
    Operation("predictBatch", "predictor", "/predict-batch", 1,
              lambda c: c.predictor.predictions([FEATURES] * 2), "predictions", method="POST"),
    Operation("predictorHealth", "predictor", "/health", 1,
              lambda c: c.predictor.health()),
]  # fmt: skip

# Answers by which a service says "none": the method returns None.
NONE = {
    ("getClaim", 404),
    ("getClaimByCaseNumber", 404),
    ("getSyncStatus", 500),  # "Sync not found"
    ("getDocument", 404),
    ("searchDocuments", 404),  # another route takes "search" for an id
    ("getAccountStatus", 404),
    ("updateClaim", 404),
    ("createDispute", 500),  # a foreign key without a finding
}
DISGUISED: dict[tuple[str, int], type[UpstreamError]] = {
    ("chargeCommission", 500): PaymentAccountMissing,  # a foreign key without an account
}
ERRORS: dict[int, type[UpstreamError]] = {
    400: UpstreamRejected,
    401: UpstreamAuthFailed,
    403: UpstreamAuthFailed,
    404: UpstreamNotFound,
    409: UpstreamConflict,
    422: UpstreamRejected,
    429: UpstreamRateLimited,
    500: UpstreamFailed,
}
NO_ANSWER: dict[int, tuple[Exception, type[UpstreamError]]] = {  # by curl's exit code
    7: (httpx.ConnectError("refused"), UpstreamUnavailable),
    28: (TimeoutError(), UpstreamTimeout),
    52: (httpx.RemoteProtocolError("empty reply"), UpstreamUnavailable),
}


def operation_of(exchange: dict[str, Any]) -> Operation | None:
    """The question that this exchange answers."""
    path = exchange["path"].split("?")[0]
    for operation in OPERATIONS:
        asked = (operation.service, operation.method) == (exchange["service"], exchange["method"])
        if asked and re.fullmatch(operation.path, path):
            return operation
    return None


def cases(keep: Callable[[dict[str, Any]], bool]) -> list[Any]:
    return [
        pytest.param(exchange, id=f"{exchange['service']}-{exchange['name']}")
        for exchange in EXCHANGES
        if keep(exchange)
    ]


def clients_over(exchange: dict[str, Any]) -> Clients:
    """All clients, over a network that knows this one answer; asked as whom the exchange was about."""
    router = respx.MockRouter(assert_all_called=False)
    route = router.route(host=f"{exchange['service']}.test")
    if exchange["status"]:
        wait = {"retry-after": exchange["retry_after"]} if "retry_after" in exchange else {}
        route.respond(exchange["status"], json=exchange["body"], headers=wait)
    else:
        route.mock(side_effect=NO_ANSWER[exchange["curl_exit"]][0])
    settings = {
        service.name: UpstreamSettings.model_validate({"base_url": f"https://{service.name}.test"})
        for service in SERVICES
    }
    directory = Directory(
        settings,
        lambda _name, _settings: httpx.MockTransport(router.async_handler),
        shelf=MemoryShelf(),
        reserve_s=0.0,
        on_outcome=lambda _: None,
    )
    asked_for = re.search(r"/stripe/\w+/(\d+)(?:\?|$)", exchange["path"])
    viewer = Viewer(
        user_id="11111111-1111-4111-8111-111111111111",
        email=None,
        name=None,
        stripe_user_id=int(asked_for[1]) if asked_for else 101,
        scopes=frozenset(),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    return directory.clients_for(Caller(viewer, Deadline(10.0)))


def test_every_operation_has_its_captures():
    """The tests below would pass on an empty folder; and three methods have never been seen to succeed."""
    seen = Counter(
        operation.name
        for exchange in EXCHANGES
        if 200 <= exchange["status"] < 300 and (operation := operation_of(exchange))
    )

    assert dict(seen) == {op.name: op.succeeded for op in OPERATIONS if op.succeeded}


def test_every_write_is_known_as_one():
    """A write that `OUTDATES` does not name is retried, and what it changed is repeated as it was before."""
    contracts = {
        operation["operationId"]: operation
        for path in sorted((Path(__file__).parent / "openapi").glob("*.yaml"))
        for item in yaml.safe_load(path.read_text("utf-8"))["paths"].values()
        for operation in item.values()
    }
    writes = {op.name for op in OPERATIONS if contracts[op.name].get("x-writes")}

    assert writes == set(OUTDATES)
    assert {read for reads in OUTDATES.values() for read in reads} <= {op.name for op in OPERATIONS} - writes


def test_every_capture_is_read():
    """An exchange that fits no operation is read by no test: only crashes of calls not asked here may."""
    unread = [e["name"] for e in EXCHANGES if operation_of(e) is None and e["status"] != 0]

    assert unread == []


@pytest.mark.parametrize("exchange", cases(lambda e: 200 <= e["status"] < 300))
async def test_a_captured_success_parses(exchange):
    """A record stricter than the service is an outage of our own making; a lost row is lost money."""
    operation = operation_of(exchange)

    answer = await operation.ask(clients_over(exchange))

    assert answer is not None
    if operation.rows:
        rows = answer.rows if isinstance(answer, Page) else answer.value
        assert len(rows) == len(reduce(getitem, operation.rows.split("."), exchange["body"]))


@pytest.mark.parametrize("exchange", cases(lambda e: e["status"] >= 300))
async def test_a_captured_error_is_told_by_name(exchange):
    """Each real error body becomes the one error that the graph's clients decide by, or an honest "none"."""
    operation = operation_of(exchange)
    clients = clients_over(exchange)

    if (operation.name, exchange["status"]) in NONE:
        assert await operation.ask(clients) is None
        return

    with pytest.raises(UpstreamError) as raised:
        await operation.ask(clients)

    status = exchange["status"]
    assert type(raised.value) is DISGUISED.get((operation.name, status), ERRORS[status])
    assert raised.value.maybe_done is (operation.name in OUTDATES and type(raised.value) is UpstreamFailed)
    wait = exchange.get("retry_after")
    assert raised.value.retry_after_ms == (int(wait) * 1000 if wait else None)


@pytest.mark.parametrize("exchange", cases(lambda e: e["status"] == 0))
async def test_a_captured_silence_is_told_by_name(exchange):
    """Refused, died in mid-answer, hung: all really seen, some at calls that only mutations will make."""
    operation = operation_of(exchange) or next(op for op in OPERATIONS if op.service == exchange["service"])

    with pytest.raises(UpstreamError) as raised:
        await operation.ask(clients_over(exchange))

    assert type(raised.value) is NO_ANSWER[exchange["curl_exit"]][1]
