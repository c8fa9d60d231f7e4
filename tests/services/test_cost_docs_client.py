"""The cost docs client: what it asks, and how it lives with a search that is hidden as published."""

from types import SimpleNamespace

import httpx
import pytest

from clients.errors import UpstreamError

COST_DOCS = "https://cost-docs.test"
DOCUMENT_ID = "55a0f0f2-db19-44b3-ba25-cda295f20f00"


async def test_documents_of_claim_is_one_request(as_ann, respx_router, asked, captured):
    """One page, with the count of all: the shown number must not be the page's length."""
    respx_router.get(host="cost-docs.test").respond(json=captured("cost-docs", "068"))

    page = await as_ann.cost_docs.documents_of_claim("claim-1", limit=3, page=2)

    assert asked() == [f"GET {COST_DOCS}/api/v1/cost-docs/claim/claim-1?page=2&limit=3"]
    assert len(page.rows) == 3
    assert page.total == captured("cost-docs", "068")["data"]["total"]
    assert page.rows[0].download_url is None


async def test_document_is_one_request(as_ann, respx_router, asked, captured):
    """Only the single read brings the signed link."""
    respx_router.get(host="cost-docs.test").respond(json=captured("cost-docs", "060"))

    answer = await as_ann.cost_docs.document(DOCUMENT_ID)

    assert asked() == [f"GET {COST_DOCS}/api/v1/cost-docs/{DOCUMENT_ID}"]
    assert answer.value.id == DOCUMENT_ID
    assert answer.value.download_url


async def test_signed_link_is_not_printed(as_ann, respx_router, captured):
    """A signed link opens the document for whoever has it: it must not reach a log through `repr`."""
    respx_router.get(host="cost-docs.test").respond(json=captured("cost-docs", "060"))

    answer = await as_ann.cost_docs.document(DOCUMENT_ID)

    assert answer.value.download_url not in repr(answer)


async def test_missing_document_is_none(as_ann, respx_router, captured):
    """A document deleted since is an answer, not an error."""
    respx_router.get(host="cost-docs.test").respond(404, json=captured("cost-docs", "062"))

    assert await as_ann.cost_docs.document(DOCUMENT_ID) is None


async def test_document_stats_are_one_request(as_ann, respx_router, asked, captured):
    """`_count` hides the number under the name of the counted column."""
    respx_router.get(host="cost-docs.test").respond(json=captured("cost-docs", "073"))

    stats = (await as_ann.cost_docs.document_stats()).value

    assert asked() == [f"GET {COST_DOCS}/api/v1/cost-docs/stats/overview"]
    assert [(row.content_type, row.counted.count) for row in stats.documents_by_type] == [
        ("application/pdf", 17),
        ("image/png", 8),
    ]
    assert (stats.total_documents, len(stats.recent_uploads)) == (25, 10)


async def test_search_is_one_request(as_ann, respx_router, asked, captured, ann):
    """Where the search can be reached, it is asked each time, by uploader, and counts all."""
    respx_router.get(host="cost-docs.test").respond(json=captured("cost-docs", "068"))

    page = await as_ann.cost_docs.documents_uploaded_by(ann.user_id, limit=3)
    await as_ann.cost_docs.documents_uploaded_by(ann.user_id, limit=3)

    assert asked() == [f"GET {COST_DOCS}/api/v1/cost-docs/search?uploadedBy={ann.user_id}&page=1&limit=3"] * 2
    assert len(page.rows) == 3


async def test_hidden_search_is_asked_once_an_hour(
    directory, caller_for, respx_router, asked, captured, monkeypatch, ann, bob
):
    """Each 404 costs one of the hundred requests that cost docs allows us in a quarter of an hour; and a
    search that its next version opens is found."""

    async def search(viewer):
        cost_docs = directory.clients_for(caller_for(viewer)).cost_docs
        return await cost_docs.documents_uploaded_by(viewer.user_id, limit=3)

    route = respx_router.get(host="cost-docs.test").respond(404, json=captured("cost-docs", "012"))
    now_s = 100.0
    monkeypatch.setattr("clients.cost_docs.time", SimpleNamespace(monotonic=lambda: now_s))

    assert [await search(ann), await search(ann), await search(bob)] == [None] * 3
    now_s += 3599
    assert await search(bob) is None
    assert len(asked()) == 1

    route.respond(json=captured("cost-docs", "068"))
    now_s += 1
    assert [len((await search(viewer)).rows) for viewer in (ann, bob)] == [3, 3]


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(500), httpx.Response(404, json={"success": False, "error": "Endpoint not found"})],
    ids=repr,
)
async def test_failed_search_is_not_remembered_as_hidden(as_ann, as_bob, respx_router, ann, bob, answer):
    """One bad minute at cost docs, or at the router before it, must not switch the search off for an hour."""
    respx_router.get(host="cost-docs.test").mock(return_value=answer)

    for cost_docs, viewer in ((as_ann.cost_docs, ann), (as_bob.cost_docs, bob)):
        with pytest.raises(UpstreamError):
            await cost_docs.documents_uploaded_by(viewer.user_id, limit=3)


@pytest.mark.parametrize(("given", "segment"), [("../x", "..%2Fx"), ("a/b", "a%2Fb"), ("?", "%3F")])
async def test_ids_stay_one_path_segment(as_ann, respx_router, asked, captured, given, segment):
    """Claim ids are free text there: unencoded, one could ask another route as this seller."""
    respx_router.get(path__startswith="/api/v1/cost-docs/claim/").respond(json=captured("cost-docs", "070"))
    respx_router.get(host="cost-docs.test").respond(404, json=captured("cost-docs", "012"))

    await as_ann.cost_docs.documents_of_claim(given)
    await as_ann.cost_docs.document(given)

    assert asked() == [
        f"GET {COST_DOCS}/api/v1/cost-docs/claim/{segment}?page=1&limit=100",
        f"GET {COST_DOCS}/api/v1/cost-docs/{segment}",
    ]
