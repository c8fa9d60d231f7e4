"""The REST façade, row by row: each answers as its table says, in success and in every kind of failure.

A new row of the table is tested by what stands here.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import jsonschema
import pytest
from bff_under_test import Bff, MakeBff
from explained import EXTENSIONS
from fastapi import FastAPI
from rest_requests import UNKNOWN, keys_of, request_for, send, token_of, wrong_requests

from bff.operations import stored_operations
from bff.rest.openapi import answer_schema, api_document, failure_statuses
from bff.rest.row import Row
from bff.rest.table import TABLE
from bff.rest.values import Asked, Source, query
from bff.sandbox.sandbox import SERVICES
from bff.sandbox.seed import SELLERS, seed

CLAIMS = 30
WORLD = seed(CLAIMS)
NEWCOMER = "5e11e200-beef-4000-8000-000000000000"  # a seller of whom no service has heard
BUDGET = Source("header", "x-request-budget")
VOLATILE = ("asOf", "coversSince", "url", "expiresAt", "lastHealthyAt", "lastCheckedAt", "responseTimeMs")
COMPONENTS = api_document(FastAPI(title="any"))["components"]

READING = [row for row in TABLE if not row.changes]
SIGNED_IN = [row for row in READING if row.caller]
ASKING = [row for row in SIGNED_IN if 503 in failure_statuses(row)]
OURS = [row for row in SIGNED_IN if row not in ASKING]  # answered whatever happens to the services
MISSABLE = [row for row in SIGNED_IN if row.may_be_missing]
IDENTIFYING = [row for row in MISSABLE if any(value.identifies for value in row.variables.values())]
PAGED = [row for row in SIGNED_IN if query("limit") in row.sources]
WRONG = [
    pytest.param(row, what, request, id=f"{row.name} {what[:30]}")
    for row in SIGNED_IN
    for what, request in wrong_requests(row, keys_of(WORLD, SELLERS[0]))
]


def named(row: Any) -> str | None:
    return row.name if isinstance(row, Row) else None


def rows(which: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", which, ids=named)


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """A BFF that has kept nothing yet, over the same world as the others."""
    return await make_bff(world=WORLD)


@pytest.fixture
def keys() -> dict[str, str]:
    return keys_of(WORLD, SELLERS[0])


def is_true_to(row: Row, body: Any) -> None:
    """The answer is what `/openapi.json` says of it."""
    schema = answer_schema(row) | {"components": COMPONENTS}
    jsonschema.validate(body, schema, jsonschema.Draft202012Validator)


def steady(value: Any) -> Any:
    """A value without what differs between any two answers: when it was read, and links signed anew."""
    if isinstance(value, dict):
        return {name: steady(each) for name, each in value.items() if name not in VOLATILE}
    return [steady(each) for each in value] if isinstance(value, list) else value


def refused(body: Any, code: str) -> dict[str, Any]:
    """The one error of an answer without a value; in the graph's own form."""
    assert body["data"] is None
    [error] = body["errors"]
    assert error["extensions"].keys() - {"service"} == EXTENSIONS - {"service"}
    assert (error["extensions"]["code"], error["extensions"]["supportCode"][:3]) == (code, "OP-")
    found: dict[str, Any] = error
    return found


@rows(READING)
async def test_a_row_answers_what_its_operation_answers(bff: Bff, keys: dict[str, str], row: Row):
    """The value at the row's place, whole, with the status of the table, kept by nobody."""
    await bff.checked()
    request = request_for(row, keys)

    response = await send(bff, row, request)

    assert (response.status_code, response.headers["content-type"]) == (
        row.success,
        "application/json; charset=utf-8",
    )
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    is_true_to(row, body)
    assert "errors" not in body
    graph = await bff.ask(
        row.operation, **row.variables_of(Asked(request.path, request.query, request.header, request.body))
    )
    expected = graph.data
    for step in row.steps:
        expected = expected[step]
    assert steady(body["data"]) == steady(expected)


@rows(SIGNED_IN)
async def test_without_a_token_nothing_is_answered(bff: Bff, keys: dict[str, str], row: Row):
    """Every row but the public one is for who is signed in, and no service hears of anybody else."""
    bff.calls()

    response = await send(bff, row, request_for(row, keys), token="")

    assert response.status_code == 401
    assert 401 in failure_statuses(row)
    assert response.headers["www-authenticate"] == 'Bearer realm="opside"'
    refused(response.json(), "UNAUTHENTICATED")
    assert bff.calls() == {}


@rows(SIGNED_IN)
async def test_without_the_scope_the_value_is_refused(bff: Bff, keys: dict[str, str], row: Row):
    """A token that may read nothing reads nothing, by whatever door."""
    await bff.checked()
    bff.calls()

    response = await send(bff, row, request_for(row, keys), token=token_of(bff, scopes=()))

    assert bff.calls() == {}
    if row in ASKING:
        assert (response.status_code, 403 in failure_statuses(row)) == (403, True)
        refused(response.json(), "FORBIDDEN")
    else:
        assert response.status_code == row.success
        assert {error["extensions"]["code"] for error in response.json().get("errors", [])} <= {"FORBIDDEN"}


@rows(IDENTIFYING)
async def test_what_does_not_exist_is_not_found(bff: Bff, row: Row):
    """404 means "there is none", and nothing else does."""
    response = await send(bff, row, request_for(row, UNKNOWN))

    assert (response.status_code, 404 in failure_statuses(row)) == (404, True)
    assert response.json() == {"data": None}


@rows([row for row in MISSABLE if row not in IDENTIFYING])
async def test_who_has_nothing_finds_nothing(bff: Bff, row: Row):
    """The first of an empty list is none."""
    response = await send(bff, row, request_for(row, {}), token=token_of(bff, user_id=NEWCOMER))

    assert (response.status_code, response.json()) == (404, {"data": None})


@rows([row for row in IDENTIFYING if row.asks])
async def test_nobody_reads_what_is_anothers(bff: Bff, keys: dict[str, str], row: Row):
    """Somebody else's id is no id, though its owner has just had the answer."""
    owned = await send(bff, row, request_for(row, keys))
    assert owned.status_code == row.success

    response = await send(bff, row, request_for(row, keys), seller=SELLERS[1])

    assert (response.status_code, response.json()) == (404, {"data": None})


def ids_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value["id"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from ids_in(each)


@rows([row for row in ASKING if row not in IDENTIFYING])
async def test_two_viewers_see_their_own(bff: Bff, keys: dict[str, str], row: Row):
    """The same address, asked by two sellers at one process, has nothing in common."""
    first = await send(bff, row, request_for(row, keys))
    second = await send(bff, row, request_for(row, keys), seller=SELLERS[1])

    assert (first.status_code, second.status_code) == (row.success, row.success)
    assert first.json()["data"] != second.json()["data"]
    if row.operation != "IntegrationsHub":  # providers have the same ids for everybody
        assert set(ids_in(first.json())) & set(ids_in(second.json())) == set()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("down", 503, "SERVICE_UNAVAILABLE"),
        ("rate-limited", 503, "RATE_LIMITED"),
        ("hang", 504, "SERVICE_TIMEOUT"),
        ("error", 502, "SERVICE_FAILED"),
        ("garbage", 502, "SERVICE_CONTRACT_BROKEN"),
    ],
)
@rows(ASKING)
async def test_an_outage_is_no_empty_answer(
    bff: Bff, keys: dict[str, str], row: Row, fault: str, status: int, code: str
):
    """Whoever reads only the status still learns that the answer is missing, and when to come again."""
    for service in SERVICES:
        bff.sandbox.faults[service] = fault
    request = request_for(row, keys)
    if fault == "hang":
        request = request.saying(BUDGET, "400")

    response = await send(bff, row, request)

    assert (response.status_code, status in failure_statuses(row)) == (status, True)
    error = response.json()["errors"][0]
    assert response.json()["data"] is None
    assert (error["extensions"]["code"], error["extensions"]["service"] in SERVICES) == (code, True)
    assert ("retry-after" in response.headers) is (status == 503)
    if status == 503:
        assert int(response.headers["retry-after"]) >= 1


@rows(OURS)
async def test_what_asks_nobody_outlives_everybody(bff: Bff, keys: dict[str, str], row: Row):
    """What we know ourselves is there in an outage; so is a page of many parts, with each null explained."""
    for service in SERVICES:
        bff.sandbox.faults[service] = "down"

    response = await send(bff, row, request_for(row, keys))

    body = response.json()
    assert response.status_code == row.success
    is_true_to(row, body)
    if row.operation == "Dashboard":
        assert {name for name, part in body["data"].items() if part is None} == {
            error["path"][-1] for error in body["errors"]
        }
        assert {service["service"] for service in body["extensions"]["upstreams"]} >= {"stripe"}


@pytest.mark.parametrize(("row", "what", "request_"), WRONG)
async def test_bad_input_is_named(bff: Bff, row: Row, what: str, request_: Any):
    """400 says which value and what to give instead; nothing is guessed, and no service is asked."""
    bff.calls()

    response = await send(bff, row, request_)

    assert (response.status_code, 400 in failure_statuses(row)) == (400, True)
    error = refused(response.json(), "BAD_USER_INPUT")
    assert len(error["message"]) <= 300
    assert bff.calls() == {}


async def test_a_wrong_word_is_told_the_right_ones(bff: Bff):
    """Whoever mistypes a filter should not have to look for the documentation."""
    response = await bff.http.get(
        "/api/recoveries?status=won", headers={"authorization": f"Bearer {token_of(bff)}"}
    )

    assert response.json()["errors"][0]["message"] == (
        "`status` in the query must be one of: pending, processing, approved, rejected, paid."
    )


@pytest.mark.parametrize("word", ["paid", "PAID", "Paid"])
async def test_words_are_read_in_any_case(bff: Bff, word: str):
    """Old links and new code spell the words of an enum differently."""
    response = await bff.http.get(
        f"/api/recoveries?limit=100&status={word}", headers={"authorization": f"Bearer {token_of(bff)}"}
    )

    found = {edge["node"]["status"] for edge in response.json()["data"]["edges"]}
    assert (response.status_code, found) == (200, {"PAID"})


@rows(PAGED)
async def test_pages_by_offset_are_the_graphs_pages(bff: Bff, keys: dict[str, str], row: Row):
    """`limit` and `offset` walk the same list as cursors do: nothing is lost or seen twice."""
    request = request_for(row, keys)
    pages = [
        await send(bff, row, request.saying(query("limit"), limit).saying(query("offset"), offset))
        for limit, offset in ((2, 0), (1, 0), (1, 1))
    ]

    both, first, second = ([steady(edge["node"]) for edge in page.json()["data"]["edges"]] for page in pages)
    assert both == first + second


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("/api/sync/status", "/api/integrations/sync/status"),
        ("/api/sync/activity", "/api/integrations/sync/activity"),
        ("/api/detections/history", "/api/integrations/sync/activity"),
        ("/api/documents/{id}/view", "/api/documents/{id}/download"),
    ],
)
async def test_older_spellings_answer_as_the_newer_ones(older: str, newer: str):
    """Two addresses of one thing are two rows with the same words in them."""

    def told(path: str) -> Any:
        row = next(row for row in TABLE if row.path == path)
        said = [(name, value.schema, value.sources) for name, value in row.variables.items()]
        return row.operation, row.response, row.success, said

    assert told(older) == told(newer)


async def test_a_global_id_is_as_good_as_a_key(bff: Bff, keys: dict[str, str]):
    """What one answer gives can be put into the next address, as it is."""
    [row] = [row for row in TABLE if row.name == "GET /api/recoveries/{id}/status"]
    by_key = (await send(bff, row, request_for(row, keys))).json()["data"]

    by_id = (await send(bff, row, request_for(row, {"Claim": by_key["id"]}))).json()["data"]

    assert steady(by_id) == steady(by_key)


async def test_the_id_of_another_type_is_told_so(bff: Bff, keys: dict[str, str]):
    """A document's id at a claim's address is a mistake, and not a claim that does not exist."""
    [row] = [row for row in TABLE if row.name == "GET /api/documents/{id}"]
    document = (await send(bff, row, request_for(row, keys))).json()["data"]
    [claim] = [row for row in TABLE if row.name == "GET /api/recoveries/{id}"]

    response = await send(bff, claim, request_for(claim, {"Claim": document["id"]}))

    assert response.status_code == 400
    assert "the id of a Document" in refused(response.json(), "BAD_USER_INPUT")["message"]


async def test_a_budget_that_is_none_is_refused_as_elsewhere(bff: Bff, keys: dict[str, str]):
    """The headers of `/graphql` hold here too, and so do their refusals."""
    row = ASKING[0]

    response = await send(bff, row, request_for(row, keys).saying(BUDGET, "soon"))

    assert response.status_code == 400
    assert "X-Request-Budget" in refused(response.json(), "BAD_USER_INPUT")["message"]


async def test_a_request_is_accounted_as_an_operation(bff: Bff, keys: dict[str, str]):
    """What screens ask over REST counts, and is found in the metrics by the operation's name."""
    [row] = [row for row in TABLE if row.name == "GET /api/metrics/recoveries"]

    response = await send(bff, row, request_for(row, keys).saying(Source("header", "x-upstreams"), "1"))

    [asked] = response.json()["extensions"]["upstreams"]
    assert (asked["service"], asked["calls"]) == ("refund-engine", 1)
    metrics = (await bff.http.get("/metrics")).text
    assert 'operation="RecoveryMetrics"' in metrics


def test_every_row_can_be_reached():
    """Of rows at one address, the first that fits answers: one out of its place would never be asked."""
    addresses = [(row.method, row.path) for row in TABLE]
    groups = [address for address, _ in groupby(addresses)]
    assert len(groups) == len(set(groups))
    assert len({row.name for row in TABLE}) == len(TABLE)
    for _, same in groupby(TABLE, key=lambda row: (row.method, row.path)):
        assert [row.name for row in list(same)[:-1] if row.when is None] == []


def test_the_table_names_what_exists():
    """A row of an operation or a variable that does not exist would fail only when somebody asks."""
    for row in TABLE:
        document = stored_operations()[row.operation]
        for name in row.variables:
            assert f"${name.split('.')[0]}:" in document, (row.name, name)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("POST", "/api/services/status", 405, "METHOD_NOT_ALLOWED", "GET"),
        ("GET", "/api/sync/cancel", 405, "METHOD_NOT_ALLOWED", "POST"),
        ("DELETE", "/health", 405, "METHOD_NOT_ALLOWED", "GET"),
        ("GET", "/api/nowhere", 404, "NOT_FOUND", None),
        ("GET", "/api", 404, "NOT_FOUND", None),
    ],
)
async def test_who_goes_astray_is_answered_in_rest(
    bff: Bff, method: str, path: str, status: int, code: str, allow: str | None
):
    """A client that reads `data` and `errors` finds both, and no word about a graph it did not ask for."""
    response = await bff.http.request(method, path)

    assert (response.status_code, response.headers.get("allow")) == (status, allow)
    body = response.json()
    [error] = body["errors"]
    assert (body["data"], error["extensions"]["code"]) == (None, code)
    assert error["extensions"]["supportCode"].startswith("OP-")
    assert "graph" not in error["message"]
    assert allow is None or allow in error["message"]
    assert response.headers["cache-control"] == "no-store"


async def test_elsewhere_the_graph_is_pointed_to(bff: Bff):
    """An address outside of the table is of no interface: it is told where there is one."""
    response = await bff.http.get("/apis")

    assert response.json().keys() == {"errors"}
    assert "/graphql" in response.json()["errors"][0]["message"]
