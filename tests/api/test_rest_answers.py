"""From what an operation gave to status and body: the rules of the façade, one by one, over given results."""

from typing import Any

import orjson
import pytest
from graphql import GraphQLError
from strawberry.types.execution import ExecutionResult

from bff.auth import IssuerUnavailable, Unauthenticated
from bff.errors import MESSAGES
from bff.rest.answers import RETRY_AFTER_S, STATUS, USER_ERROR_STATUS, answered
from bff.rest.row import Row
from clients.errors import StoreUnavailable, StripeIdsNotSetUp, StripeIdsUsedUp
from resolvers.errors import BadUserInput, Forbidden

CLAIM = Row("GET", "/claim", "CaseDetail", "claim", "A claim.")
LATEST = Row("GET", "/latest", "SyncActivity", "syncs.edges[0].node", "The latest sync.")
SUBMIT = Row("POST", "/submit", "SubmitClaim", "submitClaim.claim", "Submits.", success=202)


def error(code: str, *path: str | int, **more: Any) -> GraphQLError:
    extensions = {"code": code, "retryable": True, "retryAfterMs": None, "supportCode": "OP-1"} | more
    return GraphQLError("In words.", path=list(path), extensions=extensions)


def answer(row: Row, data: Any, *errors: GraphQLError) -> tuple[int, dict[str, Any], str | None]:
    response = answered(row, ExecutionResult(data, list(errors)))
    return response.status_code, orjson.loads(response.body), response.headers.get("retry-after")


def test_a_value_is_a_success_with_what_is_missing_beside_it():
    """A partial answer is an answer: it is not thrown away for what it lacks."""
    lacking = error("SERVICE_TIMEOUT", "claim", "documents", service="cost-docs")

    status, body, _ = answer(CLAIM, {"claim": {"id": "x", "documents": None}}, lacking)

    assert (status, body["data"]) == (200, {"id": "x", "documents": None})
    assert body["errors"] == [lacking.formatted]


def test_what_is_fine_has_no_errors():
    """`errors` is there exactly when there is one."""
    assert answer(CLAIM, {"claim": {"id": "x"}}) == (200, {"data": {"id": "x"}}, None)


@pytest.mark.parametrize("data", [{"claim": None}, {}])
def test_nothing_and_no_error_is_not_found(data: Any):
    """Absence is told apart from failure."""
    assert answer(CLAIM, data) == (404, {"data": None}, None)


def test_an_empty_list_has_no_first():
    """Nor has a list that could not be read, and that is another answer."""
    assert answer(LATEST, {"syncs": {"edges": []}})[0] == 404
    assert answer(LATEST, {"syncs": None}, error("SERVICE_TIMEOUT", "syncs", service="x"))[0] == 504


@pytest.mark.parametrize("code", STATUS)
def test_a_null_with_an_error_is_that_errors_status(code: str):
    """The table of the façade, code by code."""
    service = {"service": "stripe"} if STATUS[code] in (502, 503, 504) else {}

    status, body, _ = answer(CLAIM, {"claim": None}, error(code, "claim", **service))

    assert (status, body["data"]) == (STATUS[code], None)
    assert body["errors"][0]["extensions"]["code"] == code


def test_every_code_has_its_status():
    """A code that a field can have gets its status here before it is a surprise."""
    store = {error.code for error in (StoreUnavailable, StripeIdsNotSetUp, StripeIdsUsedUp)}
    own = {BadUserInput.code, Forbidden.code, "QUERY_TOO_COMPLEX", "INTERNAL_SERVER_ERROR"} | store

    assert MESSAGES.keys() | own | {Unauthenticated.code, IssuerUnavailable.code} == STATUS.keys()


def test_the_caller_who_asks_too_often_is_told_so():
    """429 is the caller's own doing; a service that turns us away is 503."""
    assert answer(CLAIM, {"claim": None}, error("RATE_LIMITED", "claim", retryAfterMs=1500))[0::2] == (
        429,
        "2",
    )
    limited = error("RATE_LIMITED", "claim", service="stripe", retryAfterMs=61_000)
    assert answer(CLAIM, {"claim": None}, limited)[0::2] == (503, "61")


@pytest.mark.parametrize(
    ("retry_after_ms", "seconds"), [(None, str(RETRY_AFTER_S)), (0, "0"), (1, "1"), (1000, "1"), (1001, "2")]
)
def test_when_to_come_again_is_rounded_up(retry_after_ms: int | None, seconds: str):
    """A client that comes a moment too early is turned away once more."""
    down = error("CIRCUIT_OPEN", "claim", service="stripe", retryAfterMs=retry_after_ms)

    assert answer(CLAIM, {"claim": None}, down)[2] == seconds


def test_the_status_is_that_of_the_value():
    """Of several errors, the one that took the value decides, and not the first in the list."""
    errors = [
        error("SERVICE_TIMEOUT", "other", service="stripe"),
        error("FORBIDDEN", "claim"),
        error("SERVICE_FAILED", "other", service="stripe"),
    ]

    assert answer(CLAIM, {"claim": None, "other": None}, *errors)[0] == 403


def test_an_error_deep_inside_can_take_the_value():
    """A null that may not be one takes its parents with it, and the error's path goes on below the value."""
    assert answer(CLAIM, {"claim": None}, error("INTERNAL_SERVER_ERROR", "claim", "status"))[0] == 500


def test_a_refused_request_has_no_data():
    """An error without a path is of the whole request."""
    whole = GraphQLError("No.", extensions={"code": "BAD_USER_INPUT", "retryAfterMs": None})

    assert answer(CLAIM, None, whole)[0] == 400


@pytest.mark.parametrize("code", USER_ERROR_STATUS)
def test_what_a_person_did_wrong_is_the_first_ones_status(code: str):
    """User errors are data in the graph; over REST they are a status, and stay readable."""
    told = [{"code": code, "message": "In words.", "field": None}, {"code": "REFUSED", "message": "x"}]

    status, body, retry_after = answer(SUBMIT, {"submitClaim": {"claim": None, "userErrors": told}})

    assert (status, body) == (USER_ERROR_STATUS[code], {"data": None, "userErrors": told})
    assert retry_after == (str(RETRY_AFTER_S) if status == 503 else None)


def test_what_was_started_has_the_rows_status():
    """202 is not 200: the work goes on."""
    assert answer(SUBMIT, {"submitClaim": {"claim": {"id": "x"}, "userErrors": []}})[:2] == (
        202,
        {"data": {"id": "x"}},
    )


def test_what_was_done_and_cannot_be_read_is_no_success():
    """A payload that a service's failure took is that failure, with its name."""
    lost = error("SERVICE_TIMEOUT", "submitClaim", service="integrations")

    assert answer(SUBMIT, {"submitClaim": None}, lost)[0] == 504
