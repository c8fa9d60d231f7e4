"""Which error an answer stands for: one code per decision that a client of the graph can take."""

import contextlib
import json
from datetime import UTC, datetime

import httpx
import pytest
import structlog
import time_machine

from clients.errors import (
    ContractBroken,
    ResultTooLarge,
    UpstreamAuthFailed,
    UpstreamConflict,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

EMPTY_PAGE = b'{"data":[],"pagination":{"total":0}}'
SECRET_TEXT = "Invalid `prisma.findMany()` in /srv/app/src/service.ts"


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (301, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (400, UpstreamRejected, "SERVICE_REJECTED", False),
        (401, UpstreamAuthFailed, "SERVICE_AUTH_FAILED", False),
        (403, UpstreamAuthFailed, "SERVICE_AUTH_FAILED", False),
        (404, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (408, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (409, UpstreamConflict, "SERVICE_REJECTED", False),
        (421, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (422, UpstreamRejected, "SERVICE_REJECTED", False),
        (425, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (429, UpstreamRateLimited, "RATE_LIMITED", True),
        (500, UpstreamFailed, "SERVICE_FAILED", True),
        (501, UpstreamFailed, "SERVICE_FAILED", True),
        (502, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (503, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
        (504, UpstreamUnavailable, "SERVICE_UNAVAILABLE", True),
    ],
)
async def test_status_decides_the_error(as_ann, respx_router, outcomes, status, kind, code, retryable):
    """Clients switch on the code: each status has exactly one, and every failure reaches the monitor."""
    respx_router.get(host="refund-engine.test").respond(status, json={"error": SECRET_TEXT})

    with pytest.raises(UpstreamError) as raised:
        await as_ann.refund_engine.claims_page(limit=1)

    error = raised.value
    assert type(error) is kind
    assert (error.code, error.retryable, error.status) == (code, retryable, status)
    assert (error.upstream, error.operation) == ("refund-engine", "listClaims")
    [told] = outcomes  # once, however often it was tried
    assert (told.upstream, type(told.error), told.error.status) == ("refund-engine", kind, status)
    assert told.error.operation == "listClaims"


SOMEBODY_ELSES = {
    "nobody": httpx.Response(404),
    "a proxy": httpx.Response(404, html="<h1>no backend</h1>"),
    "the engine's router": httpx.Response(
        404, json={"error": "Not Found", "message": "Route /api/v1/claims/1 not found"}
    ),
    "stripe's router": httpx.Response(
        404, json={"error": "Not found", "message": "Route GET /api/v1/stripe/status/101 not found"}
    ),
    "cost docs' router": httpx.Response(
        404, json={"success": False, "error": "Endpoint not found", "path": "/api/v1/cost-docs/1"}
    ),
    "integrations' router": httpx.Response(
        404, json={"success": False, "message": "Route /api/v1/integrations/sync/status/1 not found"}
    ),
    "FastAPI": httpx.Response(404, json={"detail": "Not Found"}),
    "Kong": httpx.Response(404, json={"message": "no Route matched with those values"}),
    "Railway": httpx.Response(
        404, json={"status": "error", "code": 404, "message": "Application not found", "request_id": "x"}
    ),
    "another service": httpx.Response(404, json={"error": "Claim not found at all"}),
}
MAY_BE_NONE = {
    "claim": lambda clients: clients.refund_engine.claim("1"),
    "claim by number": lambda clients: clients.refund_engine.claim_by_case_number("C-1"),
    "claim to change": lambda clients: clients.refund_engine.update_claim("1", {"days_since_purchase": 2}),
    "account": lambda clients: clients.stripe.account(),
    "document": lambda clients: clients.cost_docs.document("1"),
    "search": lambda clients: clients.cost_docs.documents_uploaded_by("user", limit=1),
    "sync": lambda clients: clients.integrations.sync("1"),
}


@pytest.mark.parametrize("ask", MAY_BE_NONE.values(), ids=MAY_BE_NONE.keys())
@pytest.mark.parametrize("answer", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES.keys())
async def test_a_404_of_somebody_else_is_no_none(as_ann, respx_router, outcomes, answer, ask):
    """A router that has lost its service would make every claim of a seller vanish, and "not onboarded" of
    their account; nor is it a sign that the service lives."""
    respx_router.route().mock(return_value=answer)

    with pytest.raises(UpstreamError) as raised:
        await ask(as_ann)

    assert (type(raised.value), raised.value.retryable) == (UpstreamUnavailable, True)
    assert [type(outcome.error) for outcome in outcomes] == [UpstreamUnavailable]


@pytest.mark.parametrize(
    "reset",
    [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.RemoteProtocolError("empty reply")],
)
async def test_no_answer_is_unavailable(as_ann, respx_router, outcomes, reset):
    """A refused or a reset connection, and a service that died in mid-answer, are one thing to a seller."""
    respx_router.get(host="refund-engine.test").mock(side_effect=reset)

    with pytest.raises(UpstreamUnavailable) as raised:
        await as_ann.refund_engine.claims_page(limit=1)

    assert type(raised.value) is UpstreamUnavailable
    assert raised.value.__cause__ is reset
    assert [type(outcome.error) for outcome in outcomes] == [UpstreamUnavailable]


async def test_success_is_told_to_the_monitor(as_ann, respx_router, outcomes, captured):
    """Without the successes a service that failed once would stay unhealthy under traffic."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "016"))

    await as_ann.refund_engine.claims_page(limit=1)

    assert [(outcome.upstream, outcome.error) for outcome in outcomes] == [("refund-engine", None)]


@pytest.mark.parametrize(
    ("header", "retry_after_ms"),
    [
        ("898", 898_000),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90_000),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("86401", None),  # a day is more than any service here asks for
        ("9" * 400, None),
        (None, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after(as_ann, respx_router, status, header, retry_after_ms):
    """The wait that a service names is passed on; nonsense in the header must not become another failure."""
    headers = {} if header is None else {"retry-after": header}
    respx_router.get(host="stripe.test").respond(status, headers=headers)

    with (
        time_machine.travel(datetime(2026, 1, 1, tzinfo=UTC), tick=False),
        pytest.raises(UpstreamError) as raised,
    ):
        await as_ann.stripe.transactions_page(limit=1)

    assert raised.value.retry_after_ms == retry_after_ms


async def test_retry_after_means_nothing_elsewhere(as_ann, respx_router):
    """Only 429 and 503 promise anything by it."""
    respx_router.get(host="stripe.test").respond(500, headers={"retry-after": "5"})

    with pytest.raises(UpstreamFailed) as raised:
        await as_ann.stripe.transactions_page(limit=1)

    assert raised.value.retry_after_ms is None


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Welcome to nginx</body></html>",
        b'{"success":true,"data":[',
        b"",
        b"null",
        b"[]",
        b'{"success":true}',
        b'{"success":true,"data":[{"id":7}],"pagination":{"total":1}}',
        b'{"success":true,"data":[],"pagination":{"total":"1"}}',
        b"\xff\xfe",
    ],
)
async def test_another_shape_breaks_the_contract(as_ann, respx_router, outcomes, content):
    """A 200 that is not what was agreed is a failure: read as an empty list it would hide money."""
    respx_router.get(host="refund-engine.test").respond(200, content=content)

    with pytest.raises(ContractBroken) as raised:
        await as_ann.refund_engine.claims_page(limit=1)

    assert (raised.value.code, raised.value.retryable) == ("SERVICE_CONTRACT_BROKEN", False)
    assert (raised.value.status, raised.value.said) == (200, None)
    assert raised.value.__cause__ is None  # pydantic's error quotes the body
    [told] = outcomes  # and no success beside it, which would start the monitor's count again
    assert (type(told.error), told.error.status) == (ContractBroken, 200)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"error": "Title", "message": "what happened"}, "what happened"),
        ({"error": "what happened"}, "what happened"),
        ({"success": False, "message": "what happened"}, "what happened"),
        ({"success": False, "error": {"code": "X", "message": "what happened"}}, "what happened"),
        ({"success": False, "error": "what happened", "details": "more"}, "what happened"),
        ({"errors": [{"msg": "bad"}]}, None),
        ({"error": "what happened", "details": [{"msg": "bad"}]}, "what happened"),
        ({"detail": "what happened"}, "what happened"),
        ({"detail": [{"msg": "bad"}]}, None),
        ({"error": "what happened", "timestamp": "2026-11-23T04:03:20"}, "what happened"),
        ({"error": "", "timestamp": "2026-11-23T04:03:20"}, None),
        (["what happened"], None),
        ("Internal Server Error", None),
    ],
)
async def test_what_a_service_said(as_ann, respx_router, content, said):
    """Ten error shapes, one text: disguised answers are told apart by it."""
    text = content if isinstance(content, str) else json.dumps(content)
    respx_router.get(host="integrations.test").respond(500, text=text)

    with pytest.raises(UpstreamFailed) as raised:
        await as_ann.integrations.sync("sync-1")

    assert raised.value.said == said


async def test_what_a_service_said_is_bounded_and_not_printed(as_ann, respx_router):
    """Services answer with SQL, paths and stack traces: `str(error)` ends up in logs and reports."""
    respx_router.get(host="cost-docs.test").respond(500, json={"success": False, "error": SECRET_TEXT * 50})

    with pytest.raises(UpstreamFailed) as raised:
        await as_ann.cost_docs.document_stats()

    assert raised.value.said == (SECRET_TEXT * 50)[:300]
    assert "prisma" not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize(
    ("answer", "outcome", "said", "requests"),
    [
        (httpx.Response(200, content=EMPTY_PAGE), "OK", None, 1),
        (httpx.Response(404, json={"error": "gone"}), "REFUSED", "gone", 1),
        (httpx.Response(500, json={"error": "boom"}), "REFUSED", "boom", 2),
        (httpx.ConnectError("refused"), "NO_ANSWER", None, 2),
    ],
)
async def test_each_request_leaves_one_event(as_ann, respx_router, answer, outcome, said, requests):
    """One line per request, whatever came of it, and neither the token nor a body in it."""
    route = respx_router.get(host="refund-engine.test")
    route.mock(return_value=answer) if outcome != "NO_ANSWER" else route.mock(side_effect=answer)

    with structlog.testing.capture_logs() as events, contextlib.suppress(UpstreamError):
        await as_ann.refund_engine.claims_page(limit=1)

    assert len(events) == route.call_count == requests
    assert all(event.pop("duration_ms") >= 0 for event in events)
    assert events == requests * [
        {
            "event": "upstream.called",
            "log_level": "info",
            "upstream": "refund-engine",
            "operation": "listClaims",
            "status": getattr(answer, "status_code", None),
            "outcome": outcome,
            "said": said,
        }
    ]


async def test_a_broken_contract_is_logged_by_field_not_by_value(as_ann, respx_router, captured):
    """The field that changed is found in the log; what a seller's row says is not."""
    body = captured("refund-engine", "030")
    body["data"][1]["status"] = {"private": "words"}
    respx_router.get(host="refund-engine.test").respond(json=body)

    with structlog.testing.capture_logs() as events, pytest.raises(ContractBroken):
        await as_ann.refund_engine.claims_page(limit=5)

    [event] = [event for event in events if event["event"] == "upstream.contract_broken"]
    assert (event["problem_count"], event["problems"]) == (1, ["data.1.status: string_type"])
    assert "words" not in str(events)


async def test_countless_problems_are_counted_and_not_listed(as_ann, respx_router, captured):
    """A body that is wrong in each of its members must not hold the loop while its faults find words."""
    body = captured("integrations", "048")
    body["data"]["by_severity"] = {f"kind {number}": {} for number in range(1000)}
    respx_router.get(host="integrations.test").respond(json=body)

    with structlog.testing.capture_logs() as events, pytest.raises(ContractBroken):
        await as_ann.integrations.detection_statistics()

    [event] = [event for event in events if event["event"] == "upstream.contract_broken"]
    assert (event["problem_count"], event["problems"]) == (2000, [])


@pytest.mark.parametrize(
    ("kind", "code", "retryable"),
    [(UpstreamTimeout, "SERVICE_TIMEOUT", True), (ResultTooLarge, "RESULT_TOO_LARGE", False)],
)
def test_errors_that_no_answer_brings(kind, code, retryable):
    """The other rows of the table: nobody answered, or we stopped reading."""
    assert (kind.code, kind.retryable) == (code, retryable)
