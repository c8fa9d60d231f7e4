"""The graph over what the real services once answered: their figures, in the graph's words."""

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from bff_under_test import GraphAnswer

from bff.app import create_app
from bff.cli import dev_settings
from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations
from resolvers.global_ids import global_id

CAPTURES = Path(__file__).parents[1] / "captures"
USER_ID, STRIPE_USER_ID = "11111111-1111-4111-8111-111111111111", 101
OLDEST, NEWEST = "d52fffb2-c7d7-4a79-afe2-b32619445ea7", "5df06823-dc24-49d0-99b5-2bf726cfd621"

ANSWERS = {
    ("refund-engine", r"/health"): "127-health-db-unreachable-200",
    ("refund-engine", r"/api/v1/claims"): "029-list-default",
    ("refund-engine", r"/api/v1/claims/stats"): "051-stats",
    ("refund-engine", r"/api/v1/claims/search"): "048-search",
    ("refund-engine", rf"/api/v1/claims/{OLDEST}"): "085-claim-after-discrepancy-case",
    ("refund-engine", r"/api/v1/ledger"): "062-ledger-list",
    ("refund-engine", rf"/api/v1/ledger\?.*case_id={OLDEST}"): "018-ledger-empty",
    ("integrations", r"/health"): "002-health",
    ("integrations", r"/api/v1/integrations/status"): "009-status-list",
    ("integrations", r"/api/v1/integrations/sync/history"): "022-alias-sync-history",
    ("integrations", r"/api/enhanced-detection/results"): "044-det-results",
    ("integrations", r"/api/enhanced-detection/statistics"): "048-det-statistics",
    ("integrations", r"/api/enhanced-detection/disputes"): "053-disputes",
    ("cost-docs", r"/health"): "001-health",
    ("cost-docs", r"/api/v1/cost-docs/claim/[0-9a-f-]{36}"): "068-by-claim",
    ("cost-docs", r"/api/v1/cost-docs/stats/overview"): "073-stats-overview",
    ("stripe", r"/health"): "004-health",
    ("stripe", rf"/api/v1/stripe/transactions/{STRIPE_USER_ID}"): "037-list-limit-1000",
    ("stripe", rf"/api/v1/stripe/status/{STRIPE_USER_ID}"): "012-status-404",
    ("mcde", r"/health"): "025-health-refund-down",
    ("predictor", r"/health"): "001-health",
    ("predictor", r"/predict-batch"): "006-predict-batch",
}  # later ones first

Ask = Callable[..., Any]


def captured(service: str, name: str) -> httpx.Response:
    lines = (CAPTURES / f"{service}.jsonl").read_text("utf-8").splitlines()
    [exchange] = [row for row in map(json.loads, lines) if row["name"] == name]
    # Two were asked for with a small limit, and are the whole list here: nothing must seem to be missing.
    body = exchange["body"]
    if name == "062-ledger-list":
        body["pagination"]["total"] = len(body["data"])
    if name == "053-disputes":
        body["data"]["total"] = len(body["data"]["cases"])
    return httpx.Response(exchange["status"], json=body)


def replay(service: str) -> httpx.MockTransport:
    """A service that answers as it was heard to answer, and nothing else."""
    answers = [
        (re.compile(path if "?" in path else path + r"(\?.*)?"), captured(service, name))
        for (of, path), name in reversed(ANSWERS.items())
        if of == service
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.raw_path.decode()
        found = next((answer for path, answer in answers if path.fullmatch(asked)), None)
        assert found is not None, f"nothing was captured for {service} {asked}"
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    return httpx.MockTransport(answer)


@pytest.fixture
async def ask(request: pytest.FixtureRequest) -> AsyncIterator[Ask]:
    """Ask, as the captured user, a BFF whose services replay.

    No service keeps the map of claims to stripe's integers: the parameter gives one a charge.
    """
    settings, charged = dev_settings(), getattr(request, "param", {OLDEST: 3})
    app = create_app(settings, base=lambda name, _: replay(name), stripe_claim_ids=charged)
    token = DevIssuer(settings.jwt_secret).token(
        user_id=USER_ID, email=None, name=None, stripe_user_id=STRIPE_USER_ID
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://bff.test",
            headers={"authorization": f"Bearer {token}"},
        ) as http,
    ):

        async def ask(document: str, **variables: Any) -> GraphAnswer:
            query = stored_operations().get(document, document)
            response = await http.post("/graphql", json={"query": query, "variables": variables})
            body = response.json()
            return GraphAnswer(response.status_code, body.get("data"), body.get("errors", []))

        yield ask


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "USD"}


@pytest.mark.parametrize("ask", [{NEWEST: 10}], indirect=True)
async def test_dashboard_shows_the_captured_figures(ask: Ask):
    """The sandbox is our own work; this holds the graph to what the services themselves said."""
    answer = await ask("Dashboard", claimCount=10, window="ALL_TIME")

    assert (answer.status, answer.errors) == (200, [])
    dashboard = answer.data["dashboard"]
    claims = dashboard["claimMetrics"]
    claims.pop("asOf")
    assert claims == {
        "totalCount": 38,
        "pendingCount": 14,
        "processingCount": 7,
        "approvedCount": 6,
        "rejectedCount": 11,
        "paidCount": 0,
        "successRate": pytest.approx(6 / 17),
        "averageSuccessProbability": 0.6975,
        "claimedAmount": usd("19483.08"),
    }
    findings = dashboard["detectionMetrics"]
    assert (findings["totalCount"], findings["openedCaseCount"]) == (40, 25)
    assert findings["estimatedValue"] == usd("10800.00")
    assert findings["bySeverity"] == [
        {"severity": "CRITICAL", "count": 12},
        {"severity": "HIGH", "count": 8},
        {"severity": "MEDIUM", "count": 12},
        {"severity": "LOW", "count": 8},
    ]
    assert dashboard["documentMetrics"]["totalCount"] == 25
    assert dashboard["recentClaims"]["totalCount"] == 38
    rows = dashboard["recentClaims"]["nodes"]
    assert [row["caseNumber"] for row in rows] == [f"CASE-A00{number}" for number in range(37, 27, -1)]
    newest = rows[0]
    assert (newest["id"], newest["claimedAmount"]) == (global_id("Claim", NEWEST), usd("221.78"))
    assert [row["documents"]["totalCount"] for row in rows] == [7] * 10
    [payment] = newest["payments"]["nodes"]
    assert (payment["id"], payment["status"]) == (global_id("Payment", 6), "CHARGED")
    assert payment["recoveredAmount"] == {"amount": "23.70", "currencyCode": "EUR"}
    assert [row["payments"]["nodes"] for row in rows[1:]] == [[]] * 9


async def test_payments_are_summed_per_currency(ask: Ask):
    """Three currencies and all states in one captured list: what failed or was given back is not money."""
    answer = await ask("Billing", first=100, window="ALL_TIME")

    assert (answer.status, answer.errors) == (200, [])
    totals = {
        total["recoveredAmount"]["currencyCode"]: (
            total["count"],
            *(
                total[part]["amount"]
                for part in ("recoveredAmount", "commissionAmount", "payoutAmount", "paidOutAmount")
            ),
        )
        for total in answer.data["dashboard"]["paymentMetrics"]["totals"]
    }
    assert totals == {
        "USD": (13, "648.18", "129.64", "518.54", "71.90"),
        "EUR": (10, "236.73", "47.35", "189.38", "60.94"),
        "GBP": (10, "277.83", "55.57", "222.26", "82.86"),
    }
    assert answer.data["payments"]["totalCount"] == 33
    payments = [edge["node"] for edge in answer.data["payments"]["edges"]]
    assert len(payments) == 33
    assert payments[0] | {"createdAt": None} == {
        "id": global_id("Payment", 4),
        "status": "PENDING",
        "isPaidOut": False,
        "createdAt": None,
        "recoveredAmount": usd("123.45"),
        "commissionAmount": usd("24.69"),
        "payoutAmount": usd("98.76"),
        "claim": {"id": global_id("Claim", OLDEST), "caseNumber": "CASE-0001"},
    }
    account = answer.data["paymentAccount"]
    assert (account["status"], account["chargesEnabled"]) == ("NOT_ONBOARDED", False)


async def test_case_detail_shows_the_captured_claim(ask: Ask):
    """One claim out of four services: paid, with the pair that stands for "no prediction" told as such."""
    answer = await ask("CaseDetail", id=global_id("Claim", OLDEST))

    assert (answer.status, answer.errors) == (200, [])
    claim = answer.data["claim"]
    assert (claim["caseNumber"], claim["status"], claim["productCategory"]) == (
        "CASE-0001",
        "PAID",
        "electronics",
    )
    assert (claim["claimedAmount"], claim["daysSincePurchase"]) == (usd("120.50"), 12)
    assert (claim["description"], claim["customerHistoryScore"]) == ("Lost in warehouse FBA1", 0.8)
    assert claim["prediction"] == {"successProbability": 0.5, "confidence": 0.5, "isPlaceholder": True}
    assert (claim["createdAt"], claim["updatedAt"]) == (
        "2026-11-23T03:49:17.069000Z",
        "2026-11-23T03:49:21.214000Z",
    )
    assert (claim["submission"]["status"], claim["submission"]["canSubmit"]) == ("NOT_OPENED", False)
    assert claim["detections"]["nodes"] == []
    assert claim["documents"]["totalCount"] == 7
    first = claim["documents"]["nodes"][0]
    assert first == {
        "id": global_id("Document", "a8184aac-a004-4d1f-989f-0823c5c76c15"),
        "fileName": "inv.png",
        "contentType": "image/png",
        "sizeBytes": 1062,
        "sku": "SKU-1",
        "uploadedAt": "2026-11-23T03:51:24.915000Z",
    }
    [payment] = claim["payments"]["nodes"]
    assert (payment["id"], payment["recoveredAmount"]) == (global_id("Payment", 4), usd("123.45"))
    timeline = [edge["node"] for edge in claim["timeline"]["edges"]]
    assert [(event["type"], event["service"], event["outcome"]) for event in timeline] == [
        ("PAYMENT", "stripe", "FAILED"),
        ("CHANGED", "refund-engine", None),
        ("CREATED", "refund-engine", None),
    ]
    assert claim["timeline"]["missingServices"] == []


async def test_the_captured_ledger_is_told_per_claim(ask: Ask):
    """One list of the ledger serves many claims: each gets its own rows, with the amounts as written."""
    answer = await ask(
        "{ claims(first: 10) { nodes { caseNumber timeline { nodes { type amount { amount } note } } } } }"
    )

    assert (answer.status, answer.errors) == (200, [])
    ledger = {
        claim["caseNumber"]: [
            (event["type"], event["amount"]["amount"], event["note"])
            for event in claim["timeline"]["nodes"]
            if event["type"].startswith("LEDGER")
        ]
        for claim in answer.data["claims"]["nodes"]
    }
    assert {number: rows for number, rows in ledger.items() if rows} == {
        "CASE-A0037": [("LEDGER_CLAIM", "865.80", "claim entry for 37")],
        "CASE-A0036": [
            ("LEDGER_REFUND", "421.43", "refund entry for 36"),
            ("LEDGER_FEE", "5.98", "fee entry for 36"),
        ],
    }


async def test_captured_findings_and_connections(ask: Ask):
    """The words of the integrations service, all in the graph's: none of them is unknown to us."""
    findings = await ask("Detections", first=3)
    hub = await ask("IntegrationsHub")

    assert findings.errors == hub.errors == []
    rows = [edge["node"] for edge in findings.data["detections"]["edges"]]
    assert [(row["type"], row["severity"], row["status"], row["estimatedValue"]) for row in rows] == [
        ("OVERCHARGE", "MEDIUM", "PENDING", usd("11.25")),
        ("DAMAGED_STOCK", "HIGH", "PENDING", usd("22.50")),
        ("LOST_UNITS", "CRITICAL", "PENDING", usd("33.75")),
    ]
    assert [row["claim"] for row in rows] == [None, None, None]
    assert [(sync["id"], sync["status"]) for sync in findings.data["syncs"]["nodes"]] == [
        (global_id("Sync", "sync-2"), "COMPLETED"),
        (global_id("Sync", "sync-3"), "RUNNING"),
    ]
    assert {each["provider"]: each["status"] for each in hub.data["integrations"]} == {
        "AMAZON": "CONNECTED",
        "GMAIL": "EXPIRED",
        "STRIPE": "NOT_CONNECTED",
    }
