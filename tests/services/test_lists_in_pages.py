"""Lists that are read in pages: what moves, fails or is cut short between two pages is never "none".

The loaders over real clients. A row that is removed pulls one from the second page to the first, which was
read already; nobody sees it, and it would look as if it were not there.
"""

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from clients.caller import Viewer
from clients.directory import Directory
from clients.errors import ResultTooLarge, UpstreamFailed
from resolvers.loaders.operation import Loaders

NOON = "2026-01-01T12:00:00Z"
LIST = "/api/v1/claims"
Row = dict[str, Any]
LoadersOf = Callable[[Viewer], Loaders]


def key(number: int) -> str:
    return str(uuid.UUID(int=number))


def claim(number: int, viewer: Viewer) -> Row:
    return {
        "id": key(number),
        "user_id": viewer.user_id,
        "case_number": f"CASE-{number}",
        "claim_amount": "1.00",
        "customer_history_score": "0.5",
        "product_category": "kitchen",
        "days_since_purchase": 1,
        "claim_description": None,
        "status": "pending",
        "ml_prediction": None,
        "ml_confidence": None,
        "created_at": NOON,
        "updated_at": NOON,
    }


def dispute(number: int, viewer: Viewer) -> Row:
    return {
        "id": key(number),
        "seller_id": viewer.user_id,
        "detection_result_id": key(number),
        "case_number": f"CASE-{number}",
        "status": "submitted",
        "currency": "USD",
        "submission_date": None,
        "resolution_date": None,
        "resolution_amount": None,
        "resolution_notes": None,
        "provider_case_id": None,
        "expected_amount": None,
        "expected_paid_date": None,
        "created_at": NOON,
    }


def charge(number: int, viewer: Viewer) -> Row:
    return {
        "id": number,
        "userId": viewer.stripe_user_id,
        "claimId": number,
        "amountRecoveredCents": 1000,
        "platformFeeCents": 200,
        "sellerPayoutCents": 800,
        "currency": "usd",
        "status": "charged",
        "createdAt": NOON,
        "updatedAt": NOON,
        "auditTrail": [],
    }


class Engine:
    """The claims of one viewer: a list in pages, and each by its id; and what was asked of it."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.asked: Counter[str] = Counter()
        self.after_a_page: Callable[[], object] = lambda: None
        self.broken_from = len(rows) + 1  # an offset

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != LIST:
            self.asked["single"] += 1
            claim_id = request.url.path.rsplit("/", 1)[1]
            found = [row for row in self.rows if claim_id in (row["id"], row["case_number"])]
            if found:
                return httpx.Response(200, json={"data": found[0]})
            return httpx.Response(404, json={"error": "Claim not found"})
        self.asked["list"] += 1
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        if offset >= self.broken_from:
            return httpx.Response(500, json={"error": "boom"})
        body = {"data": self.rows[offset : offset + limit], "pagination": {"total": len(self.rows)}}
        self.after_a_page()
        return httpx.Response(200, json=body)


@pytest.fixture
def loaders_of(directory: Directory, caller_for: Callable[..., Any]) -> LoadersOf:
    """The loaders of a new operation of a viewer; the store is for payments alone."""
    store: Any = None
    return lambda viewer: Loaders(viewer, directory.clients_for(caller_for(viewer)), store)


@pytest.fixture
def engine_of(respx_router: respx.MockRouter) -> Callable[[list[Row]], Engine]:
    def engine_of(rows: list[Row]) -> Engine:
        engine = Engine(rows)
        respx_router.get(host="refund-engine.test").mock(side_effect=engine)
        return engine

    return engine_of


async def test_a_claim_that_slid_between_two_pages_is_found(
    loaders_of: LoadersOf, engine_of: Callable[[list[Row]], Engine], ann: Viewer, bob: Viewer
) -> None:
    """Somebody's claim was removed while the list was read: another of theirs must not vanish with it."""
    engine = engine_of([claim(number, ann) for number in range(300)])
    engine.after_a_page = lambda: engine.rows.pop(0)
    wanted = [5, 150, 200, 201, 299, 1000]

    found = await loaders_of(ann).claim_by_id.load_all([key(number) for number in wanted])
    asked = dict(engine.asked)
    engine.after_a_page = lambda: None
    strangers = await loaders_of(bob).claim_by_id.load_all([key(number) for number in wanted])

    assert [answer and answer.value.case_number for answer in found] == [
        *(f"CASE-{number}" for number in wanted[:-1]),
        None,
    ]
    assert asked == {"list": 2, "single": 2}  # the one that slid, and the one that never was
    assert strangers == [None] * len(wanted)


async def test_two_pages_that_overlap_are_not_the_whole_list(
    loaders_of: LoadersOf, respx_router: respx.MockRouter, ann: Viewer, bob: Viewer
) -> None:
    """Rows of one moment may come in another order for each page: one twice, and one not at all."""
    rows = [claim(number, ann) for number in range(250)]
    asked: Counter[str] = Counter()

    def engine(request: httpx.Request) -> httpx.Response:
        asked[request.url.path] += 1
        if request.url.path != LIST:
            return httpx.Response(200, json={"data": rows[200]})
        page = rows[:200] if request.url.params["offset"] == "0" else [rows[0], *rows[201:]]
        return httpx.Response(200, json={"data": page, "pagination": {"total": 250}})

    respx_router.get(host="refund-engine.test").mock(side_effect=engine)
    keys = [f"CASE-{number}" for number in (5, 150, 200, 249)]

    found = await loaders_of(ann).claim_by_case_number.load_all(keys)
    strangers = await loaders_of(bob).claim_by_case_number.load_all([*keys[:1], keys[2]])

    assert [answer and answer.value.case_number for answer in found] == keys
    assert asked[LIST] == 2
    assert strangers == [None, None]


async def test_a_sum_counts_no_claim_twice(
    loaders_of: LoadersOf, engine_of: Callable[[list[Row]], Engine], ann: Viewer, bob: Viewer
) -> None:
    """A claim recorded while the list is read shows an older one again; it is one claim all the same."""
    engine = engine_of([claim(number, ann) for number in range(300)])
    engine.after_a_page = lambda: engine.rows.insert(0, claim(1000, ann))

    found = await loaders_of(ann).claims_in_state("pending")
    strangers = await loaders_of(bob).claims_in_state("pending")

    assert [row.id for row in found.rows] == [key(number) for number in range(300)]
    assert found.complete
    assert strangers.rows == []


async def test_a_charge_made_while_payments_are_added_up_counts_none_twice(
    loaders_of: LoadersOf, respx_router: respx.MockRouter, ann: Viewer, bob: Viewer
) -> None:
    """The new charge moves an older one to the page that is read next: its money would be counted again."""
    charges = {
        viewer.stripe_user_id: [charge(number, viewer) for number in range(150)] for viewer in (ann, bob)
    }

    def stripe(request: httpx.Request) -> httpx.Response:
        viewer = ann if request.url.path.endswith(f"/{ann.stripe_user_id}") else bob
        rows, start = charges[viewer.stripe_user_id], (int(request.url.params["page"]) - 1) * 100
        body = {"transactions": rows[start : start + 100], "pagination": {"total": len(rows)}}
        rows.insert(0, charge(1000 + len(rows), viewer))
        return httpx.Response(200, json={"success": True, "data": body})

    respx_router.get(host="stripe.test").mock(side_effect=stripe)

    for viewer in (ann, bob):
        found = await loaders_of(viewer).payments_since(None)
        assert [row.id for row in found.rows] == list(range(150))
        assert {row.user_id for row in found.rows} == {viewer.stripe_user_id}


async def test_a_page_cut_short_proves_nothing(
    loaders_of: LoadersOf, respx_router: respx.MockRouter, ann: Viewer, bob: Viewer
) -> None:
    """A service that sends 200 rows where 500 were asked for hides a filing; it must not look unfiled."""
    rows = {viewer.user_id: [dispute(number, viewer) for number in range(300)] for viewer in (ann, bob)}
    rows[bob.user_id] = rows[bob.user_id][:100]

    def disputes_of(viewer: Viewer) -> Callable[[httpx.Request], httpx.Response]:
        def integrations(request: httpx.Request) -> httpx.Response:
            mine, offset = rows[viewer.user_id], int(request.url.params["offset"])
            data = {"cases": mine[offset : offset + 200], "total": len(mine)}
            return httpx.Response(200, json={"success": True, "data": data})

        return integrations

    route = respx_router.get(host="integrations.test")
    route.mock(side_effect=disputes_of(ann))
    read, unread = await loaders_of(ann).dispute_by_case_number.load_all(["CASE-199", "CASE-250"])
    route.mock(side_effect=disputes_of(bob))
    [theirs] = await loaders_of(bob).dispute_by_case_number.load_all(["CASE-250"])

    assert read.value.case_number == "CASE-199"
    assert isinstance(unread, ResultTooLarge)
    assert theirs.value is None  # all of theirs were read


async def test_the_first_page_is_kept_when_the_second_fails(
    loaders_of: LoadersOf, engine_of: Callable[[list[Row]], Engine], ann: Viewer, bob: Viewer
) -> None:
    """One broken row far down the list must not take the claims that were read; the rest is asked for."""
    engine = engine_of([claim(number, ann) for number in range(450)])
    engine.broken_from = 200
    wanted = [5, 6, 7, 300]

    found = await loaders_of(ann).claim_by_id.load_all([key(number) for number in wanted])
    asked = dict(engine.asked)
    strangers = await loaders_of(bob).claim_by_id.load_all([key(number) for number in wanted])

    assert [answer.value.case_number for answer in found] == [f"CASE-{number}" for number in wanted]
    assert asked == {"list": 3, "single": 1}  # the second page was tried twice
    assert strangers == [None] * 4


async def test_nothing_is_asked_one_by_one_of_an_engine_whose_list_fails(
    loaders_of: LoadersOf, engine_of: Callable[[list[Row]], Engine], ann: Viewer, bob: Viewer
) -> None:
    """A hundred claims must not become a hundred questions to a service in trouble."""
    engine = engine_of([claim(number, ann) for number in range(450)])
    engine.broken_from = 0
    keys = [key(number) for number in range(100)]

    for viewer in (ann, bob):
        found = await loaders_of(viewer).claim_by_id.load_all(keys)
        assert {type(error) for error in found} == {UpstreamFailed}
    assert engine.asked == {"list": 4}  # each tried twice


async def test_the_list_is_read_once_in_an_operation(
    loaders_of: LoadersOf, engine_of: Callable[[list[Row]], Engine], respx_router: respx.MockRouter,
    ann: Viewer, bob: Viewer,
) -> None:  # fmt: skip
    """A hundred documents ask whose claims they prove, four at a time: that is one list, not twenty-five."""
    engine = engine_of([claim(number, ann) for number in range(100)])

    def document(request: httpx.Request) -> httpx.Response:
        document_id = request.url.path.rsplit("/", 1)[1]
        return httpx.Response(
            200,
            json={
                "data": {
                    "id": document_id,
                    "claimId": document_id,  # half of them name a claim of Ann's, half nobody's
                    "skuId": "SKU-1",
                    "originalName": "invoice.pdf",
                    "fileType": "application/pdf",
                    "fileSize": 1,
                    "version": 1,
                    "uploadedAt": NOON,
                    "uploadedBy": "an agent",
                }
            },
        )

    respx_router.get(host="cost-docs.test").mock(side_effect=document)
    keys = [key(number) for number in range(50, 150)]

    found = await loaders_of(ann).document_by_id.load_all(keys)
    asked = dict(engine.asked)

    assert [answer.value.id if answer else None for answer in found] == [*keys[:50], *[None] * 50]
    assert asked == {"list": 1}
    assert await loaders_of(bob).document_by_id.load_all(keys) == [None] * 100
