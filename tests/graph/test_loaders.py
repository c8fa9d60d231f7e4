"""The loaders: one question for many keys, complete or an error, and never another seller's rows."""

import asyncio
import gc
import uuid
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from read_operations import claims_of, detections_of, payments_of, richest_claim

from bff.app import dev_token
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Row, Seller, World
from bff.sandbox.writing import js_time, pg_time
from clients.integrations.disputes import DisputeRecord
from clients.refund_engine import ClaimRecord
from clients.stripe import TransactionRecord
from resolvers.connections import cursor
from resolvers.context import Context
from resolvers.global_ids import global_id
from resolvers.loaders.batching import Loader

FIRST, SECOND = SELLERS
TOO_LARGE = "RESULT_TOO_LARGE"
ROWS = (ClaimRecord, DisputeRecord, TransactionRecord)


def codes(answer) -> list[tuple[list[str | int], str, str]]:
    """Path, code and service of each error."""
    return [
        (error["path"], error["extensions"]["code"], error["extensions"].get("service"))
        for error in answer.errors
    ]


def paths(bff) -> list[tuple[str, str]]:
    """Service and path of each upstream request so far, probes aside; then forget them."""
    asked = [(call.service, call.path) for call in bff.sandbox.calls if call.path != "/health"]
    bff.sandbox.calls.clear()
    return asked


def claim_id(row: Row) -> str:
    return global_id("Claim", row["id"])


def add_disputes(world: World, seller: Seller, count: int) -> None:
    """Newer filing cases of findings that nobody has, so that all older ones move back."""
    pattern = next(row for row in world.disputes.values() if row["seller_id"] == seller.user_id)
    for number in range(count):
        key = str(uuid.uuid4())
        world.disputes[key] = {
            **pattern,
            "id": key,
            "detection_result_id": str(uuid.uuid4()),
            "case_number": f"DC-GROWN-{number}",
            "created_at": pg_time(world.anchor + timedelta(seconds=number)),
        }


def add_detections(world: World, seller: Seller, count: int, **columns: str) -> None:
    """Newer findings, so that all older ones move back."""
    pattern = detections_of(world, seller)[0]
    for number in range(count):
        key = str(uuid.uuid4())
        created_at = pg_time(world.anchor + timedelta(seconds=number))
        world.detections[key] = {**pattern, "id": key, "created_at": created_at, **columns}


def add_transactions(world: World, seller: Seller, count: int) -> None:
    """Newer charges for no claim, so that all older ones move back."""
    pattern = payments_of(world, seller)[0]
    for number in range(count):
        key = 3_000_000 + number
        created_at = js_time(world.anchor + timedelta(seconds=number))
        world.transactions[key] = {**pattern, "id": key, "claimId": None, "createdAt": created_at}


def add_claims(world: World, seller: Seller, count: int, status: str) -> None:
    """Newer claims of one dollar each."""
    pattern = claims_of(world, seller)[0]
    for number in range(count):
        key = str(uuid.uuid4())
        world.claims[key] = {
            **pattern,
            "id": key,
            "case_number": f"CASE-GROWN-{status}-{number}",
            "status": status,
            "claim_amount": "1.00",
            "created_at": js_time(world.anchor + timedelta(seconds=number)),
        }


def add_documents(world: World, claim: Row, count: int) -> list[str]:
    """Newer documents of a claim; returns the names of all it has then, newest first."""
    pattern = next(row for row in world.documents.values() if row["claimId"] == claim["id"])
    for number in range(count):
        key = str(uuid.uuid4())
        world.documents[key] = {
            **pattern,
            "id": key,
            "originalName": f"invoice-{number}.pdf",
            "uploadedAt": js_time(world.anchor + timedelta(seconds=number)),
        }
    rows = [row for row in world.documents.values() if row["claimId"] == claim["id"]]
    return [row["originalName"] for row in sorted(rows, key=lambda row: row["uploadedAt"], reverse=True)]


def filed_claim(world: World, seller: Seller) -> Row:
    """The newest claim that has a filing case."""
    numbers = {row["case_number"] for row in world.disputes.values()}
    return next(row for row in claims_of(world, seller) if row["case_number"] in numbers)


def unfiled_claim(world: World, seller: Seller) -> Row:
    """The newest claim that has none."""
    numbers = {row["case_number"] for row in world.disputes.values()}
    return next(row for row in claims_of(world, seller) if row["case_number"] not in numbers)


SUBMISSION = "query ($id: ID!) { claim(id: $id) { submission { status } } }"
DETECTIONS = "query ($id: ID!) { claim(id: $id) { detections { nodes { id } totalCount } } }"
PAYMENTS = "query ($id: ID!) { claim(id: $id) { payments { nodes { id } totalCount } } }"
IN_PROGRESS = "{ dashboard { claimMetrics { totalCount inProgressAmount { amount } } } }"


async def test_a_filing_beyond_the_scan_is_never_none(make_bff):
    """Beyond 1500 filing cases "not opened" would be a guess, and a seller would file the claim twice."""
    bff = await make_bff()
    world = bff.sandbox.world
    claim, other = filed_claim(world, FIRST), filed_claim(world, SECOND)
    add_disputes(world, FIRST, 1500)
    bff.calls()

    answer = await bff.ask(SUBMISSION, id=claim_id(claim))
    calls = bff.calls()
    others = await bff.ask(SUBMISSION, seller=SECOND, id=claim_id(other))

    assert answer.data == {"claim": {"submission": None}}
    assert codes(answer) == [(["claim", "submission"], TOO_LARGE, "integrations")]
    assert calls == {"refund-engine": 1, "integrations": 3}
    assert (others.errors, others.data["claim"]["submission"]["status"] != "NOT_OPENED") == ([], True)


async def test_a_filing_within_the_scan_is_found(make_bff):
    """The bound costs only those who lie beyond it: the newest 1500 filing cases still answer."""
    bff = await make_bff()
    claim = filed_claim(bff.sandbox.world, FIRST)
    before = await bff.ask(SUBMISSION, id=claim_id(claim))
    add_disputes(bff.sandbox.world, FIRST, 1499)

    answer = await bff.ask(SUBMISSION, id=claim_id(claim))

    assert (answer.errors, answer.data) == ([], before.data)


async def test_not_opened_needs_the_whole_list(make_bff):
    """With exactly 1500 filing cases everything was read, and "not opened" is known."""
    bff = await make_bff()
    world = bff.sandbox.world
    have = sum(row["seller_id"] == FIRST.user_id for row in world.disputes.values())
    add_disputes(world, FIRST, 1500 - have)

    answer = await bff.ask(SUBMISSION, id=claim_id(unfiled_claim(world, FIRST)))

    assert (answer.errors, answer.data["claim"]["submission"]) == ([], {"status": "NOT_OPENED"})


async def test_a_finding_beyond_the_scan_is_never_none(make_bff):
    """A claim that a finding led to must not look like one that was entered by hand."""
    bff = await make_bff()
    world = bff.sandbox.world
    claim, unfiled = filed_claim(world, FIRST), unfiled_claim(world, FIRST)
    add_detections(world, FIRST, 1500)

    answer = await bff.ask(DETECTIONS, id=claim_id(claim))
    by_hand = await bff.ask(DETECTIONS, id=claim_id(unfiled))
    others = await bff.ask(DETECTIONS, seller=SECOND, id=claim_id(filed_claim(world, SECOND)))

    assert answer.data == {"claim": {"detections": None}}
    assert codes(answer) == [(["claim", "detections"], TOO_LARGE, "integrations")]
    # Its filing cases were all read: that it has none proves that no finding led to it.
    assert (by_hand.errors, by_hand.data["claim"]["detections"]) == ([], {"nodes": [], "totalCount": 0})
    assert (others.errors, others.data["claim"]["detections"]["totalCount"]) == ([], 1)


async def test_a_run_with_too_many_findings_is_not_counted(make_bff):
    """Of a run with more than 1500 findings the first are shown, and no count that would be wrong."""
    query = """query ($id: ID!, $after: String) {
      detectionRun(id: $id) { detections(first: 2, after: $after) { totalCount nodes { id } } }
    }"""
    bff = await make_bff()
    sync_id = detections_of(bff.sandbox.world, FIRST)[0]["sync_id"]
    add_detections(bff.sandbox.world, FIRST, 1501, sync_id=sync_id)
    run_id = global_id("DetectionRun", sync_id)

    start = await bff.ask(query, id=run_id)
    border = await bff.ask(query, id=run_id, after=cursor(1498))
    strangers = await bff.ask(query, seller=SECOND, id=run_id)

    page = start.data["detectionRun"]["detections"]
    assert (start.errors, page["totalCount"], len(page["nodes"])) == ([], None, 2)
    assert border.data == {"detectionRun": {"detections": None}}
    assert codes(border) == [(["detectionRun", "detections"], TOO_LARGE, "integrations")]
    assert (strangers.errors, strangers.data) == ([], {"detectionRun": None})


async def test_payments_beyond_the_scan_are_never_none(make_bff):
    """Beyond 500 charges a claim that was paid must not look unpaid; one never charged is still known."""
    bff = await make_bff()
    world = bff.sandbox.world
    charged = richest_claim(world, FIRST)
    uncharged = next(row for row in claims_of(world, FIRST) if row["id"] not in world.stripe_claim_ids)
    add_transactions(world, FIRST, 500)
    bff.calls()

    answer = await bff.ask(PAYMENTS, id=claim_id(charged))
    calls = bff.calls()
    never = await bff.ask(PAYMENTS, id=claim_id(uncharged))
    others = await bff.ask(PAYMENTS, seller=SECOND, id=claim_id(richest_claim(world, SECOND)))

    assert answer.data == {"claim": {"payments": None}}
    assert codes(answer) == [(["claim", "payments"], TOO_LARGE, "stripe")]
    assert calls == {"refund-engine": 1, "stripe": 5}
    assert (never.errors, never.data["claim"]["payments"]) == ([], {"nodes": [], "totalCount": 0})
    assert (others.errors, others.data["claim"]["payments"]["totalCount"]) == ([], 1)


@pytest.mark.parametrize("seller", SELLERS, ids=["first", "second"])
async def test_an_old_object_beyond_the_scan_is_not_told_to_be_asked_for_otherwise(make_bff, seller):
    """It was asked for by its id, and there is no less of it: advice that cannot help costs a day."""
    bff = await make_bff()
    world = bff.sandbox.world
    oldest = min(payments_of(world, seller), key=lambda row: row["createdAt"])
    add_transactions(world, seller, 500)

    answer = await bff.ask(
        "query ($id: ID!) { node(id: $id) { id } }", seller=seller, id=global_id("Payment", oldest["id"])
    )

    assert answer.data == {"node": None}
    assert codes(answer) == [(["node"], TOO_LARGE, "stripe")]
    assert answer.errors[0]["message"] == (
        "Stripe Payments holds more rows than one request may read, and what was asked for may lie beyond "
        "them. Asking again does not help; an earlier page may, where there is one."
    )


@pytest.mark.parametrize("status", ["pending", "processing"])
async def test_a_sum_over_too_many_claims_is_no_sum(make_bff, status):
    """A sum over the first 600 claims of a state would be a plausible number, and wrong."""
    bff = await make_bff(claims=10)
    world = bff.sandbox.world
    have = [row for row in claims_of(world, FIRST) if row["status"] == status]
    add_claims(world, FIRST, 600 - len(have), status)
    open_claims = [row for row in claims_of(world, FIRST) if row["status"] in ("pending", "processing")]
    total = sum(Decimal(row["claim_amount"]) for row in open_claims)
    bff.calls()

    full = await bff.ask(IN_PROGRESS)
    calls = bff.calls()
    add_claims(world, FIRST, 1, status)
    beyond = await bff.ask(IN_PROGRESS)
    others = await bff.ask(IN_PROGRESS, seller=SECOND)

    assert full.errors == []
    assert full.data["dashboard"]["claimMetrics"]["inProgressAmount"] == {"amount": str(total)}
    assert calls == {"refund-engine": 1 + 3 + 1}
    assert beyond.data["dashboard"]["claimMetrics"]["inProgressAmount"] is None
    assert codes(beyond) == [(["dashboard", "claimMetrics", "inProgressAmount"], TOO_LARGE, "refund-engine")]
    assert others.errors == []


@pytest.mark.parametrize("seller", SELLERS, ids=["first", "second"])
async def test_payments_are_grouped_by_claim(bff, seller):
    """Each claim shows its own charges and nobody else's, out of one reading of the list."""
    query = "{ claims(first: 100) { nodes { id payments { nodes { id } totalCount } } } }"
    world = bff.sandbox.world
    expected = defaultdict(list)
    for row in payments_of(world, seller):
        expected[row["claimId"]].append(global_id("Payment", row["id"]))

    answer = await bff.ask(query, seller=seller)

    assert (answer.errors, bff.calls()) == ([], {"refund-engine": 1, "stripe": 1})
    assert len(answer.data["claims"]["nodes"]) == len(claims_of(world, seller))
    found = {claim["id"]: claim["payments"] for claim in answer.data["claims"]["nodes"]}
    for claim in claims_of(world, seller):
        number = world.stripe_claim_ids.get(claim["id"])
        wanted = expected[number] if number else []
        payments = found[claim_id(claim)]
        assert [payment["id"] for payment in payments["nodes"]] == wanted
        assert payments["totalCount"] == len(wanted)


@pytest.mark.parametrize("seller", SELLERS, ids=["first", "second"])
async def test_what_was_read_is_gone_with_the_operation(bff, seller):
    """Rows that wait for a garbage collection cost more than to read them, and are somebody's data."""
    query = "{ claims(first: 100) { nodes { id submission { status } payments { nodes { id } } } } }"
    await bff.ask(query, seller=seller)
    gc.collect()
    before = {id(each) for each in gc.get_objects() if isinstance(each, ROWS)}  # of other tests
    gc.disable()
    try:
        answer = await bff.ask(query, seller=seller)
        left = [each for each in gc.get_objects() if isinstance(each, ROWS) and id(each) not in before]
    finally:
        gc.enable()

    assert answer.errors == []
    assert left == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"query": "{ claims(first: 3) { nodes { id payments { asOf } } } }"}, None),
        ({"query": "{ __typename }"}, None),
        ({"query": "{ detections(first: 3) { asOf } }"}, "SERVICE_UNAVAILABLE"),
        ({"query": "{ nothingOfThisName }"}, "BAD_USER_INPUT"),
        ({"query": "{ claims(first: 1000) { asOf } }"}, "BAD_USER_INPUT"),
        (
            {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a" * 64}}},
            "PERSISTED_QUERY_NOT_FOUND",
        ),
    ],
)
async def test_an_operation_leaves_nothing_to_the_collector_of_garbage(bff, asked, code):
    """A context holds the request and its body: hundreds of large ones would wait for each other."""
    bff.sandbox.down.add("integrations")

    async def codes_of(seller: Seller) -> list[str]:
        headers = {"authorization": f"Bearer {dev_token(bff.settings, seller)}"}
        answer = await bff.http.post("/graphql", json=asked, headers=headers)
        return [error["extensions"]["code"] for error in answer.json().get("errors", [])]

    await codes_of(FIRST)
    gc.collect()
    before = {id(each) for each in gc.get_objects() if isinstance(each, Context)}  # of other tests
    gc.disable()
    try:
        told = [await codes_of(seller) for seller in (FIRST, SECOND, FIRST)]
        left = [each for each in gc.get_objects() if isinstance(each, Context) and id(each) not in before]
    finally:
        gc.enable()

    assert told == [[code] if code else []] * 3
    assert left == []


def many_claims(rows: list[Row]) -> str:
    """One operation that asks for each of these claims by id."""
    asks = (f'c{number}: claim(id: "{claim_id(row)}") {{ caseNumber }}' for number, row in enumerate(rows))
    return f"{{ {' '.join(asks)} }}"


async def test_few_claims_are_asked_one_by_one(make_bff):
    """Up to three single reads are cheaper than a page of two hundred rows."""
    bff = await make_bff(claims=450)
    rows = claims_of(bff.sandbox.world, FIRST)[:3]

    answer = await bff.ask(many_claims(rows))

    assert answer.errors == []
    assert sorted(paths(bff)) == sorted(("refund-engine", f"/api/v1/claims/{row['id']}") for row in rows)


async def test_many_claims_are_read_from_the_list(make_bff):
    """More than three claims are two list pages at most, and one read for each that lies beyond them."""
    bff = await make_bff(claims=450)
    claims = claims_of(bff.sandbox.world, FIRST)
    rows = [claims[0], claims[150], claims[250], claims[399], claims[449]]

    answer = await bff.ask(many_claims(rows))

    assert answer.errors == []
    assert [claim["caseNumber"] for claim in answer.data.values()] == [row["case_number"] for row in rows]
    asked = [path for _, path in paths(bff)]
    assert asked == ["/api/v1/claims"] * 2 + [f"/api/v1/claims/{rows[-1]['id']}"]


async def test_the_list_is_read_no_further_than_needed(make_bff):
    """The second page is not asked for when the first holds every key."""
    bff = await make_bff(claims=450)
    rows = claims_of(bff.sandbox.world, FIRST)[:10]

    assert (await bff.ask(many_claims(rows))).errors == []

    assert bff.calls() == {"refund-engine": 1}


@pytest.mark.parametrize("own", [2, 5], ids=["one by one", "from the list"])
@pytest.mark.parametrize("claims", [60, 450])
async def test_a_strangers_claim_is_none(make_bff, claims, own):
    """The engine shows anybody's claim to anybody; the loader does not, on either of its ways."""
    bff = await make_bff(claims=claims)
    rows = [*claims_of(bff.sandbox.world, FIRST)[:own], claims_of(bff.sandbox.world, SECOND)[0]]

    answer = await bff.ask(many_claims(rows))

    assert answer.errors == []
    shown = list(answer.data.values())
    assert shown == [*({"caseNumber": row["case_number"]} for row in rows[:-1]), None]


async def test_a_list_read_to_its_end_needs_no_second_look(make_bff):
    """Findings whose case never became a claim would cost a request each: an N+1 of its own."""
    bff = await make_bff(claims=100)

    answer = await bff.ask("Detections", first=100)

    assert answer.errors == []
    nodes = [edge["node"] for edge in answer.data["detections"]["edges"]]
    assert {node["claim"] is None for node in nodes} == {True, False}
    assert bff.calls() == {"refund-engine": 1, "integrations": 3}


DOCUMENTS = """query ($id: ID!, $first: Int!, $after: String) {
  claim(id: $id) {
    documents(first: $first, after: $after) {
      totalCount nodes { fileName } pageInfo { hasNextPage hasPreviousPage endCursor }
    }
  }
}"""


async def test_documents_page_exactly_over_the_border(make_bff):
    """Cost docs pages by number: a page across its border must neither repeat nor lose a file."""
    bff = await make_bff()
    claim = richest_claim(bff.sandbox.world, FIRST)
    names = add_documents(bff.sandbox.world, claim, 150)
    bff.calls()

    pages = {}
    for offset in (0, 60, 90, 99, 100, 140):
        bff = await make_bff(world=bff.sandbox.world)  # another each time: nothing kept spares it a page
        after = cursor(offset - 1) if offset else None
        answer = await bff.ask(DOCUMENTS, id=claim_id(claim), first=20, after=after)
        assert answer.errors == []
        documents = answer.data["claim"]["documents"]
        pages[offset] = ([row["fileName"] for row in documents["nodes"]], bff.calls()["cost-docs"])
        assert documents["totalCount"] == len(names)
        assert documents["pageInfo"]["hasNextPage"] is (offset + 20 < len(names))
        assert documents["pageInfo"]["hasPreviousPage"] is (offset > 0)

    assert pages == {
        0: (names[0:20], 1),
        60: (names[60:80], 1),
        90: (names[90:110], 2),
        99: (names[99:119], 2),
        100: (names[100:120], 1),
        140: (names[140:], 1),
    }


async def test_documents_walked_by_cursor_come_once_each(make_bff):
    """Following `endCursor` to the end shows every file once, in order, and then says so."""
    bff = await make_bff()
    claim = richest_claim(bff.sandbox.world, FIRST)
    names = add_documents(bff.sandbox.world, claim, 120)

    walked, after, more = [], None, True
    while more:
        answer = await bff.ask(DOCUMENTS, id=claim_id(claim), first=35, after=after)
        documents = answer.data["claim"]["documents"]
        walked += [row["fileName"] for row in documents["nodes"]]
        after, more = documents["pageInfo"]["endCursor"], documents["pageInfo"]["hasNextPage"]

    assert walked == names


async def test_a_strangers_documents_are_not_asked_for(bff):
    """Cost docs shows any claim's files to anybody; whose claim it is, is established before it is asked."""
    claim = richest_claim(bff.sandbox.world, FIRST)

    answer = await bff.ask(DOCUMENTS, seller=SECOND, id=claim_id(claim), first=20)

    assert (answer.errors, answer.data) == ([], {"claim": None})
    assert bff.calls() == {"refund-engine": 1}


async def test_one_failing_key_fails_alone(bff, make_bff):
    """One claim's broken files must not take the files of the claims beside it."""
    query = "{ claims(first: 10) { nodes { id documents { nodes { id } } } } }"
    world = bff.sandbox.world
    proved = {row["claimId"] for row in world.documents.values()}
    broken = next(row for row in claims_of(world, FIRST)[:10] if row["id"] in proved)
    healthy = await bff.ask(query)
    for row in world.documents.values():
        if row["claimId"] == broken["id"]:
            row["version"] = "two"

    answer = await (await make_bff(world=world)).ask(query)  # where nothing old can stand in

    nodes = answer.data["claims"]["nodes"]
    index = [node["id"] for node in nodes].index(claim_id(broken))
    assert [node["documents"] is None for node in nodes] == [number == index for number in range(10)]
    assert codes(answer) == [
        (["claims", "nodes", index, "documents"], "SERVICE_CONTRACT_BROKEN", "cost-docs")
    ]
    for node, before in zip(nodes, healthy.data["claims"]["nodes"], strict=True):
        assert node["documents"] in (None, before["documents"])


async def test_an_error_is_not_asked_for_again(bff):
    """A second field with the same question shares the error; a service in trouble is not asked twice."""
    query = "query ($id: ID!) { claim(id: $id) { a: documents { totalCount } b: documents { totalCount } } }"
    bff.sandbox.down.add("cost-docs")
    bff.calls()

    answer = await bff.ask(query, id=claim_id(claims_of(bff.sandbox.world, FIRST)[0]))

    assert answer.data == {"claim": {"a": None, "b": None}}
    assert len(answer.errors) == 2
    assert bff.calls() == {"refund-engine": 1, "cost-docs": 2}  # one question, tried twice


@pytest.mark.parametrize(
    ("field", "service"),
    [
        ("submission { status }", "integrations"),
        ("documents { totalCount }", "cost-docs"),
        ("payments { totalCount }", "stripe"),
        ("livePrediction { confidence }", "predictor"),
    ],
)
async def test_a_second_alias_costs_nothing(bff, field, service):
    """The same question in two places of a screen is one request."""
    query = f"""query ($id: ID!) {{
      claim(id: $id) {{ a: {field} b: {field} }} again: claim(id: $id) {{ c: {field} }}
    }}"""

    answer = await bff.ask(query, id=claim_id(claims_of(bff.sandbox.world, FIRST)[0]))

    assert answer.errors == []
    assert answer.data["claim"]["a"] == answer.data["claim"]["b"] == answer.data["again"]["c"]
    assert bff.calls() == {"refund-engine": 1, service: 1}


async def test_two_pages_of_documents_share_a_request(bff):
    """Two cuts of the same hundred files are one request."""
    query = """query ($id: ID!, $after: String) { claim(id: $id) {
      start: documents(first: 1) { nodes { id } } rest: documents(first: 50, after: $after) { nodes { id } }
    } }"""
    claim = claims_of(bff.sandbox.world, FIRST)[0]  # the newest always has three

    answer = await bff.ask(query, id=claim_id(claim), after=cursor(0))

    assert answer.errors == []
    found = answer.data["claim"]
    assert [len(found["start"]["nodes"]), len(found["rest"]["nodes"])] == [1, 2]
    assert found["start"]["nodes"][0] not in found["rest"]["nodes"]
    assert bff.calls() == {"refund-engine": 1, "cost-docs": 1}


MISSING_OF_TIMELINES = """query ($first: Int!) { claims(first: $first) { nodes {
  timeline { totalCount missingServices }
} } }"""
TIMELINES = """query ($first: Int!) { claims(first: $first) { nodes {
  id timeline { totalCount nodes { type } }
} } }"""


async def test_timelines_of_many_claims_share_one_ledger(make_bff):
    """Ten timelines are one reading of each list, and each has the entries it has on its own page."""
    bff = await make_bff(claims=10)

    answer = await bff.ask(TIMELINES, first=10)

    assert answer.errors == []
    assert bff.calls() == {"refund-engine": 2, "integrations": 1, "stripe": 1}
    for claim in answer.data["claims"]["nodes"]:
        alone = await bff.ask("CaseStatus", id=claim["id"])
        edges = alone.data["claim"]["timeline"]["edges"]
        assert claim["timeline"]["nodes"] == [{"type": edge["node"]["type"]} for edge in edges]


def fill_ledger(world: World, seller: Seller, count: int) -> None:
    """Newer rows for no claim, so that all older ones move back, until the ledger has `count`."""
    own = [row for row in world.ledger.values() if row["user_id"] == seller.user_id]
    for number in range(count - len(own)):
        key, created_at = str(uuid.uuid4()), js_time(world.anchor + timedelta(seconds=number))
        world.ledger[key] = {**own[0], "id": key, "case_id": None, "created_at": created_at}


@pytest.mark.parametrize(("rows", "pages"), [(500, 1), (501, 2), (2000, 4)])
async def test_a_long_ledger_is_read_on(make_bff, rows, pages):
    """A seller's 501st row must cost one page more, not one call for each claim on the screen."""
    bff = await make_bff(claims=100)
    before = [await bff.ask(TIMELINES, seller=seller, first=60) for seller in SELLERS]
    fill_ledger(bff.sandbox.world, FIRST, rows)
    bff.calls()

    answer = await bff.ask(TIMELINES, first=60)
    calls = bff.calls()
    others = await bff.ask(TIMELINES, seller=SECOND, first=60)

    assert (answer.errors, answer.data) == ([], before[0].data)
    assert calls == {"refund-engine": 1 + pages, "integrations": 1, "stripe": 1}
    assert (others.errors, others.data) == ([], before[1].data)


async def test_a_ledger_beyond_the_scan_is_never_a_story_without_money(make_bff):
    """Beyond 2000 rows a claim's entries may lie further back: that is said, not asked claim by claim."""
    bff = await make_bff(claims=100)
    before = await bff.ask(TIMELINES, first=60)
    others_before = await bff.ask(TIMELINES, seller=SECOND, first=60)
    fill_ledger(bff.sandbox.world, FIRST, 2001)
    bff.calls()

    answer = await bff.ask(MISSING_OF_TIMELINES, first=60)
    calls = bff.calls()
    few = await bff.ask(TIMELINES, first=3)
    few_calls = bff.calls()
    others = await bff.ask(TIMELINES, seller=SECOND, first=60)

    timelines = [claim["timeline"] for claim in answer.data["claims"]["nodes"]]
    assert timelines == [{"totalCount": None, "missingServices": ["refund-engine"]}] * 60
    assert (answer.errors, calls["refund-engine"]) == ([], 1 + 4)
    assert few.data["claims"]["nodes"] == before.data["claims"]["nodes"][:3]  # each is asked for by itself
    assert few_calls["refund-engine"] == 1 + 3
    assert (others.errors, others.data) == ([], others_before.data)


async def test_an_old_sync_is_found_by_itself(make_bff):
    """The history is read to a hundred; an older sync is asked for, and one that never was is none."""
    query = """query ($old: ID!, $none: ID!) {
      old: sync(id: $old) { id startedAt } none: sync(id: $none) { id }
    }"""
    bff = await make_bff()
    world = bff.sandbox.world
    pattern = next(row for row in world.syncs.values() if row["user_id"] == FIRST.user_id)
    oldest = min(
        (row for row in world.syncs.values() if row["user_id"] == FIRST.user_id),
        key=lambda row: row["created_at"],
    )
    for number in range(100):
        sync_id, created_at = f"sync-{number}-grown", pg_time(world.anchor + timedelta(seconds=number))
        world.syncs[sync_id] = {**pattern, "id": str(uuid.uuid4()), "sync_id": sync_id} | {
            "created_at": created_at
        }
    wanted = global_id("Sync", oldest["sync_id"])
    bff.calls()

    answer = await bff.ask(query, old=wanted, none=global_id("Sync", "sync-0-never"))
    calls = bff.calls()
    strangers = await bff.ask(query, seller=SECOND, old=wanted, none=wanted)

    assert (answer.errors, answer.data) == ([], {"old": {"id": wanted, "startedAt": None}, "none": None})
    assert calls == {"integrations": 3}
    assert (strangers.errors, strangers.data) == ([], {"old": None, "none": None})


async def test_loaders_die_with_their_operation(bff):
    """What one seller was shown must not be in reach of the next, nor be shown again when it has changed."""
    query = "query ($id: ID!) { claim(id: $id) { status } }"
    claim = claims_of(bff.sandbox.world, FIRST)[0]

    shown = await bff.ask(query, id=claim_id(claim))
    strangers = await bff.ask(query, seller=SECOND, id=claim_id(claim))
    claim["status"] = "rejected"
    changed = await bff.ask(query, id=claim_id(claim))

    assert shown.data == {"claim": {"status": "PROCESSING"}}
    assert (strangers.errors, strangers.data) == ([], {"claim": None})
    assert changed.data == {"claim": {"status": "REJECTED"}}


async def test_whoever_waits_for_a_client_that_left_ends_as_well():
    """aiodataloader tells nobody that a batch was cancelled: its waiters would wait for ever."""

    async def cancelled(keys: list[int]) -> list[int]:
        raise asyncio.CancelledError

    async def partly(keys: list[int]) -> list[Any]:
        return [asyncio.CancelledError() if key == 1 else key for key in keys]

    loads = [Loader(batch).load(1) for batch in (cancelled, partly)]
    other = Loader(partly)
    loads += [other.load(1), other.load(2)]
    async with asyncio.timeout(5):
        found = await asyncio.gather(*loads, return_exceptions=True)

    assert [type(each) for each in found] == [asyncio.CancelledError] * 3 + [int]
