"""Subscriptions as answers that do not end: server-sent events, and Apollo's multipart."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from late import WITHIN_S
from read_operations import claims_of
from streamed import Served, serving

from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS
from bff.trusted import sha256
from resolvers.global_ids import global_id

GRAPHQL_RESPONSE, JSON = "application/graphql-response+json", "application/json"
SSE = "text/event-stream"
MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json'
LEEWAY_S = 30.0
HEALTH = "subscription { serviceHealth { sequence } }"


@pytest.fixture
async def bff() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture
async def http(bff: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{bff.port}", timeout=WITHIN_S) as client:
        yield client


def asked(bff: Served, accept: str, document: str = HEALTH, **more: Any) -> dict[str, Any]:
    """Arguments of a request that opens a stream."""
    token = {name: more.pop(name) for name in list(more) if name in ("expires_in_s", "scopes", "seller")}
    return {
        "json": {"query": stored_operations().get(document, document), "variables": more},
        "headers": {"accept": accept, **bff.headers(**token)},
    }


async def parts(response: httpx.Response, accept: str) -> AsyncIterator[Any]:
    """What a stream says: payloads, `"alive"`, and `"complete"`."""
    buffer = ""
    async for text in response.aiter_text():
        buffer += text
        if accept == SSE:
            while "\n\n" in buffer:
                event, _, buffer = buffer.partition("\n\n")
                kind, *data = event.split("\n")
                if kind == "event: next":
                    yield json.loads(data[0].removeprefix("data: "))
                else:
                    yield "complete" if kind == "event: complete" else "alive"
        else:
            while "--graphql" in buffer:
                part, _, buffer = buffer.partition("--graphql")
                body = part.partition("\r\n\r\n")[2].strip()
                if body:
                    yield json.loads(body)["payload"] if body != "{}" else "alive"
            if buffer.startswith("--"):
                yield "complete"


async def ended(response: httpx.Response, accept: str) -> list[Any]:
    """All that a stream says until it ends, signs of life aside."""
    return [part async for part in parts(response, accept) if part != "alive"]


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_stream_over_http_tells_and_completes(bff, http, accept):
    """For clients behind proxies that take no WebSocket."""
    world = bff.sandbox.world
    ended_syncs = [row for row in world.syncs.values() if row["status"] == "completed"]
    sync_id = next(row["sync_id"] for row in ended_syncs if row["user_id"] == SELLERS[0].user_id)
    variables = {"syncId": str(global_id("Sync", sync_id))}
    async with http.stream("POST", "/graphql", **asked(bff, accept, "SyncProgress", **variables)) as response:
        told = await ended(response, accept)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith(accept.partition(";")[0])
    assert response.headers.get_list("cache-control", split_commas=True) == ["no-store", "no-transform"]
    assert response.headers["x-accel-buffering"] == "no"
    [event, end] = told
    assert event["data"]["syncProgress"]["sequence"] == 1
    assert event["data"]["syncProgress"]["sync"]["id"] == variables["syncId"]
    assert end == "complete"


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_change_arrives_while_the_stream_is_open(bff, http, accept):
    """An answer that a proxy or we ourselves hold back until it is whole is no stream."""
    claim = claims_of(bff.sandbox.world, SELLERS[0])[0]
    variables = {"claimIds": [str(global_id("Claim", claim["id"]))]}
    async with http.stream("POST", "/graphql", **asked(bff, accept, "ClaimUpdated", **variables)) as response:
        told = []
        async for part in parts(response, accept):
            if part == "alive":
                continue
            told.append(part["data"]["claimUpdated"])
            if len(told) == 2:
                break
            claim.update(status="paid", updated_at="2030-01-01T00:00:00.000Z")

    assert [(each["sequence"], each["claim"]["status"]) for each in told][1] == (2, "PAID")


async def test_a_stream_may_be_asked_for_with_get(bff, http):
    """As graphql-sse's clients and `curl` do."""
    headers = {"accept": SSE, **bff.headers()}
    async with http.stream("GET", "/graphql", params={"query": HEALTH}, headers=headers) as response:
        first = await anext(parts(response, SSE))

    assert first["data"] == {"serviceHealth": {"sequence": 1}}


CANCEL = 'mutation Cancel { cancelSync(input: {syncId: "x"}) { sync { id } } }'


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
@pytest.mark.parametrize(
    ("query", "operation"), [(CANCEL, None), (f"query A {{ __typename }} {CANCEL}", "Cancel")]
)
async def test_a_mutation_by_get_is_refused_whatever_is_accepted(bff, http, accept, query, operation):
    """A stream's status is sent before its first event: a link must get its 405, not a 200 that says no."""
    params = {"query": query} | ({"operationName": operation} if operation else {})
    response = await http.get("/graphql", params=params, headers={"accept": accept, **bff.headers()})

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "METHOD_NOT_ALLOWED"
    assert bff.sandbox.writes == []


async def test_a_trusted_mutation_by_its_hash_needs_post_for_a_stream_too(bff, http):
    """Its text is known here and not in the request, which is refused for what it stands for."""
    extensions = json.dumps(by_hash(stored_operations()["CancelSync"]))
    params = {"extensions": extensions, "variables": '{"input": {"syncId": "x"}}'}
    response = await http.get("/graphql", params=params, headers={"accept": SSE, **bff.headers()})

    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "query", ["{", "{ nope }", "", "mutation A { x } mutation B { y }", "{ a " * 600 + "}" * 600]
)
async def test_what_cannot_be_read_is_told_in_the_stream(bff, http, query):
    """Looking for mutations must not answer for the one who executes."""
    headers = {"accept": SSE, **bff.headers()}
    async with http.stream("GET", "/graphql", params={"query": query}, headers=headers) as response:
        told, end = await ended(response, SSE)

    assert (response.status_code, end) == (200, "complete")
    assert told["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_without_a_token_no_stream_begins(bff, http, accept):
    """A 401 that comes as an event is read by nobody."""
    request = asked(bff, accept)
    del request["headers"]["authorization"]
    response = await http.post("/graphql", **request)

    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_stream_does_not_outlive_its_token(bff, http, accept):
    """The last words say why, and that a new token helps."""
    request = asked(bff, accept, expires_in_s=3 - LEEWAY_S)
    async with http.stream("POST", "/graphql", **request) as response:
        told = await ended(response, accept)

    [snapshot, last, end] = told
    assert snapshot["data"] == {"serviceHealth": {"sequence": 1}}
    [error] = last["errors"]
    assert (error["extensions"]["code"], end) == ("UNAUTHENTICATED", "complete")


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_silent_stream_ends_with_its_token_and_the_leeway_in_settings(accept):
    """After its snapshot nothing happens: it ends all the same, and not half a minute late."""
    async with serving(jwt_leeway_s=0.0) as bff, httpx.AsyncClient(timeout=10) as http:
        url = f"http://127.0.0.1:{bff.port}/graphql"
        async with http.stream("POST", url, **asked(bff, accept, expires_in_s=1.5)) as response:
            [*_, last, end] = await ended(response, accept)

    assert (last["errors"][0]["extensions"]["code"], end) == ("UNAUTHENTICATED", "complete")


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_silent_stream_shows_signs_of_life(accept):
    """Proxies end what is silent; comment lines and empty parts are seen by nobody else."""
    async with serving(heartbeat_s=0.05) as bff, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{bff.port}/graphql"
        async with http.stream("POST", url, **asked(bff, accept)) as response:
            alive = 0
            async for part in parts(response, accept):
                alive += part == "alive"
                if alive == 3:
                    break

    assert alive == 3


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_when_the_process_leaves_streams_end_without_being_complete(bff, http, accept):
    """uvicorn waits for open answers; a client that is told `complete` never asks again."""
    async with http.stream("POST", "/graphql", **asked(bff, accept)) as response:
        told = []
        async for part in parts(response, accept):
            if part == "alive":
                continue
            told.append(part)
            if len(told) == 1:
                await bff.app.state.streams.close_all()

    assert told == [{"data": {"serviceHealth": {"sequence": 1}}}]
    async with http.stream("POST", "/graphql", **asked(bff, accept)) as late:
        assert await ended(late, accept) == []


@pytest.mark.parametrize("accept", [SSE, MULTIPART])
async def test_a_client_that_leaves_ends_its_stream(bff, http, accept):
    """At once, not at the next event: that may be an hour away."""
    claim = claims_of(bff.sandbox.world, SELLERS[0])[0]
    variables = {"claimIds": [str(global_id("Claim", claim["id"]))]}
    async with http.stream("POST", "/graphql", **asked(bff, accept, "ClaimUpdated", **variables)) as response:
        async for part in parts(response, accept):
            if part != "alive":
                break
        assert bff.app.state.watchers.polls == 1

    async with asyncio.timeout(WITHIN_S):
        while bff.app.state.watchers.polls or len(bff.app.state.streams):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_snapshot_that_cannot_be_had_ends_the_stream(bff, http):
    """One event with the error, and the end: the client knows whether to try again."""
    bff.sandbox.down.add("refund-engine")
    claim = claims_of(bff.sandbox.world, SELLERS[0])[0]
    variables = {"claimIds": [str(global_id("Claim", claim["id"]))]}
    async with http.stream("POST", "/graphql", **asked(bff, SSE, "ClaimUpdated", **variables)) as response:
        [event, end] = await ended(response, SSE)

    [error] = event["errors"]
    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("SERVICE_UNAVAILABLE", True)
    assert end == "complete"


@pytest.mark.parametrize("document", ["{ nope ", "{ nope }", ""])
async def test_a_bad_document_is_told_in_the_stream(bff, http, document):
    """Whatever is wrong, the stream ends and says so."""
    async with http.stream("POST", "/graphql", **asked(bff, SSE, document)) as response:
        told = await ended(response, SSE)

    [event, end] = told
    assert event["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert end == "complete"


URQL = (
    f"application/graphql-response+json, application/graphql+json, application/json, {SSE}, multipart/mixed"
)
RENAME = "mutation ($i: UpdateClaimInput!) { updateClaim(input: $i) { claim { id } userErrors { code } } }"


@pytest.mark.parametrize(
    ("accept", "answered_as"),
    [
        (URQL, GRAPHQL_RESPONSE),
        (MULTIPART, JSON),
        (f"{SSE}, {JSON}", JSON),
        (f"{SSE}, */*", JSON),
        (f"{JSON}, {SSE};q=0.1", JSON),
        (f"{JSON};q=0.1, {SSE};q=0", JSON),
        (f"{JSON};q=0.9, {SSE}", SSE),
        (f"{JSON};q=0, {SSE};q=0.1", SSE),
        (SSE, SSE),
        ("Text/Event-Stream; charset=utf-8", SSE),
    ],
)
async def test_one_result_is_a_plain_answer_wherever_that_is_taken(bff, http, accept, answered_as):
    """A stream has no status, and is not shared with the same query of another tab."""
    claim = claims_of(bff.sandbox.world, SELLERS[0])[0]
    rename = {"claimId": str(global_id("Claim", claim["id"])), "description": "Two boxes."}
    query = await http.post("/graphql", **asked(bff, accept, "{ viewer { userId } }"))
    mutation = await http.post("/graphql", **asked(bff, accept, RENAME, i=rename))
    invalid = await http.post("/graphql", **asked(bff, accept, "{ nope }"))

    for answer in (query, mutation, invalid):
        assert answer.headers["content-type"].partition(";")[0] == answered_as
    assert invalid.status_code == (400 if answered_as == GRAPHQL_RESPONSE else 200)
    if answered_as != SSE:
        assert query.json() == {"data": {"viewer": {"userId": SELLERS[0].user_id}}}
        assert mutation.json()["data"]["updateClaim"]["userErrors"] == []
    assert len(bff.sandbox.writes) == 1


@pytest.mark.parametrize("accept", [f"{JSON}, {SSE}", f"{SSE};q=0.1, {JSON}", URQL])
async def test_a_subscription_is_a_stream_wherever_that_is_taken(bff, http, accept):
    """A plain answer could not carry it; by its hash its kind is known here alone. It is counted once."""
    headers = {"accept": accept, **bff.headers()}
    once = {"query": HEALTH, "extensions": by_hash(HEALTH)}
    left = []
    for body in (once, {"extensions": by_hash(HEALTH)}):
        async with http.stream("POST", "/graphql", json=body, headers=headers) as response:
            assert await anext(parts(response, SSE)) == {"data": {"serviceHealth": {"sequence": 1}}}
            left.append(int(response.headers["ratelimit-remaining"]))

    assert left[0] - left[1] == 1


@pytest.mark.parametrize("accept", [JSON, f"{SSE};q=0, {JSON}", f"multipart/mixed, {JSON}", "*/*"])
async def test_who_takes_no_stream_is_given_none(bff, http, accept):
    """What a client cannot read must not be what it waits for."""
    answer = await http.post("/graphql", **asked(bff, accept))

    [error] = answer.json()["errors"]
    assert (answer.status_code, "needs a stream" in error["message"]) == (400, True)


def by_hash(document: str) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256(document)}}


async def test_a_query_may_be_asked_as_a_stream(bff, http):
    """graphql-sse sends queries the same way: one event, then the end."""
    async with http.stream("POST", "/graphql", **asked(bff, SSE, "{ viewer { userId } }")) as response:
        [event, end] = await ended(response, SSE)

    assert event["data"]["viewer"]["userId"] == SELLERS[0].user_id
    assert end == "complete"
