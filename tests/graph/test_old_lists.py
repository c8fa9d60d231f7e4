"""Old lists: what is in them is shown with its age, and what is not in them is unknown, never "none".

A list is kept while its owner is well; something is added to it there; the owner fails. The old list does
not have it, and to say "not opened", "no files" or "never connected" would be wrong, and look right.
"""

from collections.abc import Callable
from typing import Any

import pytest
from bff_under_test import Bff, GraphAnswer
from read_operations import claims_of, detections_of

from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Row, Seller, World
from clients.freshness import FRESHNESS, Freshness
from resolvers.global_ids import global_id

FIRST, SECOND = SELLERS
CODE_OF = {
    "down": "SERVICE_UNAVAILABLE",
    "error": "SERVICE_FAILED",
    "garbage": "SERVICE_CONTRACT_BROKEN",
    "rate-limited": "RATE_LIMITED",
}

Taken = tuple[dict[str, Any], dict[str, dict[Any, Row]]]  # who asks for it, and its rows by table
Take = Callable[[World, Seller], Taken]


def a_filing(world: World, seller: Seller) -> Taken:
    claims = {row["case_number"]: row for row in claims_of(world, seller)}
    key, row = next((key, row) for key, row in world.disputes.items() if row["case_number"] in claims)
    return {"id": global_id("Claim", claims[row["case_number"]]["id"])}, {"disputes": {key: row}}


def a_finding(world: World, seller: Seller) -> Taken:
    row = detections_of(world, seller)[0]
    return {"id": global_id("Detection", row["id"])}, {"detections": {row["id"]: row}}


def a_filed_finding(world: World, seller: Seller) -> Taken:
    numbers = {row["case_number"] for row in claims_of(world, seller)}
    filed = {key: row for key, row in world.disputes.items() if row["case_number"] in numbers}
    key, row = next(iter(filed.items()))
    return {"id": global_id("Detection", row["detection_result_id"])}, {"disputes": {key: row}}


def a_sync(world: World, seller: Seller) -> Taken:
    key, row = next((key, row) for key, row in world.syncs.items() if row["user_id"] == seller.user_id)
    return {"id": global_id("Sync", row["sync_id"])}, {"syncs": {key: row}}


def the_findings_of_a_run(world: World, seller: Seller) -> Taken:
    sync_id = detections_of(world, seller)[0]["sync_id"]
    found = {key: row for key, row in world.detections.items() if row["sync_id"] == sync_id}
    return {"id": global_id("DetectionRun", sync_id)}, {"detections": found}


def the_documents(world: World, seller: Seller) -> Taken:
    claim = claims_of(world, seller)[0]  # the newest always has three
    found = {key: row for key, row in world.documents.items() if row["claimId"] == claim["id"]}
    return {"id": global_id("Claim", claim["id"])}, {"documents": found}


def a_connection(world: World, seller: Seller) -> Taken:
    key, row = next(
        (key, row)
        for key, row in world.connections.items()
        if row["user_id"] == seller.user_id and row["provider"] == "amazon"
    )
    return {"id": global_id("Integration", "amazon")}, {"connections": {key: row}}


def ask(selection: str) -> str:
    return f"query ($id: ID!) {{ {selection} }}"


CASES = [
    pytest.param(a_filing, "integrations", "claim(id: $id) { it: submission { status } }", id="filing"),
    pytest.param(
        a_filing, "integrations", "claim(id: $id) { it: detections { totalCount } }", id="findings of a claim"
    ),
    pytest.param(a_finding, "integrations", "it: node(id: $id) { id }", id="finding"),
    pytest.param(
        a_filed_finding,
        "integrations",
        "node(id: $id) { ... on Detection { it: claim { status } } }",
        id="claim of a finding",
    ),
    pytest.param(a_sync, "integrations", "it: sync(id: $id) { status }", id="sync"),
    pytest.param(
        the_findings_of_a_run,
        "integrations",
        "detectionRun(id: $id) { it: detections { totalCount } }",
        id="findings of a run",
    ),
    pytest.param(a_connection, "integrations", "it: node(id: $id) { id }", id="connection"),
    pytest.param(
        the_documents, "cost-docs", "claim(id: $id) { it: documents { totalCount } }", id="documents"
    ),
]


def it(data: Any) -> Any:
    """What the answer says under the alias `it`."""
    if isinstance(data, dict):
        return data["it"] if "it" in data else it(next(iter(data.values())))
    return data


def told(answer: GraphAnswer) -> list[tuple[str, str]]:
    """Code and service of each error."""
    return [(error["extensions"]["code"], error["extensions"]["service"]) for error in answer.errors]


def state_of(answer: GraphAnswer, service: str) -> str:
    return next(use["state"] for use in answer.extensions["upstreams"] if use["service"] == service)


@pytest.fixture
def documents_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute has passed: what was told of documents is not repeated any more while cost docs is well."""
    monkeypatch.setitem(FRESHNESS, "listDocumentsByClaim", Freshness(0, 600))


@pytest.mark.usefixtures("documents_age")
@pytest.mark.parametrize(("take", "service", "selection"), CASES)
async def test_what_an_old_list_lacks_is_unknown(bff: Bff, take: Take, service: str, selection: str) -> None:
    """A filing that was opened meanwhile must not look as if it had not been: it would be opened twice."""
    world = bff.sandbox.world
    variables, taken = take(world, FIRST)
    theirs, _ = take(world, SECOND)
    for table, rows in taken.items():
        for key in rows:
            getattr(world, table).pop(key)
    before = await bff.ask(ask(selection), **variables)
    await bff.ask(ask(selection), seller=SECOND, **theirs)
    for table, rows in taken.items():
        getattr(world, table).update(rows)
    bff.sandbox.faults[service] = "down"

    answer = await bff.ask(ask(selection), **variables)
    others = await bff.ask(ask(selection), seller=SECOND, **theirs)

    assert before.errors == []
    assert it(answer.data) is None
    assert told(answer) == [("SERVICE_UNAVAILABLE", service)]
    assert it(others.data) is not None  # theirs is in their old list
    assert (others.errors, state_of(others, service)) == ([], "STALE")


@pytest.mark.parametrize("fault", CODE_OF)
async def test_the_error_is_the_one_that_made_the_list_old(bff: Bff, fault: str) -> None:
    """Whoever is told to come back in a minute, or never, must be told by what really happened."""
    query = "query ($id: ID!) { claim(id: $id) { submission { status } } }"
    variables, taken = a_filing(bff.sandbox.world, FIRST)
    for key in taken["disputes"]:
        bff.sandbox.world.disputes.pop(key)
    await bff.ask(query, **variables)
    bff.sandbox.faults["integrations"] = fault

    answer = await bff.ask(query, **variables)
    strangers = await bff.ask(query, seller=SECOND, **variables)

    assert (answer.data, told(answer)) == (
        {"claim": {"submission": None}},
        [(CODE_OF[fault], "integrations")],
    )
    assert (strangers.errors, strangers.data) == ([], {"claim": None})


async def test_a_timeline_says_that_an_old_list_may_lack_a_filing(bff: Bff) -> None:
    """A story without its filing is a wrong one, unless it says that the filing may be missing."""
    query = "query ($id: ID!) { claim(id: $id) { timeline { totalCount missingServices nodes { type } } } }"
    variables, taken = a_filing(bff.sandbox.world, FIRST)
    theirs, _ = a_filing(bff.sandbox.world, SECOND)
    for key in taken["disputes"]:
        bff.sandbox.world.disputes.pop(key)
    before = await bff.ask(query, **variables)
    others_before = await bff.ask(query, seller=SECOND, **theirs)
    bff.sandbox.down.add("integrations")

    answer = await bff.ask(query, **variables)
    others = await bff.ask(query, seller=SECOND, **theirs)

    assert answer.errors == before.errors == []
    timeline = answer.data["claim"]["timeline"]
    assert timeline == {
        "totalCount": None,
        "missingServices": ["integrations"],
        "nodes": before.data["claim"]["timeline"]["nodes"],
    }
    assert state_of(answer, "integrations") == "MISSING"
    assert others.data == others_before.data  # their filing is in their old list


@pytest.mark.parametrize("all_connected", [True, False])
async def test_connections_are_shown_from_an_old_list_that_has_them_all(
    bff: Bff, all_connected: bool
) -> None:
    """ "Never connected" is what an old list cannot say; which of the systems it has, it can."""
    query = "{ integrations { provider status asOf } }"
    world = bff.sandbox.world
    row = next(row for row in world.connections.values() if row["user_id"] == FIRST.user_id)
    mine = {key for key, row in world.connections.items() if row["user_id"] == FIRST.user_id}
    for key in mine:
        world.connections.pop(key)
    for provider in ("amazon", "gmail", "stripe")[: 3 if all_connected else 2]:
        world.connections[provider] = {**row, "id": provider, "provider": provider, "status": "active"}
    before = await bff.ask(query)
    bff.sandbox.down.add("integrations")

    answer = await bff.ask(query)
    strangers = await bff.ask(query, seller=SECOND)

    assert before.errors == []
    if all_connected:
        assert (answer.errors, answer.data) == ([], before.data)
        assert state_of(answer, "integrations") == "STALE"
    else:
        assert (told(answer), answer.data) == (
            [("SERVICE_UNAVAILABLE", "integrations")],
            {"integrations": None},
        )
    assert (len(strangers.errors), strangers.data) == (1, {"integrations": None})


async def test_a_list_of_many_is_shown_as_it_was(bff: Bff) -> None:
    """A page of findings or syncs says what there was, and when: that is no statement about one of them."""
    query = """{
      detections { asOf nodes { id } } syncs { asOf nodes { id } } searchClaims(query: "CASE") { asOf }
    }"""
    before, theirs = await bff.ask(query), await bff.ask(query, seller=SECOND)
    bff.sandbox.world.detections.clear()
    for service in ("integrations", "refund-engine"):
        bff.sandbox.down.add(service)

    answer, others = await bff.ask(query), await bff.ask(query, seller=SECOND)

    assert (answer.errors, answer.data) == ([], before.data)
    assert (others.errors, others.data) == ([], theirs.data)
    assert answer.data["detections"]["nodes"] != others.data["detections"]["nodes"]
