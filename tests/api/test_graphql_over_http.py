"""GraphQL over HTTP: which media type and status an answer has, and that it is JSON whatever was sent.

The audits of the specification's authors, the npm package `graphql-http`, ask the same; these need no Node.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from bff_under_test import Bff, MakeBff, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
UTF_8 = "; charset=utf-8"


@pytest.fixture(scope="module")
async def bff() -> AsyncIterator[Bff]:
    """One BFF for all of them: none leaves anything behind."""
    sandbox, told = Sandbox(seed(2)), dev_settings()
    async with running(create_dev_app(sandbox, told, seller=SELLERS[0]), sandbox, told) as bff:
        yield bff


async def send(bff: Bff, method: str = "POST", /, **request: Any) -> httpx.Response:
    """A request to the endpoint, of a seller, with just the `Accept` that is given."""
    headers = httpx.Headers(request.pop("headers", {}))
    headers["authorization"] = f"Bearer {dev_token(bff.settings, SELLERS[0])}"
    made = bff.http.build_request(method, "/graphql", headers=headers, **request)
    if "accept" not in headers:
        del made.headers["accept"]
    return await bff.http.send(made)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        ("APPLICATION/JSON", JSON),
        (f"{JSON};charset=utf-8", JSON),
        (f"{JSON};charset=utf8", JSON),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f'{GRAPHQL_RESPONSE}; charset="UTF-8"', GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};charset=utf-16, {JSON}", JSON),
        (f"{GRAPHQL_RESPONSE}, {JSON}", GRAPHQL_RESPONSE),
        (f"{JSON}, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE},{JSON};q=0.9", GRAPHQL_RESPONSE),  # Apollo Client
        (f"{GRAPHQL_RESPONSE};q=0.5, {JSON}", JSON),
        (f"{GRAPHQL_RESPONSE};q=0, */*", JSON),
        (f"{JSON};q=0, */*;q=0.1", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=nonsense, {JSON};q=0.9", GRAPHQL_RESPONSE),
        (f"{JSON}, */*;q=0.1", JSON),
        (f"{GRAPHQL_RESPONSE}, */*", GRAPHQL_RESPONSE),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),  # a browser
        ("text/html, image/gif, *; q=.2, */*; q=.2", JSON),  # Java
    ],
)
async def test_the_media_type_is_what_the_client_prefers(bff: Bff, accept: str | None, media_type: str):
    """A client that is given another type than it asked for cannot tell a GraphQL answer from a proxy's."""
    response = await send(
        bff, json={"query": "{ __typename }"}, headers={} if accept is None else {"accept": accept}
    )

    assert (response.status_code, response.headers["content-type"]) == (200, media_type + UTF_8)
    assert response.json() == {"data": {"__typename": "Query"}}
    assert response.headers["cache-control"] == "no-store"


NEVER_EXECUTED = {
    "a document that cannot be parsed": {"query": "{"},
    "a field that is none": {"query": "{ nope }"},
    "a variable that is missing": {"query": "query($id: ID!) { node(id: $id) { id } }"},
    "a variable of the wrong type": {
        "query": "query($first: Int) { claims(first: $first) { asOf } }",
        "variables": {"first": "many"},
    },
    "an operation of several that nobody named": {"query": "query A { __typename } query B { __typename }"},
}


@pytest.mark.parametrize("body", NEVER_EXECUTED.values(), ids=NEVER_EXECUTED)
@pytest.mark.parametrize(("accept", "status"), [(GRAPHQL_RESPONSE, 400), (JSON, 200)])
async def test_what_was_never_executed_has_no_data(bff: Bff, body: dict[str, Any], accept: str, status: int):
    """`data: null` would say that it ran; a proxy must be able to tell by the status that it did not."""
    response = await send(bff, json=body, headers={"accept": accept})

    assert (response.status_code, response.headers["content-type"]) == (status, accept + UTF_8)
    assert response.json().keys() == {"errors"}
    assert {error["extensions"]["code"] for error in response.json()["errors"]} == {"BAD_USER_INPUT"}


@pytest.mark.parametrize("accept", [GRAPHQL_RESPONSE, JSON])
async def test_a_partial_answer_is_an_answer(bff: Bff, accept: str):
    """One field's fault is not the request's: with another status, clients would throw the rest away."""
    response = await send(
        bff, json={"query": '{ viewer { userId } node(id: "garbage") { id } }'}, headers={"accept": accept}
    )

    assert response.status_code == 200
    assert response.json()["data"] == {"viewer": {"userId": SELLERS[0].user_id}, "node": None}
    assert [error["path"] for error in response.json()["errors"]] == [["node"]]


@pytest.mark.parametrize("accept", [GRAPHQL_RESPONSE, JSON])
async def test_a_refusal_has_the_media_type_of_an_answer(bff: Bff, accept: str):
    """A client reads our word on a refusal only where it is of the type that it reads."""
    refusals = [
        (await send(bff, content=b"nonsense", headers={"accept": accept, "content-type": JSON}), 400),
        (await send(bff, content=b"nonsense", headers={"accept": accept}), 415),
        (await bff.http.post("/graphql", json={}, headers={"accept": accept}), 401),
        (await bff.http.get("/nowhere", headers={"accept": accept}), 404),
    ]

    for response, status in refusals:
        assert (response.status_code, response.headers["content-type"]) == (status, accept + UTF_8)
        assert response.json().keys() == {"errors"}


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("PUT", "/graphql", 405, "GET, POST"),
        ("DELETE", "/graphql", 405, "GET, POST"),
        ("POST", "/health", 405, "GET"),
        ("GET", "/nowhere", 404, None),
        ("POST", "/api/services/status", 405, "GET"),
    ],
)
async def test_who_goes_astray_is_told_in_json(
    bff: Bff, method: str, path: str, status: int, allow: str | None
):
    """Every error of this server is read in the same way, with a support code to quote."""
    response = await bff.http.request(method, path)

    assert (response.status_code, response.headers.get("allow")) == (status, allow)
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}[status]
    assert error["extensions"]["supportCode"].startswith("OP-")


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
async def test_no_token_makes_a_method_right(bff: Bff, method: str):
    """What is not served is refused before anybody is let in: a HEAD must neither fail nor ask a service."""
    request = {"params": {"query": "{ claims(first: 1) { asOf } }"}}
    responses = [
        await send(bff, method, **request),
        await bff.http.request(method, "/graphql", **request),  # without a token
    ]

    for response in responses:
        assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
        assert response.headers["content-type"] == JSON + UTF_8  # all that is seen of an answer to HEAD
    assert bff.calls() == {}


async def test_a_mutation_needs_post(bff: Bff):
    """A link on a foreign page is a GET with whatever the browser knows of us: it must change nothing."""
    response = await send(bff, "GET", params={"query": "mutation { anything { id } }"})

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_query_by_get_is_answered(bff: Bff):
    """Names and variables too: caches and links of support staff send GET."""
    response = await send(
        bff,
        "GET",
        params={
            "query": "query A { __typename } query B($id: ID!) { node(id: $id) { id } }",
            "operationName": "B",
            "variables": json.dumps({"id": "U2VydmljZUhlYWx0aDpzdHJpcGU="}),
        },
    )

    assert response.json() == {"data": {"node": {"id": "U2VydmljZUhlYWx0aDpzdHJpcGU="}}}


async def test_an_empty_parameter_is_an_absent_one(bff: Bff):
    """Forms and query builders write out every name they know."""
    params = {"query": "query A { __typename }", "operationName": "", "variables": "", "extensions": ""}

    response = await send(bff, "GET", params=params)

    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", '"Utf8"'])
async def test_utf_8_goes_by_two_names(bff: Bff, charset: str):
    """IANA's register has one; libraries write both, and a client cannot change what its library writes."""
    response = await send(
        bff, content=b'{"query": "{ __typename }"}', headers={"content-type": f"{JSON}; charset={charset}"}
    )

    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_refused_before_it_is_read(make_bff: MakeBff, chunked: bool):
    """One request must not fill the memory, whether it says its length or not."""
    bff = await make_bff(claims=2, body_limit_bytes=2000)
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1000
            yield b" " * 1000

    content = parts() if chunked else b" " * 2001
    response = await send(bff, content=content, headers={"content-type": JSON})
    fitting = await send(bff, json={"query": "{ __typename }".ljust(1900)})

    assert response.status_code == 413
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["REQUEST_TOO_LARGE"]
    assert fitting.status_code == 200


async def test_a_query_string_above_the_limit_is_refused(make_bff: MakeBff):
    """The limit holds for a document that comes by GET, which has no body."""
    bff = await make_bff(claims=2, body_limit_bytes=2000)

    response = await send(bff, "GET", params={"query": "{ __typename }".ljust(2000)})

    assert response.status_code == 413


async def test_a_fault_of_ours_is_json_too(bff: Bff):
    """What nobody foresaw is told like the rest, and says nothing of what broke."""
    app = create_dev_app(bff.sandbox, bff.settings, seller=SELLERS[0])

    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("database password is hunter2")

    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bff.test") as http:
        with structlog.testing.capture_logs() as events:
            response = await http.get("/breaks")

    assert response.status_code == 500
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "hunter2" not in response.text
    [event] = [event for event in events if event["event"] == "request.broken"]
    assert event["support_code"] == error["extensions"]["supportCode"]


@pytest.mark.parametrize("headers", [{"x-request-budget": "soon"}, {"x-rehearse": "nonsense"}])
async def test_health_always_answers(bff: Bff, headers: dict[str, str]):
    """A probe that is refused for a header takes a good process out of service."""
    response = await bff.http.get("/health", headers=headers)

    assert response.status_code == 200
    assert response.json()["data"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=8,
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "query": st.just("query($id: ID) { node(id: $id) { id } }") | ANYTHING,
        "variables": st.dictionaries(st.sampled_from(["id", "first"]), ANYTHING) | ANYTHING,
        "operationName": ANYTHING,
        "extensions": st.fixed_dictionaries(
            {
                "persistedQuery": st.fixed_dictionaries({"version": ANYTHING, "sha256Hash": ANYTHING})
                | ANYTHING
            }
        )
        | ANYTHING,
    },
)
BODIES = st.binary(max_size=200) | (PARAMETERS | ANYTHING).map(lambda body: json.dumps(body).encode())
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
TYPES = st.sampled_from(
    [JSON, GRAPHQL_RESPONSE, "*/*", "text/html", f"{JSON};q=0.5, {GRAPHQL_RESPONSE};q=0.4"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["POST", "POST", "GET", "PUT"]),
    body=BODIES,
    query=st.text(max_size=60),
    accept=TYPES | HEADER,
    content_type=st.sampled_from([JSON, f"{JSON}; charset=utf-8"]) | HEADER,
)
async def test_nothing_that_is_sent_breaks_the_endpoint(
    bff: Bff, method: str, body: bytes, query: str, accept: str, content_type: str
):
    """Whatever comes over the wire, the answer is JSON with data or errors, and none of it is our fault."""
    response = await send(
        bff,
        method,
        content=body,
        params={"query": query, "variables": query} if method == "GET" else {},
        headers={"accept": accept, "content-type": content_type},
    )

    assert response.status_code in (200, 400, 404, 405, 406, 413, 415)
    assert response.json().keys() & {"data", "errors"}
    assert response.headers["content-type"] in (JSON + UTF_8, GRAPHQL_RESPONSE + UTF_8)
    assert ("data" in response.json()) <= (response.status_code == 200)


@pytest.mark.parametrize("path", ["/graphql/", "/health/", "/api/recoveries/"])
async def test_a_slash_too_many_is_no_redirect(bff, path):
    """A redirect is made of the Host that a request names: a cache in front would send others there."""
    answer = await bff.http.get(path, headers={"host": "evil.example"})

    assert (answer.status_code, "location" in answer.headers) == (404, False)
