"""Two sellers, one process: whatever one knows of the other, nothing of the other can be reached."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from bff_under_test import Bff, MakeBff
from read_operations import read_operations

from bff.app import dev_token
from bff.sandbox.sandbox import DEV_SECRETS
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Row, Seller, World
from resolvers.global_ids import KEY_FORMS, global_id

AVERY, NOOR = SELLERS
MOST_AT_ONCE, MOST_ROOTS = 100, 10  # of representations and root fields, in one operation
BOTH_WAYS = pytest.mark.parametrize(("owner", "stranger"), [(AVERY, NOOR), (NOOR, AVERY)], ids=["A-B", "B-A"])
CLAIMS = 12

PRIVATE = KEY_FORMS.keys() - {"Integration", "ServiceHealth"}  # an Integration's id says "mine", whoever asks
NAMED = {
    "caseNumber",
    "providerCaseId",
    "invoiceNumber",
    "userId",
    "email",
    "url",
}  # beside ids: one person's

ALL_OF_A_CLAIM = """
  id caseNumber status
  submission { status }
  timeline { nodes { id } }
  detections { nodes { id } }
  documents { nodes { id } }
  payments { nodes { id } }
  livePrediction { successProbability }
"""
ALL_OF_A_DOCUMENT = """
  id fileName
  signedUrl { url }
  evidenceValidation { isCompliant }
  costEstimate { confidence }
  claim { id }
"""
BY_ID = {
    "Claim": f"claim(id: $id) {{ {ALL_OF_A_CLAIM} }}",
    "Document": f"document(id: $id) {{ {ALL_OF_A_DOCUMENT} }}",
    "DetectionRun": "detectionRun(id: $id) { id sync { id } detections { nodes { id } } }",
    "Sync": "sync(id: $id) { id detectionRun { id } }",
}
REACH = """
query Reach($id: ID!, $representation: _Any!) {
  node(id: $id) {
    id
    ... on Claim { %s }
    ... on Document { %s }
    ... on Detection { claim { id } }
    ... on Payment { claim { id } }
  }
  _entities(representations: [$representation]) { __typename }
  %s
}
"""


@dataclass
class Seen:
    """What one seller's answers contain that leads to their data."""

    ids: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by type
    events: set[str] = field(default_factory=set)
    cursors: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    text: str = ""

    def take(self, data: Any) -> None:
        """Add an answer."""
        self.text += json.dumps(data)
        for name, value in fields_of(data):
            if name == "id" and isinstance(value, str):
                type_name, _, _key = base64.b64decode(value).decode().partition(":")
                if type_name in PRIVATE:
                    self.ids[type_name].add(value)
                elif type_name == "ClaimEvent":
                    self.events.add(value)
            elif name in ("cursor", "startCursor", "endCursor") and value:
                self.cursors.add(value)
            elif name in NAMED and value:
                self.names.add(value)

    @property
    def everything(self) -> set[str]:
        """Each text that must not be in an answer to anybody else: ids, the keys in them, and names."""
        ids = set().union(*self.ids.values()) | self.events
        keys = set(map(key_in, ids))
        return ids | {key for key in keys if len(key) > 10} | self.names  # a payment's number is short


def fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Every field of an answer, at any depth."""
    if isinstance(value, dict):
        yield from value.items()
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from fields_of(inside)


def ids_in(data: Any) -> set[str]:
    return {value for name, value in fields_of(data) if name == "id"}


def key_in(id: str) -> str:
    return base64.b64decode(id).decode().partition(":")[2]


async def everything(bff: Bff, seller: Seller) -> Seen:
    """Ask, as a seller, all that the stored operations can ask: the lists, then each object in them."""
    seen = Seen()

    async def ask(operation: str, **variables: Any) -> None:
        answer = await bff.ask(operation, seller=seller, **variables)
        assert (answer.status, answer.errors) == (200, [])
        seen.asked.add(operation)
        seen.take(answer.data)

    for operation in ("AppShell", "IntegrationsHub", "RecoveryMetrics", "SystemStatus", "HealthSummary"):
        await ask(operation)
    for operation in ("RecoveriesList", "Detections", "EvidenceLocker", "SyncActivity"):
        await ask(operation, first=100)
    await ask("Billing", first=100, window="ALL_TIME")
    await ask("Reports", window="ALL_TIME")
    await ask("PaymentMetrics", window="ALL_TIME")
    await ask("Dashboard", claimCount=20, window="ALL_TIME")
    await ask("SearchRecoveries", query="CASE-", first=100)
    await ask("OneServiceHealth", id=global_id("ServiceHealth", "stripe"))
    for number in sorted(name for name in seen.names if name.startswith(("CASE-", "DSP-"))):
        await ask("CaseDetailByNumber", caseNumber=number)
    for claim_id in sorted(seen.ids["Claim"]):
        await ask("CaseDetail", id=claim_id)
        await ask("CaseStatus", id=claim_id)
        await ask("CaseTimelineNextPage", id=claim_id, after=min(seen.cursors))
        await ask("ClaimDocuments", claimId=claim_id)
        await ask("ClaimLivePrediction", id=claim_id)
    claims = {key_in(claim_id) for claim_id in seen.ids["Claim"]}
    for document_id in sorted(seen.ids["Document"]):
        await ask("DocumentDetail", id=document_id)
        await ask("DocumentLink", id=document_id)
        for operation in ("DocumentEvidence", "DocumentCostEstimate"):
            if bff.sandbox.world.documents[key_in(document_id)]["claimId"] in claims:
                await ask(operation, id=document_id)
            else:  # there is nothing of the seller's that mcde could be asked about
                answer = await bff.ask(operation, seller=seller, id=document_id)
                assert [error["extensions"]["code"] for error in answer.errors] == ["BAD_USER_INPUT"]
                seen.take(answer.data)
    for sync_id in sorted(seen.ids["Sync"]):
        await ask("SyncDetail", id=sync_id)
    for run_id in sorted(seen.ids["DetectionRun"]):
        await ask("DetectionRunDetail", id=run_id, first=100)
    assert seen.asked == set(read_operations()), "an operation was added: ask it here as well"
    return seen


def rows_of(world: World, seller: Seller) -> dict[str, set[str]]:
    """Type → ids of all that is a seller's in the services' own tables."""
    claims = {key for key, row in world.claims.items() if row["user_id"] == seller.user_id}
    syncs = {key for key, row in world.syncs.items() if row["user_id"] == seller.user_id}
    documents = {
        key
        for key, row in world.documents.items()
        if row["uploadedBy"] == seller.user_id or row["claimId"] in claims
    }
    keys: dict[str, set[Any]] = {
        "Claim": claims,
        "Detection": {key for key, row in world.detections.items() if row["seller_id"] == seller.user_id},
        "DetectionRun": syncs,
        "Document": documents,
        "Payment": {key for key, row in world.transactions.items() if row["userId"] == seller.stripe_user_id},
        "Sync": syncs,
    }
    return {type_name: {global_id(type_name, key) for key in found} for type_name, found in keys.items()}


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """A small world, so that each thing in it can be asked for alone."""
    return await make_bff(claims=CLAIMS, mcde_repaired=True)


@pytest.mark.parametrize("seller", SELLERS, ids=["A", "B"])
async def test_the_walk_sees_all_that_is_a_sellers(make_bff: MakeBff, seller: Seller):
    """The tests below are worth as much as their list of things to reach for: it must be the whole world."""
    bff = await make_bff(claims=CLAIMS, mcde_repaired=True, search_reachable=True)

    seen = await everything(bff, seller)

    rows = rows_of(bff.sandbox.world, seller)
    assert seen.ids == rows
    assert min(map(len, rows.values())) >= 3
    assert len(seen.events) > 20
    assert len(seen.names) > 20


@BOTH_WAYS
async def test_a_stranger_reaches_nothing_by_id(bff: Bff, owner: Seller, stranger: Seller):
    """Every id of the one, tried by the other at every door: null, without an error that would tell."""
    ids = rows_of(bff.sandbox.world, owner)
    bff.calls()
    tried = 0
    for type_name in sorted(PRIVATE):
        operation = REACH % (ALL_OF_A_CLAIM, ALL_OF_A_DOCUMENT, BY_ID.get(type_name, ""))
        for each in sorted(ids[type_name]):
            representation = {"__typename": type_name, "id": each}
            answer = await bff.ask(operation, seller=stranger, id=each, representation=representation)
            assert answer.errors == []
            assert [value for value in answer.data.values() if value not in (None, [None])] == []
            tried += 1

    assert tried == sum(map(len, ids.values())) > 40
    assert bff.calls().keys().isdisjoint({"mcde", "predictor"}), "judged what is somebody else's"


@BOTH_WAYS
async def test_a_stranger_reaches_nothing_in_batches(bff: Bff, owner: Seller, stranger: Seller):
    """Many ids at once go through other branches of the loaders; the router asks like that."""
    of_owner, of_stranger = (rows_of(bff.sandbox.world, seller) for seller in (owner, stranger))
    theirs, own = (
        [{"__typename": type_name, "id": each} for type_name in sorted(PRIVATE) for each in of[type_name]]
        for of in (of_owner, of_stranger)
    )
    document = "query($all: [_Any!]!) { _entities(representations: $all) { ... on Node { id } } }"

    entities, both = [], theirs + own
    for start in range(0, len(both), MOST_AT_ONCE):
        answer = await bff.ask(document, seller=stranger, all=both[start : start + MOST_AT_ONCE])
        assert answer.errors == []
        entities += answer.data["_entities"]

    assert entities == [None] * len(theirs) + [{"id": each["id"]} for each in own]
    assert min(len(theirs), len(own)) > 40


@BOTH_WAYS
async def test_a_stranger_reaches_nothing_by_number(bff: Bff, owner: Seller, stranger: Seller):
    """Case numbers are printed on letters and easily guessed; the refund engine shows anybody's."""
    numbers = [
        row["case_number"] for row in bff.sandbox.world.claims.values() if row["user_id"] == owner.user_id
    ]
    document = f"query($n: String!) {{ claimByCaseNumber(caseNumber: $n) {{ {ALL_OF_A_CLAIM} }} }}"
    many = " ".join(
        f'c{nth}: claimByCaseNumber(caseNumber: "{number}") {{ id }}'
        for nth, number in enumerate(numbers[:MOST_ROOTS])
    )

    alone = [await bff.ask(document, seller=stranger, n=number) for number in numbers]
    together = await bff.ask(f"{{ {many} }}", seller=stranger)

    assert {str(answer.data) for answer in alone} == {"{'claimByCaseNumber': None}"}
    assert set(together.data.values()) == {None}
    assert [answer.errors for answer in [*alone, together]] == [[]] * (len(numbers) + 1)
    assert len(numbers) >= 9


@BOTH_WAYS
async def test_a_search_finds_only_ones_own(bff: Bff, owner: Seller, stranger: Seller):
    """A search for the other's very words finds what is one's own, or nothing."""
    rows = [row for row in bff.sandbox.world.claims.values() if row["user_id"] == owner.user_id]
    texts = {row[name] for row in rows for name in ("case_number", "product_category", "claim_description")}
    texts = {text[:100] for text in texts if text}
    own = rows_of(bff.sandbox.world, stranger)["Claim"]

    found = [
        (await bff.ask("SearchRecoveries", seller=stranger, query=text)).data["searchClaims"]["edges"]
        for text in sorted(texts)
    ]

    assert {edge["node"]["id"] for edges in found for edge in edges} <= own
    assert any(found)
    assert len(found) > 15


@BOTH_WAYS
async def test_a_cursor_leads_into_ones_own_list(bff: Bff, owner: Seller, stranger: Seller):
    """A cursor is a position, not a place in the list it came from."""
    cursors = (await everything(bff, owner)).cursors
    own = (await everything(bff, stranger)).everything
    document = """query($after: String) {
      claims(after: $after) { nodes { id documents(after: $after) { nodes { id } } } }
      documents(after: $after) { nodes { id } }
      detections(after: $after) { nodes { id } }
      payments(after: $after) { nodes { id } }
      syncs(after: $after) { nodes { id } }
    }"""

    answers = [await bff.ask(document, seller=stranger, after=cursor) for cursor in sorted(cursors)]

    reached = set().union(*(ids_in(answer.data) for answer in answers))
    assert reached <= own
    assert len(reached) > 10
    assert len(cursors) > 10


@BOTH_WAYS
async def test_an_event_is_no_object(bff: Bff, owner: Seller, stranger: Seller):
    """Timeline entries carry the claim's id inside their own: that must not become a way in."""
    events = (await everything(bff, owner)).events

    document = "query($id: ID!) { node(id: $id) { id } }"

    answers = [await bff.ask(document, seller=stranger, id=event) for event in sorted(events)]

    assert {str(answer.data) for answer in answers} == {"{'node': None}"}
    assert {error["extensions"]["code"] for answer in answers for error in answer.errors} == {
        "BAD_USER_INPUT"
    }


@pytest.mark.parametrize("search_reachable", [False, True], ids=["overview", "search"])
async def test_whole_answers_share_nothing(make_bff: MakeBff, search_reachable: bool):
    """Two sellers' answers to all read operations have no id, number, name or link in common."""
    bff = await make_bff(claims=CLAIMS, mcde_repaired=True, search_reachable=search_reachable)

    avery, noor = [await everything(bff, seller) for seller in SELLERS]

    for one, other, person in ((avery, noor, NOOR), (noor, avery, AVERY)):
        strange = other.everything | {person.name, person.email, person.user_id}
        decoded = " ".join(map(key_in, set().union(*one.ids.values())))
        assert [text for text in strange if text in one.text or text in decoded] == []
        assert len(strange) > 100


async def test_sellers_who_ask_at_once_are_kept_apart(bff: Bff):
    """Loaders, tokens and deadlines live for one operation: many at once get what each gets alone."""

    def facts(data: Any) -> list[tuple[str, Any]]:
        moving = ("asOf", "coversSince", "checkedAt", "lastCheckedAt", "lastHealthyAt", "responseTimeMs")
        return [
            (name, value)
            for name, value in fields_of(data)
            if name not in moving and not isinstance(value, dict | list)
        ]

    alone = {seller: facts((await bff.ask("Dashboard", seller=seller)).data) for seller in SELLERS}

    answers = await asyncio.gather(*(bff.ask("Dashboard", seller=seller) for seller in SELLERS * 10))

    assert [facts(answer.data) for answer in answers] == [alone[AVERY], alone[NOOR]] * 10
    assert alone[AVERY] != alone[NOOR]


async def test_rows_that_name_the_others_claim_do_not_open_it(bff: Bff):
    """Documents, filing cases and charges name claims by what their author wrote: that proves nothing."""
    world = bff.sandbox.world

    def of(table: dict[Any, Row], column: str, value: object) -> Row:
        return next(row for row in table.values() if row[column] == value)

    claim = next(row for row in world.claims.values() if row["id"] in world.stripe_claim_ids)
    assert claim["user_id"] == AVERY.user_id
    document = max(
        (row for row in world.documents.values() if row["uploadedBy"] == NOOR.user_id),
        key=lambda row: row["uploadedAt"],
    )
    dispute = of(world.disputes, "seller_id", NOOR.user_id)
    charge = of(world.transactions, "userId", NOOR.stripe_user_id)
    document["claimId"] = claim["id"]
    dispute["case_number"] = claim["case_number"]
    charge["claimId"] = world.stripe_claim_ids[claim["id"]]

    answer = await bff.ask(
        """query($document: ID!, $detection: ID!, $payment: ID!) {
          document(id: $document) { fileName claim { id } }
          detection: node(id: $detection) { ... on Detection { type claim { id } } }
          payment: node(id: $payment) { ... on Payment { status claim { id } } }
          documents(first: 100) { nodes { id claim { id } } }
          payments(first: 100) { nodes { id claim { id } } }
          detections(first: 100) { nodes { id claim { id } } }
        }""",
        seller=NOOR,
        document=global_id("Document", document["id"]),
        detection=global_id("Detection", dispute["detection_result_id"]),
        payment=global_id("Payment", charge["id"]),
    )

    assert answer.errors == []
    assert answer.data["document"] == {"fileName": document["originalName"], "claim": None}
    assert answer.data["detection"]["claim"] is None
    assert answer.data["payment"]["claim"] is None
    assert ids_in(answer.data) <= set().union(*rows_of(world, NOOR).values())
    assert global_id("Document", document["id"]) in {node["id"] for node in answer.data["documents"]["nodes"]}


@pytest.mark.parametrize("seller", SELLERS, ids=["A", "B"])
async def test_services_are_shown_who_asks(bff: Bff, seller: Seller):
    """Each request carries a token of ours that names the viewer; stripe is asked for their integer."""
    caller_token = dev_token(bff.settings, seller)
    bff.heard.clear()

    await everything(bff, seller)

    asked = [heard for heard in bff.heard if heard.path != "/health"]
    shown = defaultdict(set)
    for heard in asked:
        assert caller_token not in str(heard.headers)
        authorization = heard.headers.get("authorization")
        if authorization is None:
            shown[heard.service].add(None)
            continue
        secret = DEV_SECRETS[heard.service]
        claims = jwt.decode(authorization.removeprefix("Bearer "), secret, algorithms=["HS256"])
        assert claims["email"] == seller.email
        assert claims.get("role", "user") == "user"
        shown[heard.service].add(claims.get("userId") or claims.get("id"))
    assert shown == {
        "refund-engine": {seller.user_id},
        "integrations": {seller.user_id},
        "cost-docs": {seller.user_id},
        "stripe": {seller.stripe_user_id},
        "mcde": {None},
        "predictor": {None},
    }
    stripe_paths = {heard.path for heard in asked if heard.service == "stripe"}
    assert stripe_paths == {
        f"/api/v1/stripe/transactions/{seller.stripe_user_id}",
        f"/api/v1/stripe/status/{seller.stripe_user_id}",
    }
