"""The call contract: how many upstream requests each stored operation may make, and in how many hops.

The numbers are those of the project's call contract, the most that an operation may cost without caches and
retries. They are our guard against N+1: a number may only go down without somebody deciding it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import pytest
from read_operations import (
    claims_of,
    detections_of,
    payments_of,
    read_operations,
    uploads_of,
    variables_for,
)

from bff.sandbox.paperwork import AGENT_ID
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import World
from resolvers.connections import cursor
from resolvers.global_ids import global_id

SEEDS = [1, 10, 100, 800]  # the last fills more than one page of every list
CLAIMS_READ_AT_MOST = 400
SELLER = SELLERS[0]

Calls = dict[str, int]


@dataclass(frozen=True)
class Sizes:
    """What the contract depends on, counted in the world itself."""

    world: World
    search_reachable: bool = False

    @property
    def disputes(self) -> int:
        """Pages of 500 that hold the viewer's filing cases, at most 3; a total says when to stop."""
        rows = [row for row in self.world.disputes.values() if row["seller_id"] == SELLER.user_id]
        return min(3, max(1, ceil(len(rows) / 500)))

    @property
    def results(self) -> int:
        """Pages of 500 that hold the viewer's findings, at most 3; only a short page says when to stop."""
        return min(3, len(detections_of(self.world, SELLER)) // 500 + 1)

    @property
    def transactions(self) -> int:
        """Pages of 100 that hold the viewer's charges, at most 5."""
        return min(5, max(1, ceil(len(payments_of(self.world, SELLER)) / 100)))

    def in_state(self, status: str) -> int:
        """Pages of 200 that hold the viewer's claims in one state, at most 3."""
        rows = [row for row in claims_of(self.world, SELLER) if row["status"] == status]
        return min(3, max(1, ceil(len(rows) / 200)))

    def claims_of_detections(self, n: int) -> int:
        """Calls for the claims of the first `n` findings, through their filing cases."""
        page = {row["id"] for row in detections_of(self.world, SELLER)[:n]}
        disputes = self.world.disputes.values()
        wanted = {row["case_number"] for row in disputes if row["detection_result_id"] in page}
        return self._claims(wanted, "case_number")

    def claims_of_uploads(self, n: int) -> int:
        """Calls for the claims of the first `n` uploads; what is no claim's id is not asked for."""
        page = uploads_of(self.world, SELLER)[: n if self.search_reachable else 10]
        return self._claims({row["claimId"] for row in page if not row["claimId"].startswith("claim-")}, "id")

    def claims_of_payments(self, n: int) -> int:
        """Calls for the claims of the first `n` charges; a charge that the map does not know has none."""
        page = {row["claimId"] for row in payments_of(self.world, SELLER)[:n]}
        ids = self.world.stripe_claim_ids
        return self._claims({claim_id for claim_id, number in ids.items() if number in page}, "id")

    def _claims(self, wanted: set[str], key: str) -> int:
        listed = {row[key] for row in claims_of(self.world, SELLER)[:CLAIMS_READ_AT_MOST]}
        return len(wanted) if len(wanted) <= 3 else 2 + len(wanted - listed)


def at_most(
    *,
    refund_engine: int = 0,
    integrations: int = 0,
    cost_docs: int = 0,
    stripe: int = 0,
    mcde: int = 0,
    predictor: int = 0,
) -> Calls:
    """The most calls to each service."""
    return {
        "refund-engine": refund_engine,
        "integrations": integrations,
        "cost-docs": cost_docs,
        "stripe": stripe,
        "mcde": mcde,
        "predictor": predictor,
    }


# Operation → the most calls, with the page sizes that the operation asks for by default.
CONTRACT: dict[str, Callable[[Sizes], Calls]] = {
    "AppShell": lambda of: at_most(),
    "SystemStatus": lambda of: at_most(),
    "OneServiceHealth": lambda of: at_most(),
    "HealthSummary": lambda of: at_most(),
    "Dashboard": lambda of: at_most(
        refund_engine=2,
        integrations=1 + of.disputes + of.results,
        cost_docs=1 + 5,
        stripe=of.transactions,
    ),
    "RecoveriesList": lambda of: at_most(refund_engine=1, integrations=of.disputes),
    "SearchRecoveries": lambda of: at_most(refund_engine=1, integrations=of.disputes),
    "CaseDetail": lambda of: at_most(
        refund_engine=2, integrations=of.disputes + of.results, cost_docs=1, stripe=of.transactions
    ),
    "CaseDetailByNumber": lambda of: at_most(
        refund_engine=2, integrations=of.disputes + of.results, cost_docs=1, stripe=of.transactions
    ),
    "CaseStatus": lambda of: at_most(refund_engine=2, integrations=of.disputes, stripe=of.transactions),
    "CaseTimelineNextPage": lambda of: at_most(
        refund_engine=2, integrations=of.disputes, stripe=of.transactions
    ),
    "ClaimLivePrediction": lambda of: at_most(refund_engine=1, predictor=1),
    "Detections": lambda of: at_most(refund_engine=of.claims_of_detections(25), integrations=2 + of.disputes),
    "DetectionRunDetail": lambda of: at_most(integrations=2 + of.results),
    "EvidenceLocker": lambda of: at_most(
        refund_engine=of.claims_of_uploads(25), cost_docs=2 if of.search_reachable else 2 + 10
    ),
    "ClaimDocuments": lambda of: at_most(refund_engine=1, cost_docs=1),
    "DocumentDetail": lambda of: at_most(refund_engine=1, cost_docs=1),
    "DocumentLink": lambda of: at_most(refund_engine=1, cost_docs=1),
    "DocumentEvidence": lambda of: at_most(refund_engine=1, cost_docs=1, mcde=1),
    "DocumentCostEstimate": lambda of: at_most(refund_engine=1, cost_docs=1, mcde=1),
    "Billing": lambda of: at_most(refund_engine=of.claims_of_payments(25), stripe=1 + of.transactions),
    "Reports": lambda of: at_most(
        refund_engine=1 + of.in_state("pending") + of.in_state("processing"),
        integrations=1,
        cost_docs=1,
        stripe=of.transactions,
    ),
    "RecoveryMetrics": lambda of: at_most(refund_engine=1),
    "PaymentMetrics": lambda of: at_most(stripe=of.transactions),
    "IntegrationsHub": lambda of: at_most(integrations=1),
    "SyncDetail": lambda of: at_most(integrations=2),
    "SyncActivity": lambda of: at_most(integrations=1),
}


def excess(calls: Calls, contract: Calls) -> Calls:
    """The calls beyond a contract, by service."""
    return {service: made - contract[service] for service, made in calls.items() if made > contract[service]}


def test_every_stored_read_has_a_contract():
    """An operation that is added without a number would be the next N+1."""
    assert set(CONTRACT) == set(read_operations())


@pytest.mark.parametrize("mcde_repaired", [False, True], ids=["as published", "mcde repaired"])
@pytest.mark.parametrize("claims", SEEDS)
async def test_operations_keep_their_contract(make_bff, claims, mcde_repaired):
    """What each screen costs the services, for a new seller and for one with years behind them."""
    world = seed(claims)
    variables = variables_for(world)
    of = Sizes(world)

    beyond, troubled = {}, {}
    for operation in CONTRACT:
        bff = await make_bff(world=world, mcde_repaired=mcde_repaired)  # nothing kept spares it a call
        answer = await bff.ask(operation, **variables[operation])
        codes = [error["extensions"]["code"] for error in answer.errors]
        if answer.status != 200 or codes:
            troubled[operation] = (answer.status, codes)
        if too_many := excess(bff.calls(), CONTRACT[operation](of)):
            beyond[operation] = too_many

    assert beyond == {}
    # mcde as published refuses every estimate.
    assert troubled == ({} if mcde_repaired else {"DocumentCostEstimate": (200, ["SERVICE_REJECTED"])})


async def test_dashboard_makes_exactly_twelve_calls(make_bff):
    """The number the project is measured by: two hops, twelve requests."""
    bff = await make_bff(claims=100)

    answer = await bff.ask("Dashboard")

    assert answer.errors == []
    assert bff.calls() == {"refund-engine": 2, "integrations": 3, "cost-docs": 6, "stripe": 1}


async def test_dashboard_grows_by_documents_only(make_bff):
    """Four times the claims cost more document calls, which cannot be batched, and nothing else."""
    bff = await make_bff(claims=100)

    answer = await bff.ask("Dashboard", claimCount=20)

    assert (answer.errors, len(answer.data["dashboard"]["recentClaims"]["nodes"])) == ([], 20)
    assert bff.calls() == {"refund-engine": 2, "integrations": 3, "cost-docs": 21, "stripe": 1}


async def test_tables_cost_the_same_at_any_page_size(make_bff):
    """The classic N+1: a table of a hundred rows must not ask a hundred times."""
    world = seed(100)

    for operation in ("RecoveriesList", "Detections", "Billing"):
        costs = []
        for first in (10, 100):
            bff = await make_bff(world=world)
            assert (await bff.ask(operation, first=first)).errors == []
            costs.append(bff.calls())
        assert costs[0] == costs[1], operation


async def test_evidence_locker_with_search(make_bff):
    """Where cost docs' search works, the documents of the viewer are one request, from the first use on."""
    bff = await make_bff(claims=100, search_reachable=True)

    first, first_calls = await bff.ask("EvidenceLocker"), bff.calls()
    second, second_calls = await bff.ask("EvidenceLocker"), bff.calls()

    assert first.errors == second.errors == []
    assert first.data["documents"]["isTruncated"] is False
    assert first_calls["cost-docs"] == second_calls["cost-docs"] == 1
    assert excess(first_calls, CONTRACT["EvidenceLocker"](Sizes(bff.sandbox.world, True))) == {}


async def test_evidence_locker_remembers_that_search_is_hidden(make_bff):
    """As published search cannot be reached; that is found out by one request in the life of the process."""
    bff = await make_bff(claims=100)

    first, first_calls = await bff.ask("EvidenceLocker"), bff.calls()
    # Somebody else, for whom nothing was kept; they have as many uploads.
    second, second_calls = await bff.ask("EvidenceLocker", seller=SELLERS[1]), bff.calls()

    assert first.errors == second.errors == []
    assert first.data["documents"]["isTruncated"] is second.data["documents"]["isTruncated"] is True
    assert second_calls["cost-docs"] == first_calls["cost-docs"] - 1


@pytest.mark.parametrize("status", [None, "TRANSFERRED"])
async def test_billing_beyond_the_shared_pages(make_bff, status):
    """A page deep in the list, or of one state, costs the sums' pages and two of its own."""
    bff = await make_bff(claims=800)
    of = Sizes(bff.sandbox.world)

    # Rows 92 to 116: they lie on two pages of stripe's.
    answer = await bff.ask("Billing", after=cursor(91), status=status, window="LAST_7_DAYS")

    assert answer.errors == []
    calls = bff.calls()
    assert calls["stripe"] <= 1 + of.transactions + 2
    assert set(calls) <= {"stripe", "refund-engine"}


@pytest.mark.parametrize(
    ("operation", "calls"),
    [
        ("DocumentDetail", {"refund-engine": 1, "cost-docs": 1}),
        ("DocumentLink", {"refund-engine": 1, "cost-docs": 1}),
        ("DocumentEvidence", {"refund-engine": 1, "cost-docs": 1, "mcde": 1}),
    ],
)
async def test_a_document_attached_by_an_agent_costs_one_look_at_its_claim(bff, operation, calls):
    """Ownership through the claim is proved by one request, which the claim field shares."""
    own = {row["id"] for row in claims_of(bff.sandbox.world, SELLER)}
    documents = bff.sandbox.world.documents.values()
    document = next(row for row in documents if row["uploadedBy"] == AGENT_ID and row["claimId"] in own)

    answer = await bff.ask(operation, id=global_id("Document", document["id"]))

    assert (answer.errors, answer.data["document"] is None) == ([], False)
    assert bff.calls() == calls
