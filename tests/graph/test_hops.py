"""Hops: how many upstream answers must arrive one after the other before an operation can answer.

An operation's answer takes about as long as its hops, whatever it asks at once. Pages of one list, and the
document calls that go four at a time, follow each other and count as one hop.

What starts late, because the machine was busy, can only look like one more hop: the shortest of a few tries
is what the operation does.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import pytest
from read_operations import claims_of, read_operations, variables_for

from bff.sandbox.faults import SERVICES
from bff.sandbox.paperwork import AGENT_ID
from bff.sandbox.seed import SELLERS, seed
from clients.embedded import EmbeddedTransport
from resolvers.global_ids import global_id

DELAY_MS = 40  # far above what a busy machine delays a request by
SAME_HOP_S = DELAY_MS / 1000 / 2  # a request that starts so soon after one of its kind continues it

TRIES = 4

HOPS = {
    "AppShell": 0,
    "SystemStatus": 0,
    "OneServiceHealth": 0,
    "HealthSummary": 0,
    "Dashboard": 2,
    "RecoveriesList": 2,
    "SearchRecoveries": 2,
    "CaseDetail": 2,
    "CaseDetailByNumber": 2,
    "CaseStatus": 2,
    "CaseTimelineNextPage": 2,
    "ClaimLivePrediction": 2,
    "Detections": 3,
    "DetectionRunDetail": 2,
    "EvidenceLocker": 3,
    "ClaimDocuments": 2,
    "DocumentDetail": 2,
    "DocumentLink": 2,
    "DocumentEvidence": 3,
    "DocumentCostEstimate": 3,
    "Billing": 2,
    "Reports": 2,  # the sum of open claims is asked for when their figures are there, not beside them
    "RecoveryMetrics": 1,
    "PaymentMetrics": 1,
    "IntegrationsHub": 1,
    "SyncDetail": 2,
    "SyncActivity": 1,
}


@dataclass
class Asked:
    """One upstream request, or several of one kind that followed each other, on the clock."""

    kind: str
    started_s: float
    ended_s: float


@pytest.fixture
def asked(monkeypatch) -> list[Asked]:
    """The upstream requests of every BFF started after this, in the order of their answers; no probes."""
    book: list[Asked] = []

    class Watched(EmbeddedTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            started_s = time.perf_counter()
            try:
                return await super().handle_async_request(request)
            finally:
                if request.url.path != "/health":
                    book.append(
                        Asked(request.extensions["question"].operation, started_s, time.perf_counter())
                    )

    monkeypatch.setattr("bff.app.EmbeddedTransport", Watched)
    return book


def merged(requests: Iterable[Asked]) -> list[Asked]:
    """Requests, with those of one kind that overlap or follow each other directly taken as one."""
    of_kind: defaultdict[str, list[Asked]] = defaultdict(list)
    for request in sorted(requests, key=lambda request: request.started_s):
        run = of_kind[request.kind]
        if run and request.started_s <= run[-1].ended_s + SAME_HOP_S:
            run[-1].ended_s = max(run[-1].ended_s, request.ended_s)
        else:
            run.append(Asked(request.kind, request.started_s, request.ended_s))
    return [request for run in of_kind.values() for request in run]


def longest_chain(requests: Iterable[Asked]) -> list[str]:
    """The kinds of the longest chain in which each request started after the one before it had ended."""
    chain_to: list[tuple[Asked, list[str]]] = []
    for request in sorted(merged(requests), key=lambda request: request.started_s):
        before = [chain for earlier, chain in chain_to if earlier.ended_s <= request.started_s]
        chain_to.append((request, [*max(before, key=len, default=[]), request.kind]))
    return max((chain for _, chain in chain_to), key=len, default=[])


def make_slow(bff) -> None:
    """Let every service take its time, so that what waits for what can be read off the clock."""
    for service in SERVICES:
        bff.sandbox.faults[service] = f"slow:{DELAY_MS}"


@pytest.mark.parametrize(
    ("hops", "requests"),
    [
        (0, []),
        (1, [("list", 0, 40), ("stats", 1, 41)]),
        (2, [("list", 0, 40), ("documents", 41, 81), ("documents", 82, 122)]),
        # The second wave of documents started after the disputes were there, but did not wait for them.
        (2, [("list", 0, 40), ("disputes", 41, 81), ("documents", 41, 81), ("documents", 82, 122)]),
        # The same kind once more, but only after something else: that is a hop of its own.
        (3, [("claim", 0, 40), ("documents", 41, 81), ("claim", 82, 122)]),
    ],
)
def test_the_ruler_itself(hops, requests):
    """A ruler that counts too few hops would let every slow operation pass."""
    assert len(longest_chain(Asked(kind, start / 1000, end / 1000) for kind, start, end in requests)) == hops


def test_every_stored_read_has_a_number_of_hops():
    """An operation without a number could wait for one service after the other, unseen."""
    assert set(HOPS) == set(read_operations())


async def test_operations_keep_their_hops(make_bff, asked):
    """Services asked one after the other, where they could be asked at once, make every screen slower."""
    world = seed(60)
    variables = variables_for(world)

    async def chain_of(operation: str) -> list[str]:
        bff = await make_bff(world=world, mcde_repaired=True)  # another each time: what is kept is no hop
        if operation == "EvidenceLocker":  # finds out, once per process, that search is hidden
            await bff.ask(operation, seller=SELLERS[1])
        make_slow(bff)
        asked.clear()
        assert (await bff.ask(operation, **variables[operation])).errors == [], operation
        return longest_chain(asked)

    too_long = {}
    for operation, hops in HOPS.items():
        for _ in range(TRIES):
            if len(chain := await chain_of(operation)) <= hops:
                break
        else:
            too_long[operation] = chain

    assert too_long == {}


async def test_ownership_through_the_claim_is_one_hop(make_bff, asked):
    """A document that an agent attached is shown because its claim is the viewer's: one more hop, not two."""
    world = seed(60)
    own = {row["id"] for row in claims_of(world, SELLERS[0])}
    documents = world.documents.values()
    document = next(row for row in documents if row["uploadedBy"] == AGENT_ID and row["claimId"] in own)

    async def chain_of(operation: str) -> list[str]:
        bff = await make_bff(world=world, mcde_repaired=True)
        make_slow(bff)
        asked.clear()
        assert (await bff.ask(operation, id=global_id("Document", document["id"]))).errors == []
        return longest_chain(asked)

    chains = {
        operation: min([await chain_of(operation) for _ in range(TRIES)], key=len)
        for operation in ("DocumentDetail", "DocumentLink", "DocumentEvidence", "DocumentCostEstimate")
    }

    assert chains == {
        "DocumentDetail": ["getDocument", "getClaim"],
        "DocumentLink": ["getDocument", "getClaim"],
        "DocumentEvidence": ["getDocument", "getClaim", "validateCompliance"],
        "DocumentCostEstimate": ["getDocument", "getClaim", "estimateCost"],
    }


async def test_evidence_locker_with_search_is_two_hops(make_bff, asked):
    """Where search works, the list and the claims it names are all there is to wait for."""
    chains = []
    for _ in range(TRIES):
        bff = await make_bff(search_reachable=True)
        make_slow(bff)
        asked.clear()
        assert (await bff.ask("EvidenceLocker")).errors == []
        chains.append(longest_chain(asked))

    assert min(chains, key=len) == ["searchDocuments", "listClaims"]
