"""The sandbox against the contracts: each read route, asked in each usual way, answers as agreed."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from bff.sandbox.sandbox import DEV_SECRETS, SERVICES, Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import Seller, World

ANCHOR = datetime(2026, 11, 1, tzinfo=UTC)
FIRST, SECOND = SELLERS
NOWHERE = "33333333-3333-4333-8333-333333333333"

CONTRACTS = {
    service: yaml.safe_load((Path(__file__).parent / "openapi" / f"{service}.yaml").read_text("utf-8"))
    for service in SERVICES
}
REGISTRY = Registry().with_resources(
    (f"urn:{service}", DRAFT202012.create_resource(contract)) for service, contract in CONTRACTS.items()
)
OPERATIONS = {
    (service, operation["operationId"]): (method.upper(), path, operation)
    for service, contract in CONTRACTS.items()
    for path, item in contract["paths"].items()
    for method, operation in item.items()
}

CLAIM = {"claim_amount": "120.50", "customer_history_score": "0.80", "product_category": "x"}
CHECK = {"claim_id": "c1", "document_id": "d1", "cost_data": {}}

# service, operation, what fills the path, query or body, status
ASKED: list[tuple[str, str, dict[str, str], dict[str, Any], int]] = [
    ("refund-engine", "refundEngineHealth", {}, {}, 200),
    ("refund-engine", "listClaims", {}, {}, 200),
    ("refund-engine", "listClaims", {}, {"limit": 5, "offset": 5}, 200),
    ("refund-engine", "listClaims", {}, {"limit": 0}, 200),
    ("refund-engine", "listClaims", {}, {"limit": 1000}, 200),
    ("refund-engine", "listClaims", {}, {"status": "paid"}, 200),
    ("refund-engine", "listClaims", {}, {"status": "paid-out"}, 200),
    ("refund-engine", "listClaims", {}, {"sort_by": "updated_at", "sort_order": "ASC"}, 200),
    ("refund-engine", "listClaims", {}, {"sort_by": "claim_amount"}, 200),
    ("refund-engine", "listClaims", {}, {"sort_by": "nope"}, 500),
    ("refund-engine", "listClaims", {}, {"limit": "abc"}, 500),
    ("refund-engine", "listClaims", {}, {"limit": -1}, 500),
    ("refund-engine", "claimStats", {}, {}, 200),
    ("refund-engine", "searchClaims", {}, {"q": "units", "limit": 3}, 200),
    ("refund-engine", "searchClaims", {}, {"q": "zzzz"}, 200),
    ("refund-engine", "searchClaims", {}, {}, 400),
    ("refund-engine", "getClaim", {"id": "<claim>"}, {}, 200),
    ("refund-engine", "getClaim", {"id": NOWHERE}, {}, 404),
    ("refund-engine", "getClaim", {"id": "not-a-uuid"}, {}, 500),
    ("refund-engine", "getClaimByCaseNumber", {"caseNumber": "<number>"}, {}, 200),
    ("refund-engine", "getClaimByCaseNumber", {"caseNumber": "NOPE"}, {}, 404),
    ("refund-engine", "listLedger", {}, {"limit": 500}, 200),
    ("refund-engine", "listLedger", {}, {"case_id": NOWHERE}, 200),
    ("refund-engine", "listLedger", {}, {"entry_type": "fee", "status": "completed"}, 200),
    ("refund-engine", "listLedger", {}, {"date_from": "2026-01-01", "date_to": "2027-01-01T00:00:00Z"}, 200),
    ("refund-engine", "listLedger", {}, {"date_from": "yesterdayish"}, 500),
    ("refund-engine", "listLedger", {}, {"case_id": "x"}, 500),
    ("refund-engine", "ledgerStats", {}, {}, 200),
    ("refund-engine", "listLedgerByCase", {"caseId": "<claim>"}, {}, 200),
    ("refund-engine", "getLedgerEntry", {"id": "<entry>"}, {}, 200),
    ("refund-engine", "getLedgerEntry", {"id": NOWHERE}, {}, 404),
    ("integrations", "integrationsHealth", {}, {}, 200),
    ("integrations", "listIntegrationStatuses", {}, {}, 200),
    ("integrations", "getIntegrationStatus", {"provider": "amazon"}, {}, 200),
    ("integrations", "getIntegrationStatus", {"provider": "stripe"}, {}, 404),
    ("integrations", "listSyncHistory", {}, {"limit": 100}, 200),
    ("integrations", "listSyncHistory", {}, {"limit": 2, "offset": 1}, 200),
    ("integrations", "getSyncStatus", {"syncId": "<sync>"}, {}, 200),
    ("integrations", "getSyncStatus", {"syncId": "sync-none"}, {}, 500),
    ("integrations", "listDetectionResults", {}, {"limit": 500}, 200),
    ("integrations", "listDetectionResults", {}, {"syncId": "<sync>"}, 200),
    ("integrations", "listDetectionResults", {}, {"status": "reviewed"}, 200),
    ("integrations", "listDetectionResults", {}, {"limit": -1}, 500),
    ("integrations", "detectionStatistics", {}, {}, 200),
    ("integrations", "listDisputes", {}, {"limit": 500}, 200),
    ("integrations", "listDisputes", {}, {"status": "approved", "limit": 1}, 200),
    ("integrations", "listDisputes", {}, {"limit": "abc"}, 500),
    ("integrations", "getDispute", {"id": "<dispute>"}, {}, 200),
    ("integrations", "getDispute", {"id": "<other dispute>"}, {}, 403),
    ("integrations", "getDispute", {"id": NOWHERE}, {}, 500),
    ("integrations", "getDispute", {"id": "statistics"}, {}, 500),
    ("integrations", "getDisputeAuditLog", {"id": "<dispute>"}, {}, 500),
    ("cost-docs", "costDocsHealth", {}, {}, 200),
    ("cost-docs", "listDocumentsByClaim", {"claimId": "<claim>"}, {"limit": 100}, 200),
    ("cost-docs", "listDocumentsByClaim", {"claimId": "<claim>"}, {"limit": 1, "page": 2}, 200),
    ("cost-docs", "listDocumentsByClaim", {"claimId": "none"}, {}, 200),
    ("cost-docs", "listDocumentsByClaim", {"claimId": "<claim>"}, {"page": 0}, 500),
    ("cost-docs", "listDocumentsByClaim", {"claimId": "<claim>"}, {"limit": "abc"}, 500),
    ("cost-docs", "listDocumentsBySku", {"skuId": "MISC-0001"}, {}, 200),
    ("cost-docs", "searchDocuments", {}, {"uploadedBy": "<user>"}, 404),
    ("cost-docs", "documentStats", {}, {}, 200),
    ("cost-docs", "getDocument", {"id": "<document>"}, {}, 200),
    ("cost-docs", "getDocument", {"id": NOWHERE}, {}, 404),
    ("cost-docs", "getDocument", {"id": "xyz"}, {}, 404),
    ("stripe", "stripeHealth", {}, {}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"limit": 100}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"limit": 3, "page": 2}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"limit": -2}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"limit": 0}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"status": "charged"}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"page": 99}, 200),
    ("stripe", "listTransactions", {"userId": "<stripe user>"}, {"page": -1}, 500),
    ("stripe", "listTransactions", {"userId": "5"}, {}, 200),
    ("stripe", "listTransactions", {"userId": "a1111111-1111"}, {}, 400),
    ("stripe", "getAccountStatus", {"userId": "101"}, {}, 200),
    ("stripe", "getAccountStatus", {"userId": "102"}, {}, 404),
    ("stripe", "getAccountStatus", {"userId": "x"}, {}, 400),
    ("mcde", "mcdeHealth", {}, {}, 200),
    ("mcde", "validateCompliance", {}, CHECK, 200),
    ("mcde", "validateCompliance", {}, {"claim_id": "c1"}, 422),
    ("mcde", "estimateCost", {}, CHECK, 400),
    ("mcde", "estimateCost", {}, {}, 422),
    ("predictor", "predictorHealth", {}, {}, 200),
    ("predictor", "predictSuccess", {}, {**CLAIM, "days_since_purchase": 3}, 200),
    ("predictor", "predictSuccess", {}, {"claim_amount": "x"}, 422),
    ("predictor", "predictBatch", {}, {"claims": [{**CLAIM, "days_since_purchase": 3}] * 2}, 200),
    ("predictor", "predictBatch", {}, {"claims": []}, 200),
    ("predictor", "predictBatch", {}, {"claims": [CLAIM]}, 422),
]

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
def world() -> World:
    return seed(anchor=ANCHOR)


@pytest.fixture
def sandbox(world: World) -> Sandbox:
    return Sandbox(world)


@pytest.fixture
def ask(sandbox: Sandbox) -> Ask:
    """Ask a service of the sandbox, as a seller, as nobody (None), or with a token of one's own."""

    async def ask(
        service: str,
        path: str,
        *,
        method: str = "GET",
        seller: Seller | None = FIRST,
        token: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        token = token or (token_of(service, seller) if seller and service in DEV_SECRETS else None)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=sandbox.apps[service])
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            return await client.request(method, path, headers=headers | more.pop("headers", {}), **more)

    return ask


def token_of(service: str, seller: Seller, **claims: Any) -> str:
    own = {"userId": seller.stripe_user_id} if service == "stripe" else {"id": seller.user_id}
    expires = {"exp": int(time.time()) + 60}
    return jwt.encode(
        {**own, "email": seller.email, "role": "user", **expires, **claims}, DEV_SECRETS[service], "HS256"
    )


def check(service: str, operation_id: str, answer: httpx.Response) -> None:
    """Hold an answer to the schema its operation promises for that status."""
    method, path, operation = OPERATIONS[service, operation_id]
    pointer = f"/paths/{path.replace('/', '~1')}/{method.lower()}/responses/{answer.status_code}"
    response = operation["responses"][str(answer.status_code)]
    if "$ref" in response:
        pointer = response["$ref"].removeprefix("#")
    schema = {"$ref": f"urn:{service}#{pointer}/content/application~1json/schema"}
    Draft202012Validator(schema, registry=REGISTRY, format_checker=FormatChecker()).validate(answer.json())


@pytest.mark.parametrize("seller", SELLERS, ids=lambda seller: seller.name.split()[0])
@pytest.mark.parametrize(
    ("service", "operation_id", "path", "given", "status"),
    ASKED,
    ids=lambda value: str(value) if value else "",
)
async def test_answers_in_the_agreed_shape(
    ask: Ask,
    world: World,
    seller: Seller,
    service: str,
    operation_id: str,
    path: dict,
    given: dict,
    status: int,
):
    """The graph is tested over the sandbox: where that strays, everything is proven against fiction."""
    other = SECOND if seller is FIRST else FIRST
    claim = next(row for row in world.claims.values() if row["user_id"] == seller.user_id)
    names = {
        "<user>": seller.user_id,
        "<stripe user>": str(seller.stripe_user_id),
        "<claim>": claim["id"],
        "<number>": claim["case_number"],
        "<entry>": next(row["id"] for row in world.ledger.values() if row["user_id"] == seller.user_id),
        "<sync>": next(row["sync_id"] for row in world.syncs.values() if row["user_id"] == seller.user_id),
        "<document>": next(
            row["id"] for row in world.documents.values() if row["uploadedBy"] == seller.user_id
        ),
        "<dispute>": next(row["id"] for row in world.disputes.values() if row["seller_id"] == seller.user_id),
        "<other dispute>": next(
            row["id"] for row in world.disputes.values() if row["seller_id"] == other.user_id
        ),
    }
    method, template, _ = OPERATIONS[service, operation_id]
    url = template.format(**{name: names.get(value, value) for name, value in path.items()})
    if method == "POST":
        answer = await ask(service, url, method=method, json=given)
    else:
        params = {name: names.get(str(value), value) for name, value in given.items()}
        answer = await ask(service, url, seller=seller, params=params)

    assert answer.status_code == status, answer.text
    check(service, operation_id, answer)


def test_every_contracted_operation_is_asked():
    """An operation that is only listed could be wrong for ever. Writes: `test_sandbox_writes.py`."""
    reads = {key for key, (_, _, operation) in OPERATIONS.items() if not operation.get("x-writes")}

    assert {(service, operation) for service, operation, *_ in ASKED} == reads


@pytest.mark.parametrize(
    ("service", "path", "none", "bad"),
    [
        ("refund-engine", "/api/v1/claims", 401, 401),
        ("integrations", "/api/v1/integrations/status", 401, 403),
        ("cost-docs", "/api/v1/cost-docs/stats/overview", 401, 403),
        ("cost-docs", "/api/v1/nope", 401, 403),
        ("stripe", "/api/v1/stripe/transactions/101", 401, 401),
    ],
)
async def test_each_refuses_a_token_in_its_own_way(ask: Ask, service: str, path: str, none: int, bad: int):
    """401 here is 403 there; a client that knows only one of them would call a bad secret a missing right."""
    missing = await ask(service, path, seller=None)
    forged = await ask(service, path, token=jwt.encode({"id": FIRST.user_id}, "x" * 40, "HS256"))
    expired = await ask(service, path, token=token_of(service, FIRST, exp=int(time.time()) - 1))

    assert (missing.status_code, forged.status_code, expired.status_code) == (none, bad, bad)
    assert forged.json() == expired.json() != missing.json()


async def test_a_token_without_id_owns_nothing(ask: Ask):
    """The engine does not refuse it: a fault of identity looks like a new seller, and nothing warns."""
    token = jwt.encode({"user_id": FIRST.user_id}, DEV_SECRETS["refund-engine"], "HS256")

    claims = await ask("refund-engine", "/api/v1/claims", token=token)
    stats = await ask("refund-engine", "/api/v1/claims/stats", token=token)

    assert claims.json() == {
        "success": True,
        "data": [],
        "pagination": {"total": 0, "limit": 10, "offset": 0, "has_more": False},
    }
    assert set(stats.json()["data"].values()) == {"0"}


async def test_a_token_whose_id_is_no_uuid_breaks_the_engine(ask: Ask):
    """PostgreSQL refuses the text; a 500, not a 401, is what a caller gets to see."""
    token = jwt.encode({"id": "usr_seller1"}, DEV_SECRETS["refund-engine"], "HS256")

    assert (await ask("refund-engine", "/api/v1/claims", token=token)).status_code == 500


async def test_singles_leak_to_other_tenants(ask: Ask, world: World):
    """The BFF's ownership checks would be tested against a service that needs none, if these were closed."""
    claim = next(row for row in world.claims.values() if row["user_id"] == SECOND.user_id)
    document = next(row for row in world.documents.values() if row["uploadedBy"] == SECOND.user_id)

    leaks = [
        await ask("refund-engine", f"/api/v1/claims/{claim['id']}"),
        await ask("refund-engine", f"/api/v1/claims/case/{claim['case_number']}"),
        await ask("refund-engine", f"/api/v1/ledger/case/{claim['id']}"),
        await ask("cost-docs", f"/api/v1/cost-docs/claim/{claim['id']}"),
        await ask("cost-docs", f"/api/v1/cost-docs/{document['id']}"),
        await ask("stripe", "/api/v1/stripe/transactions/102"),
    ]

    assert [leak.status_code for leak in leaks] == [200] * 6
    assert leaks[0].json()["data"] == claim == leaks[1].json()["data"]
    assert "Signature=" in leaks[4].json()["data"]["downloadUrl"]
    assert {row["userId"] for row in leaks[5].json()["data"]["transactions"]} == {102}


async def test_lists_do_not_leak(ask: Ask, world: World):
    """Everything asked for by user is the viewer's, or no ownership check could ever be complete."""
    claims = (await ask("refund-engine", "/api/v1/claims?limit=1000&userId=" + SECOND.user_id)).json()["data"]
    results = (await ask("integrations", "/api/enhanced-detection/results?limit=1000")).json()["data"]

    assert {row["user_id"] for row in claims} == {FIRST.user_id} == {row["seller_id"] for row in results}


async def test_stripe_reads_a_uuid_by_its_leading_digits(ask: Ask):
    """A BFF that sends a UUID gets somebody else's money; without this quirk no test would notice."""
    answer = await ask("stripe", "/api/v1/stripe/transactions/102e8400-e29b-41d4-a716-446655440000")

    assert {row["userId"] for row in answer.json()["data"]["transactions"]} == {102}


async def test_a_missing_sync_is_500_or_404(ask: Ask):
    """One fact, two statuses, by route: who knows only the honest one takes "none" for a failure."""
    status = await ask("integrations", "/api/v1/integrations/sync/status/sync-none")
    progress = await ask("integrations", "/api/enhanced-sync/progress/sync-none")

    assert (status.status_code, progress.status_code) == (500, 404)
    assert status.json() == progress.json() == {"success": False, "message": "Sync not found"}


async def test_a_500_leaks_paths_and_hosts(ask: Ask, sandbox: Sandbox):
    """What the ORM says is passed on by two of them; a BFF that does the same tells the world its insides."""
    sandbox.faults["stripe"] = "error"
    sandbox.faults["cost-docs"] = "error"

    for service in ("stripe", "cost-docs"):
        text = (await ask(service, "/health")).text
        assert "/srv/app" in text
        assert "127.0.0.1:5432" in text


async def test_search_of_documents_where_it_is_reachable(world: World):
    """The BFF has to notice a repaired deployment; here is one."""
    repaired = Sandbox(world, search_reachable=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=repaired.apps["cost-docs"]), base_url="http://sandbox"
    ) as client:
        client.headers["authorization"] = f"Bearer {token_of('cost-docs', FIRST)}"
        answer = await client.get(
            "/api/v1/cost-docs/search", params={"uploadedBy": FIRST.user_id, "limit": 1000}
        )
        overview = await client.get("/api/v1/cost-docs/stats/overview")

    check("cost-docs", "searchDocuments", answer)
    assert answer.json()["data"]["total"] == overview.json()["data"]["totalDocuments"] > 0


async def test_a_repaired_mcde_estimates(world: World):
    """The graph's cost estimate has fields that only a repaired mcde fills; here is one to test them with."""
    repaired = Sandbox(world, mcde_repaired=True)
    document = next(iter(world.documents))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=repaired.apps["mcde"]), base_url="http://sandbox"
    ) as client:
        answer = await client.post("/cost-estimate", json={"claim_id": "c1", "document_id": document})

    check("mcde", "estimateCost", answer)
    estimate = answer.json()
    assert estimate["estimated_cost"] == round(sum(estimate["cost_components"].values()), 2) > 0


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("refund-engine", "/api/v1/claims", 400),
        ("integrations", "/api/sync/start", 400),
        ("cost-docs", "/api/v1/journal/journal", 500),
        ("stripe", "/api/v1/stripe/connect", 400),
        ("mcde", "/cost-estimate", 422),
        ("predictor", "/predict-batch", 422),
    ],
)
async def test_malformed_json_is_refused_in_each_ones_words(ask: Ask, service: str, path: str, status: int):
    """One of six answers 500 for a caller's mistake; a client that retries it would retry for ever."""
    body = {"content": "{bad", "headers": {"content-type": "application/json"}}

    answer = await ask(service, path, method="POST", **body)

    assert answer.status_code == status
    assert "stack" in answer.json() if service == "stripe" else "stack" not in answer.json()


@pytest.mark.parametrize(
    ("service", "path", "body"),
    [
        ("refund-engine", "/docs", {"error": "Not Found", "message": "Route /docs not found"}),
        ("integrations", "/docs", {"success": False, "message": "Route /docs not found"}),
        ("cost-docs", "/docs", {"success": False, "error": "Endpoint not found", "path": "/docs"}),
        ("stripe", "/docs", {"error": "Not found", "message": "Route GET /docs not found"}),
        ("mcde", "/nope", {"detail": "Not Found"}),
        ("predictor", "/nope", {"detail": "Not Found"}),
    ],
)
async def test_an_unknown_route_is_404_in_each_ones_words(ask: Ask, service: str, path: str, body: dict):
    """A path misspelt in a client has to look as it would look in production."""
    answer = await ask(service, path)

    assert (answer.status_code, answer.json()) == (404, body)


@pytest.mark.parametrize("service", ["refund-engine", "integrations", "cost-docs", "stripe"])
async def test_the_quota_runs_out(world: World, service: str):
    """A gateway is one caller to them; how 429 looks, and that /health may cost one, decides how it polls."""
    sandbox = Sandbox(world, quota=2)
    path = "/api/v1/claims" if service == "refund-engine" else "/health"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=sandbox.apps[service]), base_url="http://sandbox"
    ) as client:
        answers = [await client.get(path) for _ in range(3)]
        health = await client.get("/health")

    remaining = (
        "x-ratelimit-remaining" if service in ("refund-engine", "integrations") else "ratelimit-remaining"
    )
    assert [answer.headers[remaining] for answer in answers] == ["1", "0", "0"]
    assert answers[2].status_code == 429
    assert 895 <= int(answers[2].headers["retry-after"]) <= 900
    reset = int(answers[2].headers[remaining.replace("remaining", "reset")])
    assert reset > 1_700_000_000 if remaining.startswith("x-") else reset <= 900
    assert health.status_code == (200 if service == "refund-engine" else 429)


async def test_times_are_written_in_three_dialects(ask: Ask, world: World):
    """Milliseconds with Z, six digits with an offset, and no zone at all: parsers must meet all three."""
    sent = next(row for row in world.disputes.values() if row["submission_date"])
    claim = (await ask("refund-engine", "/api/v1/claims?limit=1")).json()["data"][0]
    verdict = (await ask("mcde", "/validate-compliance", method="POST", json=CHECK)).json()

    assert claim["created_at"].endswith("Z")
    assert len(claim["created_at"]) == len("2026-11-23T03:49:17.069Z")
    assert sent["created_at"].endswith("+00:00")
    assert len(sent["submission_date"]) <= len("2026-11-23T04:03:19.973+00:00") < len(sent["created_at"])
    assert datetime.fromisoformat(verdict["validated_at"]).tzinfo is None


async def test_mcde_asks_the_refund_engine(ask: Ask, sandbox: Sandbox):
    """Its health is two services' health; a monitor has to tell a sick mcde from a sick neighbour."""
    well = (await ask("mcde", "/health")).json()["dependencies"]
    sandbox.down.add("refund-engine")
    ill = (await ask("mcde", "/health")).json()["dependencies"]

    assert (well, ill) == ({"refund_engine": "healthy"}, {"refund_engine": "unhealthy"})


async def test_calls_are_noted(ask: Ask, sandbox: Sandbox):
    """Drills count requests to prove that nothing is asked once per row."""
    await ask("refund-engine", "/api/v1/claims?limit=1")
    await ask("mcde", "/health")

    assert [call.service for call in sandbox.calls] == ["refund-engine", "mcde"]
    assert sandbox.calls_of("refund-engine") == [("refund-engine", "GET", "/api/v1/claims", "limit=1")]
