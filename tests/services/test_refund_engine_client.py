"""The refund engine's client: what it asks, and what it makes of the answers."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from clients.errors import UpstreamFailed

ENGINE = "https://refund-engine.test"
CLAIM_ID = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"


@pytest.mark.parametrize(
    ("ask", "url"),
    [
        (
            lambda engine: engine.claims_page(limit=20),
            "/api/v1/claims?limit=20&offset=0&sort_by=created_at&sort_order=DESC",
        ),
        (
            lambda engine: engine.claims_page(
                limit=5,
                offset=10,
                status="approved",
                product_category="toys & games",
                sort_by="claim_amount",
                sort_order="ASC",
            ),
            (
                "/api/v1/claims?limit=5&offset=10&status=approved&product_category=toys+%26+games"
                "&sort_by=claim_amount&sort_order=ASC"
            ),
        ),
        (
            lambda engine: engine.claims_found("a+b=c&d", limit=7),
            "/api/v1/claims/search?q=a%2Bb%3Dc%26d&limit=7",
        ),
        (lambda engine: engine.ledger_page(limit=50), "/api/v1/ledger?limit=50&offset=0"),
        (
            lambda engine: engine.ledger_page(limit=50, offset=50, claim_id=CLAIM_ID),
            f"/api/v1/ledger?limit=50&offset=50&case_id={CLAIM_ID}",
        ),
    ],
)
async def test_list_is_one_request_with_known_parameters(as_ann, respx_router, asked, captured, ask, url):
    """The engine ignores a misspelt parameter and answers its first page of everything."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "016"))

    page = await ask(as_ann.refund_engine)

    assert asked() == [f"GET {ENGINE}{url}"]
    assert page.rows == []


async def test_claims_page_parses(as_ann, respx_router, captured):
    """Money stays exact, times are UTC, and `total` counts all pages, not this one."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "030"))
    before = datetime.now(UTC)

    page = await as_ann.refund_engine.claims_page(limit=5, offset=5)

    assert (len(page.rows), page.total) == (5, 38)
    assert isinstance(page.rows[0].claim_amount, Decimal)
    assert page.rows[0].created_at.tzinfo is UTC
    assert before <= page.as_of <= datetime.now(UTC)


async def test_ledger_page_parses(as_ann, respx_router, captured):
    """The ledger is the only source of a claim's money events."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "062"))

    page = await as_ann.refund_engine.ledger_page(limit=3)

    assert [row.user_id for row in page.rows] == ["11111111-1111-4111-8111-111111111111"] * 3
    assert page.total is not None
    assert page.total >= 3


async def test_search_is_not_counted(as_ann, respx_router, captured):
    """`results_count` there counts the page, so it must not pass for a total."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "048"))

    page = await as_ann.refund_engine.claims_found("Damaged", limit=2)

    assert (len(page.rows), page.total) == (2, None)


async def test_stats_read_counts_sent_as_text(as_ann, respx_router, asked, captured):
    """Counts arrive as "38"; a strict integer would break the dashboard."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", "051"))

    stats = (await as_ann.refund_engine.claim_stats()).value

    assert (stats.total, stats.pending, stats.approved, stats.rejected) == (38, 14, 6, 11)
    assert asked() == [f"GET {ENGINE}/api/v1/claims/stats"]


async def test_stats_of_a_new_seller(as_ann, respx_router, captured):
    """Counters of nothing are "0" and a sum may be null: a new seller's dashboard must not fail on either."""
    body = captured("refund-engine", "017")
    body["data"]["avg_prediction"] = None
    respx_router.get(host="refund-engine.test").respond(json=body)

    stats = (await as_ann.refund_engine.claim_stats()).value

    assert (stats.total, stats.total_amount, stats.avg_prediction) == (0, 0, None)


@pytest.mark.parametrize(
    ("ask", "url", "name"),
    [
        (lambda engine: engine.claim(CLAIM_ID), f"/api/v1/claims/{CLAIM_ID}", "042"),
        (lambda engine: engine.claim_by_case_number("CASE-0001"), "/api/v1/claims/case/CASE-0001", "046"),
    ],
)
async def test_claim_is_one_request(as_ann, respx_router, asked, captured, ask, url, name):
    """Both ways to one claim ask once and bring its owner along, who is compared by the caller."""
    respx_router.get(host="refund-engine.test").respond(json=captured("refund-engine", name))

    answer = await ask(as_ann.refund_engine)

    assert asked() == [f"GET {ENGINE}{url}"]
    assert (answer.value.id, answer.value.user_id) == (CLAIM_ID, "11111111-1111-4111-8111-111111111111")


async def test_missing_claim_is_none(as_ann, respx_router, captured):
    """ "No such claim" is an answer, not an error."""
    respx_router.get(host="refund-engine.test").respond(404, json=captured("refund-engine", "043"))

    assert await as_ann.refund_engine.claim(CLAIM_ID) is None
    assert await as_ann.refund_engine.claim_by_case_number("NOPE") is None


async def test_failure_is_not_none(as_ann, respx_router, captured):
    """A broken engine must never look like a seller without this claim."""
    respx_router.get(host="refund-engine.test").respond(500, json=captured("refund-engine", "044"))

    with pytest.raises(UpstreamFailed):
        await as_ann.refund_engine.claim(CLAIM_ID)


@pytest.mark.parametrize(
    ("case_number", "segment"),
    [("../x", "..%2Fx"), ("a/b", "a%2Fb"), ("?", "%3F"), ("#", "%23"), ("a b", "a%20b"), ("%2F", "%252F")],
)
async def test_case_number_stays_one_path_segment(
    as_ann, respx_router, asked, captured, case_number, segment
):
    """A case number comes from the client: unencoded, "../x" would ask another route as this seller."""
    respx_router.get(host="refund-engine.test").respond(404, json=captured("refund-engine", "047"))

    assert await as_ann.refund_engine.claim_by_case_number(case_number) is None
    assert asked() == [f"GET {ENGINE}/api/v1/claims/case/{segment}"]


@pytest.mark.parametrize("case_number", ["", ".", ".."])
async def test_segments_no_encoding_can_save_are_not_asked(as_ann, asked, case_number):
    """ ".." is a way up whatever one does to it, and "" would ask the list."""
    with pytest.raises(ValueError, match="not a path segment"):
        await as_ann.refund_engine.claim_by_case_number(case_number)

    assert asked() == []
