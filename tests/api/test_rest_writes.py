"""The rows that change something: done once, for whoever may, or not at all and with the reason."""

import uuid
from typing import Any

import jsonschema
import pytest
from bff_under_test import Bff, MakeBff
from fastapi import FastAPI
from rest_examples import NEWCOMER
from rest_requests import (
    UNKNOWN,
    Request,
    ended_sync,
    keys_to_change,
    request_for,
    send,
    token_of,
    wrong_requests,
)
from write_operations import MUTATIONS, claim_to_file

from bff.rest.openapi import answer_schema, api_document, failure_statuses
from bff.rest.row import Row
from bff.rest.table import TABLE
from bff.rest.values import Source, query
from bff.sandbox.sandbox import SERVICES
from bff.sandbox.seed import SELLERS, seed
from resolvers.global_ids import global_id

WRITING = [row for row in TABLE if row.changes]
KEY = Source("header", "Idempotency-Key")
KEYED = [row for row in WRITING if KEY in row.sources]
IDENTIFYING = [
    row for row in WRITING if any(value.identifies and value.required for value in row.variables.values())
]
KEYS = keys_to_change(seed(30), SELLERS[0])  # the same in every world of this size
WRONG = [
    pytest.param(row, request, id=f"{row.name} {what[:30]}")
    for row in WRITING
    for what, request in wrong_requests(row, KEYS)
]
COMPONENTS = api_document(FastAPI(title="any"))["components"]


def rows(which: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", which, ids=lambda row: row.name)


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """A BFF over a world of its own."""
    return await make_bff(claims=30, cancel_repaired=True)


def who_can(bff: Bff, row: Row) -> str:
    """The token of somebody who can do it: to connect something, one must not have connected it."""
    return token_of(bff, **({"user_id": NEWCOMER} if row.operation == "ConnectIntegration" else {}))


def writes(bff: Bff) -> list[tuple[str, str]]:
    return [(write.service, write.operation) for write in bff.sandbox.writes]


def code_of(body: dict[str, Any]) -> str:
    """The code of the one user error, of an answer that is nothing else."""
    assert (body["data"], body.keys() - {"extensions"}) == (None, {"data", "userErrors"})
    [error] = body["userErrors"]
    code: str = error["code"]
    return code


@rows(WRITING)
async def test_a_row_does_what_its_operation_does(bff: Bff, row: Row):
    """Done once, with the status of the table, and shown as described."""
    response = await send(bff, row, request_for(row, KEYS), token=who_can(bff, row))

    assert response.status_code == row.success, response.text
    schema = answer_schema(row) | {"components": COMPONENTS}
    jsonschema.validate(response.json(), schema, jsonschema.Draft202012Validator)
    if row.operation != "ConnectIntegration":  # consent is only begun
        assert writes(bff) == list(MUTATIONS[row.operation].does)


@rows(WRITING)
async def test_nobody_changes_anything_without_a_token(bff: Bff, row: Row):
    """Not even where the address is a GET."""
    response = await send(bff, row, request_for(row, KEYS), token="")

    assert (response.status_code, 401 in failure_statuses(row), writes(bff)) == (401, True, [])


@rows(WRITING)
async def test_who_may_only_read_changes_nothing(bff: Bff, row: Row):
    """The mutation's own scope is asked for, by whatever door."""
    reading = token_of(bff, scopes=("claims:read", "integrations:read", "detections:read"))

    response = await send(bff, row, request_for(row, KEYS), token=reading)

    assert (response.status_code, 403 in failure_statuses(row), writes(bff)) == (403, True, [])
    assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(("row", "request_"), WRONG)
async def test_bad_input_changes_nothing(bff: Bff, row: Row, request_: Request):
    """400 before anything is asked of anybody; a key that is missing is not made up."""
    response = await send(bff, row, request_, token=who_can(bff, row))

    assert (response.status_code, writes(bff)) == (400, [])
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'"x"', b"null", b"1", b"syncType=inventory", b"\xff\xfe{}"]
)
async def test_a_body_that_is_no_object_is_refused(bff: Bff, content: bytes):
    """A form or a list, taken for nothing, would start a sync with every default."""
    response = await bff.http.post(
        "/api/sync/start",
        content=content,
        headers={"authorization": f"Bearer {token_of(bff)}", "idempotency-key": str(uuid.uuid4())},
    )

    assert (response.status_code, response.json()["data"], writes(bff)) == (400, None, [])
    error = response.json()["errors"][0]
    assert (error["extensions"]["code"], error["extensions"]["supportCode"][:3]) == ("BAD_USER_INPUT", "OP-")


@rows(IDENTIFYING)
async def test_what_is_not_there_is_not_found(bff: Bff, row: Row):
    """An unknown id and somebody else's are the same, and nothing is done to either."""
    others = keys_to_change(bff.sandbox.world, SELLERS[0])
    missing = await send(bff, row, request_for(row, UNKNOWN))
    foreign = await send(bff, row, request_for(row, others), seller=SELLERS[1])

    for response in (missing, foreign):
        assert (response.status_code, 404 in failure_statuses(row)) == (404, True)
        assert code_of(response.json()) == "NOT_FOUND"
    assert writes(bff) == []


@rows(IDENTIFYING)
async def test_what_is_no_id_is_a_persons_mistake(bff: Bff, row: Row):
    """A mutation tells it as data, beside the field that holds it."""
    response = await send(bff, row, request_for(row, dict.fromkeys(UNKNOWN, "nonsense")))

    assert (response.status_code, 422 in failure_statuses(row)) == (422, True)
    assert (code_of(response.json()), writes(bff)) == ("INVALID_INPUT", [])


@rows(KEYED)
async def test_the_same_key_does_it_once(bff: Bff, row: Row):
    """A client that did not hear the answer sends it again."""
    request = request_for(row, KEYS)

    first, second = await send(bff, row, request), await send(bff, row, request)

    assert (first.status_code, second.status_code) == (row.success, row.success)
    assert first.json()["data"]["id"] == second.json()["data"]["id"]
    assert writes(bff) == list(MUTATIONS[row.operation].does)


async def test_a_key_of_another_wish_is_a_conflict(bff: Bff):
    """The key is passed on as it is: the graph remembers what was wished with it."""
    [row] = [row for row in TABLE if row.name == "POST /api/sync/start"]
    request = request_for(row, KEYS)
    await send(bff, row, request)

    response = await send(bff, row, request.saying(Source("body", "syncType"), "financial"))

    assert (response.status_code, 409 in failure_statuses(row)) == (409, True)
    assert code_of(response.json()) == "IDEMPOTENCY_KEY_REUSED"


async def test_what_does_not_fit_the_present_state_is_a_conflict(bff: Bff):
    """409 says that trying again does not help."""
    [cancel] = [row for row in TABLE if row.name == "POST /api/sync/cancel"]
    [submit] = [row for row in TABLE if row.name == "POST /api/claims/{id}/submit"]
    [connect] = [row for row in TABLE if row.name == "POST /api/integrations/connect"]
    ended = ended_sync(bff.sandbox.world, SELLERS[0])
    claim = claim_to_file(bff.sandbox.world)
    for connection in bff.sandbox.world.connections.values():
        connection["status"] = "active"
    await send(bff, submit, request_for(submit, {"Claim": claim["id"]}))

    told = [
        await send(bff, cancel, request_for(cancel, {"Sync": ended})),
        await send(bff, submit, request_for(submit, {"Claim": claim["id"]})),
        await send(bff, connect, Request("POST", {}, {"integration_type": "gmail"})),
    ]

    assert [(each.status_code, code_of(each.json())) for each in told] == [
        (409, "SYNC_NOT_RUNNING"),
        (409, "CLAIM_NOT_SUBMITTABLE"),
        (409, "ALREADY_CONNECTED"),
    ]


@rows(WRITING)
async def test_an_outage_does_nothing_and_says_when_to_come_again(bff: Bff, row: Row):
    """503 means that nothing was done."""
    for service in SERVICES:
        bff.sandbox.faults[service] = "down"

    response = await send(bff, row, request_for(row, KEYS), token=who_can(bff, row))

    assert (response.status_code, 503 in failure_statuses(row)) == (503, True)
    assert code_of(response.json()) == "SERVICE_UNAVAILABLE"
    assert int(response.headers["retry-after"]) >= 1
    assert writes(bff) == []


async def test_a_lost_answer_is_an_unknown_outcome(bff: Bff):
    """504 is not 503: it may have been done, and the same key finds out."""
    [row] = [row for row in TABLE if row.name == "POST /api/sync/start"]
    request = request_for(row, KEYS)
    bff.sandbox.faults["integrations"] = "after:hang"

    lost = await send(bff, row, request.saying(Source("header", "x-request-budget"), "2000"))
    bff.sandbox.faults["integrations"] = "ok"
    again = await send(bff, row, request)

    assert (lost.status_code, code_of(lost.json())) == (504, "OUTCOME_UNKNOWN")
    assert again.status_code == 202
    assert writes(bff) == list(MUTATIONS["StartSync"].does)


async def test_what_no_service_can_do_is_not_half_done(bff: Bff):
    """`?purge=true` would have to delete; a disconnect alone would be a promise broken in silence."""
    [row] = [row for row in TABLE if row.name == "POST /api/v1/integrations/disconnect"]
    request = request_for(row, KEYS)

    refused = await send(bff, row, request.saying(query("purge"), "true"))
    assert (refused.status_code, writes(bff)) == (400, [])

    done = await send(bff, row, request.saying(query("purge"), "false"))
    assert (done.status_code, len(writes(bff))) == (200, 1)


@pytest.mark.parametrize("provider", ["outlook", "gdrive", "dropbox", "amazon"])
async def test_sources_of_documents_that_nobody_serves_are_refused(bff: Bff, provider: str):
    """The old screen offers four; one exists."""
    response = await bff.http.get(
        "/api/v1/integrations/connect-docs",
        params={"provider": provider},
        headers={"authorization": f"Bearer {token_of(bff)}"},
    )

    assert response.status_code == 400
    assert "gmail" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("place", ["query", "body"])
async def test_a_system_is_named_in_the_query_or_in_the_body(bff: Bff, place: str):
    """Both spellings are in use: `?integration_type=gmail` and `{"provider": "gmail"}`."""
    [row] = [row for row in TABLE if row.name == "POST /api/integrations/connect"]
    source = next(source for source in row.sources if source.place == place)

    response = await send(
        bff, row, Request("POST", {}).saying(source, "gmail"), token=token_of(bff, user_id=NEWCOMER)
    )

    assert (response.status_code, response.json()["data"][:4]) == (200, "http")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("/api/sync/start", "/api/integrations/sync/start"),
        ("/api/claims/{id}/submit", "/api/recoveries/{id}/submit"),
    ],
)
def test_older_spellings_do_as_the_newer_ones(older: str, newer: str):
    """Two addresses of one deed are two rows with the same words in them."""

    def told(path: str) -> Any:
        row = next(row for row in TABLE if row.path == path)
        said = [(name, value.schema, value.sources) for name, value in row.variables.items()]
        return row.operation, row.response, row.success, said

    assert told(older) == told(newer)


async def test_a_global_id_is_as_good_as_a_key(bff: Bff):
    """What one answer gives can be put into the next address, as it is."""
    [row] = [row for row in TABLE if row.name == "POST /api/recoveries/{id}/submit"]
    claim_id = global_id("Claim", claim_to_file(bff.sandbox.world)["id"])

    response = await send(bff, row, request_for(row, {"Claim": claim_id}))

    assert (response.status_code, response.json()["data"]["id"]) == (200, claim_id)
