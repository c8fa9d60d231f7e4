"""What a client can get wrong: it is told what, in a code; no service is asked, and nothing breaks."""

import base64
import gzip
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog
from bff_under_test import Bff, listen, running
from structlog.typing import EventDict

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from resolvers.global_ids import KEY_FORMS, global_id

NOBODYS_UUID = "00000000-0000-4000-8000-000000000000"
NOBODYS = {
    "Claim": NOBODYS_UUID,
    "Detection": NOBODYS_UUID,
    "DetectionRun": "sync-0-nobody",
    "Document": NOBODYS_UUID,
    "Integration": "ebay",
    "Payment": "1",
    "ServiceHealth": "orchestrator",
    "Sync": "sync-0-nobody",
}
BY_ID = {"claim": "Claim", "document": "Document", "detectionRun": "DetectionRun", "sync": "Sync"}
LISTS = ("claims", "documents", "detections", "payments", "syncs")
PYTHON = re.compile(
    r"\b(None|True|False|NoneType|Traceback|\w+Exception|\w+Error|self|dict|kwargs|coroutine|unhashable)\b"
    r"|<class|object at 0x|\.py\b|__init__"
)
CODE_FIELDS = {"code", "retryable", "retryAfterMs", "supportCode"}  # no `service`: no service is at fault


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
async def bff() -> AsyncIterator[Bff]:
    """One BFF for all of them: what cannot be answered leaves nothing behind."""
    sandbox, settings = Sandbox(seed(4)), dev_settings()
    heard = listen(sandbox)
    async with running(create_dev_app(sandbox, settings, seller=SELLERS[0]), sandbox, settings) as bff:
        bff.heard = heard
        await bff.checked()
        yield bff


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """The log of a test; at its end, no traceback may be in it."""
    with structlog.testing.capture_logs() as events:
        yield events
    assert [event for event in events if "exc_info" in event or event["log_level"] == "error"] == []


def assert_refused(errors: list[dict[str, Any]], code: str = "BAD_USER_INPUT") -> None:
    assert errors
    for error in errors:
        assert error["extensions"].keys() == CODE_FIELDS
        assert (error["extensions"]["code"], error["extensions"]["retryable"]) == (code, False)
        assert re.fullmatch(r"OP-[0-9A-F]{8}", error["extensions"]["supportCode"])
        assert PYTHON.search(error["message"]) is None, error["message"]
        assert len(error["message"]) <= 300


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    # ids
    **{
        f"{field} with {kind}": (f"query($id: ID!) {{ {field}(id: $id) {{ id }} }}", {"id": value})
        for field in [*BY_ID, "node"]
        for kind, value in {
            "a garbage id": "garbage",
            "no id": "",
            "an id of nonsense": encoded("nonsense"),
            "an id of an unknown type": encoded("Invoice:1"),
            "an id with a garbage key": encoded("Claim:../../etc"),
            "an id of the wrong case": encoded("claim:" + NOBODYS_UUID),
            "a number as id": 5,
            "a letter that is no base64": "ÿ",
            "a very long id": "Q2xh" * 5000,
            "an id of another type": global_id("PageInfo" if field == "node" else "Payment", 1),
        }.items()
    },
    # pages
    **{
        f"{field} {name} {value}": (f"{{ {field}({name}: {value}) {{ asOf }} }}", {})
        for field in LISTS
        for name, value in (("first", 0), ("first", 101), ("first", -1))
    },
    **{
        f"{field} after {value!r}": (
            f"query($after: String) {{ {field}(after: $after) {{ asOf }} }}",
            {"after": value},
        )
        for field in LISTS
        for value in (
            "",
            "x",
            encoded("offset:-1"),
            encoded("offset:1e3"),
            encoded("offset:٣"),
            encoded("page:1"),
            encoded("offset:9999999999"),
        )
    },
    "recentClaims first 21": ("{ dashboard { recentClaims(first: 21) { asOf } } }", {}),
    "recentClaims first 0": ("{ dashboard { recentClaims(first: 0) { asOf } } }", {}),
    "searchClaims first 101": ('{ searchClaims(query: "x", first: 101) { asOf } }', {}),
    # filters and texts
    "claims of a category too long for an address": (
        "query($c: String) { claims(filter: {productCategory: $c}) { asOf } }",
        {"c": "x" * 100_000},
    ),
    **{
        f"an amount of {amount[:12]}": (
            "mutation($i: UpdateClaimInput!) { updateClaim(input: $i) { claim { id } } }",
            {"i": {"claimId": global_id("Claim", NOBODYS_UUID), "claimedAmount": {"amount": amount}}},
        )
        for amount in ("1E+999999999", "1E-999999999", "9" * 5000, "1." + "0" * 5000, "0E+999999999")
    },
    "claims in state UNKNOWN": ("{ claims(filter: {status: UNKNOWN}) { asOf } }", {}),
    "detections in state UNKNOWN": ("{ detections(status: UNKNOWN) { asOf } }", {}),
    "payments in state UNKNOWN": ("{ payments(status: UNKNOWN) { asOf } }", {}),
    "a state that is none": ("{ claims(filter: {status: LOST}) { asOf } }", {}),
    "an order that is none": ("{ claims(orderBy: {field: PROFIT}) { asOf } }", {}),
    "an empty search": ('{ searchClaims(query: "") { asOf } }', {}),
    "a blank search": ('{ searchClaims(query: "  ") { asOf } }', {}),
    "a search of 101 letters": (f'{{ searchClaims(query: "{"x" * 101}") {{ asOf }} }}', {}),
    "an empty case number": ('{ claimByCaseNumber(caseNumber: "") { id } }', {}),
    "a blank case number": ('{ claimByCaseNumber(caseNumber: " ") { id } }', {}),
    "a dot for a case number": ('{ claimByCaseNumber(caseNumber: ".") { id } }', {}),
    "two dots for a case number": ('{ claimByCaseNumber(caseNumber: "..") { id } }', {}),
    "a case number of 51 letters": (f'{{ claimByCaseNumber(caseNumber: "{"x" * 51}") {{ id }} }}', {}),
    # variables
    **{
        f"{value!r} for an Int": ("query($first: Int!) { claims(first: $first) { asOf } }", {"first": value})
        for value in ("5", 1.5, True, None, [5], {"a": None}, 2**31)
    },
    **{
        f"{value!r} for a filter": (
            "query($filter: ClaimFilterInput) { claims(filter: $filter) { asOf } }",
            {"filter": value},
        )
        for value in (
            "x",
            True,
            [None],
            {"nope": None},
            {"status": 5},
            {"status": [None]},
            {"status": {"a": True}},
            {"productCategory": False},
        )
    },
    "null for an id": ("{ node(id: null) { id } }", {}),
    "an id left out": ("{ node { id } }", {}),
    "a variable left out": ("query($id: ID!) { node(id: $id) { id } }", {}),
    # representations
    **{
        f"representation {value!r}": (
            "query($one: [_Any!]!) { _entities(representations: $one) { __typename } }",
            {"one": [value]},
        )
        for value in (
            {},
            "x",
            5,
            None,
            [],
            [{"__typename": "Claim"}],
            {"__typename": "Claim"},
            {"__typename": "Claim", "id": None},
            {"__typename": "Claim", "id": 5},
            {"__typename": "Claim", "id": ["x"]},
            {"__typename": "Claim", "id": "garbage"},
            {"__typename": "Claim", "id": global_id("Payment", 1)},
            {"__typename": "Claim", "caseNumber": "CASE-1"},
            {"__typename": "Invoice", "id": "x"},
            {"__typename": 5, "id": "x"},
            {"__typename": "Money", "amount": "1", "currencyCode": "USD"},
            {"__typename": "ServiceHealth", "id": global_id("ServiceHealth", "stripe")},
            {"__typename": "_Entity", "id": "x"},
            {"__typename": "Node", "id": global_id("Claim", NOBODYS_UUID)},
        )
    },
    # documents
    "a field that is none": ("{ viewer { shoeSize } }", {}),
    "an argument that is none": ("{ claims(last: 5) { asOf } }", {}),
    "a syntax error": ("{ viewer { ", {}),
    "an open string": ('{ node(id: "', {}),
    "no text": (" ", {}),
    "no selection": ("{ viewer }", {}),
    "a selection on a leaf": ("{ viewer { userId { x } } }", {}),
    "two operations": ("query A { viewer { userId } } query B { viewer { email } }", {}),
    "two operations without names": ("{ viewer { userId } } { viewer { email } }", {}),
    "two operations of a name": ("query A { viewer { userId } } query A { viewer { email } }", {}),
    "a fragment that spreads itself": ("{ ...F } fragment F on Query { ...F }", {}),
    "a mutation": ("mutation { submitClaim { claim { id } } }", {}),
}


@pytest.mark.parametrize(("document", "variables"), REFUSED.values(), ids=[name[:60] for name in REFUSED])
async def test_an_operation_that_cannot_be_answered_is_explained(
    bff: Bff, logged: list[EventDict], document: str, variables: dict[str, Any]
):
    """The client learns from code and message what to mend; one event says so, and no service is asked."""
    bff.calls()

    answer = await bff.ask(document, **variables)

    assert answer.status == 200
    assert_refused(answer.errors)
    assert answer.data is None or set(_leaves(answer.data)) <= {None}
    assert bff.calls() == {}
    [event] = logged
    assert event["event"] == "operation.executed"
    assert event["error_codes"] == ["BAD_USER_INPUT"]
    assert event["error_count"] == len(answer.errors)


async def test_dots_for_a_case_number_are_told_as_what_they_are(bff: Bff):
    """Two characters are within the 50 that are allowed: the reason is another."""
    for number in (".", ".."):
        answer = await bff.ask("query($n: String!) { claimByCaseNumber(caseNumber: $n) { id } }", n=number)

        [error] = answer.errors
        assert error["message"] == "`caseNumber` must not be `.` or `..`: no claim has such a number."


ENDLESS = {
    "40 000 levels": "{ a" * 40_000 + " }" * 40_000,
    "80 000 open levels": "{ a" * 80_000,
    "a list of 100 000 levels": f"{{ node(id: {'[' * 100_000}{']' * 100_000}) {{ id }} }}",
    "a chain of 3000 fragments": (
        "{ ...F0 } fragment F3000 on Query { viewer { userId } } "
        + " ".join(f"fragment F{nth} on Query {{ ...F{nth + 1} }}" for nth in range(3000))
    ),
}


@pytest.mark.parametrize("document", ENDLESS.values(), ids=ENDLESS)
async def test_a_document_without_end_is_not_even_read(bff: Bff, logged: list[EventDict], document: str):
    """It costs its sender more than us; a limit of our own answers, not Python's stack."""
    answer = await bff.ask(document)

    assert_refused(answer.errors, "QUERY_TOO_COMPLEX")
    assert [event["event"] for event in logged] == ["limit.exceeded", "operation.executed"]


def _leaves(value: Any) -> Iterator[Any]:
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _leaves(inside)
    if not isinstance(value, dict | list):
        yield value


JSON = {"content-type": "application/json"}
VIEWER = '{"query": "{ viewer { userId } }"'
CODES = {
    400: "BAD_USER_INPUT",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
UNREADABLE: dict[str, tuple[dict[str, Any], int]] = {
    **{
        f"the body {body[:40]!r}": ({"content": body, "headers": JSON}, 400)
        for body in (
            b"null",
            b"5",
            b'"x"',
            b"[]",
            b"[{}]",
            b"{}",
            b"",
            b"not JSON",
            b'{"query":',
            b'\xff\xfe{"query": "{ viewer { userId } }"}',
            b'{"query": "{ viewer { userId } } # \xff"}',
            b'{"query": "\\ud83d"}',
            b'{"query": null}',
            b'{"query": 5}',
            b'{"query": ""}',
            b'{"operationName": "Dashboard"}',
            f'{VIEWER}, "variables": [1]}}'.encode(),
            f'{VIEWER}, "variables": "x"}}'.encode(),
            f'{VIEWER}, "operationName": "Other"}}'.encode(),
            f'{VIEWER}, "operationName": 5}}'.encode(),
            f'{VIEWER}, "extensions": 5}}'.encode(),
            f'{VIEWER}, "variables": {{"a": {"[" * 100_000}{"]" * 100_000}}}}}'.encode(),
            b'[{"query": "{ viewer { userId } }"}]',
            b'{"query": "fragment F on Query { viewer { userId } }"}',
        )
    },
    **{
        f"content of type {content_type!r}": (
            {"content": VIEWER + "}", "headers": {"content-type": content_type}},
            415,
        )
        for content_type in (
            "",
            "text/plain",
            "application/graphql",
            "x-application/json-x",
            "application/jsonp",
            "application/json, text/plain",
            "text/plain; application/json",
            "application/json; charset=utf-16",
            "application/json; charset=ISO-8859-1",
        )
    },
    "no content type": ({"content": VIEWER + "}"}, 415),
    "content that is packed": (
        {"content": gzip.compress(VIEWER.encode()), "headers": JSON | {"content-encoding": "gzip"}},
        415,
    ),
    "a form": ({"data": {"query": "{ viewer { userId } }"}}, 415),
    "an upload": ({"files": {"query": b"{ viewer { userId } }"}}, 415),
    "a body of 256 KB and one byte": ({"content": b" " * (256 * 1024 + 1), "headers": JSON}, 413),
    **{
        f"only {accept!r} accepted": (
            {"json": {"query": "{ viewer { userId } }"}, "headers": {"accept": accept}},
            406,
        )
        for accept in ("text/html", "application/xml;q=1", "*/*;q=0", "nonsense")
    },
    "a subscription": ({"json": {"query": "subscription { claimUpdated { id } }"}}, 400),
    "GET with a subscription": (
        {"method": "GET", "params": {"query": "subscription { claimUpdated { id } }"}},
        400,
    ),
    **{f"the method {method}": ({"method": method}, 405) for method in ("PUT", "PATCH", "DELETE", "OPTIONS")},
    "GET without a query": ({"method": "GET"}, 400),
    "GET with an empty query": ({"method": "GET", "params": {"query": ""}}, 400),
    "GET with variables that are no JSON": (
        {"method": "GET", "params": {"query": "{ viewer { userId } }", "variables": "{a"}},
        400,
    ),
    "GET with variables that are no object": (
        {"method": "GET", "params": {"query": "{ viewer { userId } }", "variables": "5"}},
        400,
    ),
    "GET with a mutation": ({"method": "GET", "params": {"query": "mutation { submitClaim { x } }"}}, 405),
    **{
        f"a budget of {budget!r}": (
            {"json": {"query": "{ claims { asOf } }"}, "headers": {"x-request-budget": budget}},
            400,
        )
        for budget in ("", "soon", "0", "000", "-5", "1.5", "1e3", "0x10", "²", "5 000", "NaN")
    },
}


@pytest.mark.parametrize(
    ("request_of", "status"), UNREADABLE.values(), ids=[name[:60] for name in UNREADABLE]
)
async def test_a_request_that_holds_no_operation_is_refused(
    bff: Bff, logged: list[EventDict], request_of: dict[str, Any], status: int
):
    """Whatever is sent to the endpoint, a client that reads JSON errors can read this one."""
    headers = {"authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}"}
    headers |= {name: value.encode("latin-1") for name, value in request_of.get("headers", {}).items()}
    bff.calls()

    response = await bff.http.request(
        **{"method": "POST", "url": "/graphql", **request_of, "headers": httpx.Headers(headers)}
    )

    assert (response.status_code, response.headers["content-type"]) == (
        status,
        "application/json; charset=utf-8",
    )
    body = response.json()
    assert body.keys() == {"errors"}
    assert_refused(body["errors"], CODES[status])
    assert bff.calls() == {}
    assert [event["event"] for event in logged] == ["request.refused"]


@pytest.mark.parametrize("type_name", sorted(KEY_FORMS))
async def test_an_id_of_nothing_is_null_without_an_error(bff: Bff, logged: list[EventDict], type_name: str):
    """ "There is none" is an answer; clients follow stale links all the time."""
    field = next((field for field, of_type in BY_ID.items() if of_type == type_name), None)
    document = f"query($id: ID!) {{ node(id: $id) {{ id }} {field + '(id: $id) { id }' if field else ''} }}"
    bff.calls()

    answer = await bff.ask(document, id=global_id(type_name, NOBODYS[type_name]))

    assert (answer.status, answer.errors) == (200, [])
    assert set(answer.data.values()) == {None}
    assert sum(bff.calls().values()) == (type_name not in ("Integration", "ServiceHealth"))


@pytest.mark.parametrize(
    ("number", "path"),
    [
        ("CASE-9999-000000", "/CASE-9999-000000"),
        ("a/b?c=d", "/a%2Fb%3Fc%3Dd"),
        ("../stats", "/..%2Fstats"),
        ("..%2Fstats", "/..%252Fstats"),
        ("#", "/%23"),
        ("ü", "/%C3%BC"),
        ("...", "/..."),
        (" CASE-9999-000000 ", "/CASE-9999-000000"),
    ],
)
async def test_a_case_number_stays_one_segment_of_the_path(
    bff: Bff, logged: list[EventDict], number: str, path: str
):
    """A number is a person's text: it must not become another route of the refund engine."""
    bff.heard.clear()
    document = "query($number: String!) { claimByCaseNumber(caseNumber: $number) { id } }"

    answer = await bff.ask(document, number=number)

    assert (answer.data, answer.errors) == ({"claimByCaseNumber": None}, [])
    assert [heard.path for heard in bff.heard if heard.path != "/health"] == [f"/api/v1/claims/case{path}"]


@pytest.mark.parametrize("field", LISTS)
async def test_a_cursor_far_beyond_the_end_is_an_empty_page(bff: Bff, logged: list[EventDict], field: str):
    """Rows can vanish under a reader: the page is empty and says that something precedes it."""
    document = f"""query($after: String) {{
      {field}(after: $after) {{
        nodes {{ id }} edges {{ cursor }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
      }}
    }}"""

    answer = await bff.ask(document, after=encoded("offset:999999999"))

    assert (answer.status, answer.errors) == (200, [])
    assert answer.data[field] == {
        "nodes": [],
        "edges": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": True,
            "startCursor": None,
            "endCursor": None,
        },
    }


async def test_one_bad_argument_costs_one_field(bff: Bff, logged: list[EventDict]):
    """A mistake in one branch must not take the rest of a screen with it."""
    bff.calls()

    answer = await bff.ask(
        """query($garbage: ID!) {
          viewer { userId }
          claim(id: $garbage) { id }
          claims(first: 2) { nodes { id documents(first: 0) { asOf } } }
        }""",
        garbage="garbage",
    )

    assert answer.data["viewer"]["userId"] == SELLERS[0].user_id
    assert answer.data["claim"] is None
    assert [claim["documents"] for claim in answer.data["claims"]["nodes"]] == [None, None]
    assert_refused(answer.errors)
    assert {tuple(error["path"][:1]) for error in answer.errors} == {("claim",), ("claims",)}
    assert bff.calls().keys() == {"refund-engine"}


async def test_one_bad_representation_costs_one_entity(bff: Bff, logged: list[EventDict]):
    """The router sends many representations at once, of many people's screens: each stands alone."""
    claim_id = global_id("Claim", next(iter(bff.sandbox.world.claims)))
    representation = {"__typename": "Claim", "id": claim_id}

    answer = await bff.ask(
        """query($all: [_Any!]!) {
          one: _entities(representations: $all) { ... on Claim { id } }
          two: _entities(representations: $all) { ... on Claim { id } }
        }""",
        all=[representation, {"__typename": "Invoice"}, {**representation, "caseNumber": "more than needed"}],
    )

    assert answer.data["one"] == answer.data["two"] == [{"id": claim_id}, None, {"id": claim_id}]
    assert_refused(answer.errors)
    assert [error["path"] for error in answer.errors] == [["one", 1], ["two", 1]]


async def test_an_operation_of_several_is_chosen_by_name(bff: Bff, logged: list[EventDict]):
    """Named, one of several operations runs: the check above must not forbid what GraphQL allows."""
    headers = {"authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}"}
    document = "query A { viewer { userId } } query B { viewer { email } }"

    response = await bff.http.post(
        "/graphql", json={"query": document, "operationName": "B"}, headers=headers
    )

    assert response.json() == {"data": {"viewer": {"email": SELLERS[0].email}}}
