"""When a service's quota runs low, what a screen can do without is not asked for; the rest still is."""

import pytest
from read_operations import claims_of, uploads_of

from bff.sandbox.seed import SELLERS
from resolvers.global_ids import global_id

QUOTA = 100  # as published: in 15 minutes, for all sellers together
FIRST, SECOND = SELLERS
CLAIM = "query ($id: ID!) { claim(id: $id) { caseNumber } }"
LINK = "query ($id: ID!) { document(id: $id) { signedUrl { url } } }"
FIGURES = (
    "{ dashboard { claimMetrics { totalCount inProgressAmount { amount } } documentMetrics { totalCount } } }"
)


@pytest.fixture
async def bff(make_bff):
    return await make_bff(claims=20, quota=QUOTA)


def told(answer):
    return [
        (error["path"], error["extensions"]["code"], error["extensions"]["service"])
        for error in answer.errors
    ]


def used(bff, service):
    return sum(call.service == service for call in bff.sandbox.calls)


async def test_optional_fields_are_spared_and_essential_ones_are_there(bff):
    """The last twenty requests are for what sellers came for, whoever used up the others."""
    claim = claims_of(bff.sandbox.world, FIRST)[0]
    while used(bff, "refund-engine") <= 0.8 * QUOTA:
        assert (await bff.ask(CLAIM, id=global_id("Claim", claim["id"]))).errors == []
    before = used(bff, "refund-engine")

    for seller in (FIRST, SECOND):
        answer = await bff.ask(FIGURES, seller=seller)

        metrics = answer.data["dashboard"]["claimMetrics"]
        assert (metrics["totalCount"], metrics["inProgressAmount"]) == (
            len(claims_of(bff.sandbox.world, seller)),
            None,
        )
        assert answer.data["dashboard"]["documentMetrics"] is not None  # another service's quota
        path = ["dashboard", "claimMetrics", "inProgressAmount"]
        assert told(answer) == [(path, "RATE_LIMITED", "refund-engine")]
        extensions = answer.errors[0]["extensions"]
        assert extensions["retryable"] is True
        assert 0 < extensions["retryAfterMs"] <= 901_000  # they count in whole seconds
    assert used(bff, "refund-engine") == before + 2


async def test_signed_links_are_given_while_figures_are_spared(bff):
    """A seller who opens a file gets it; the figures about all files wait."""
    document = uploads_of(bff.sandbox.world, FIRST)[0]
    document_id = global_id("Document", document["id"])
    while used(bff, "cost-docs") <= 0.8 * QUOTA:
        assert (await bff.ask(LINK, id=document_id)).errors == []

    figures, link = await bff.ask(FIGURES), await bff.ask(LINK, id=document_id)

    assert figures.data["dashboard"]["documentMetrics"] is None
    assert told(figures) == [(["dashboard", "documentMetrics"], "RATE_LIMITED", "cost-docs")]
    assert (link.errors, link.data["document"]["signedUrl"] is None) == ([], False)


async def test_nothing_is_sent_when_all_is_used_up(bff):
    """The services see a hundred requests and not one more, however many sellers ask."""
    answers, sent = [], []
    for seller in SELLERS:
        document_id = global_id("Document", uploads_of(bff.sandbox.world, seller)[0]["id"])
        answers += [await bff.ask(LINK, seller=seller, id=document_id) for _ in range(QUOTA + 10)]
        sent.append(used(bff, "cost-docs") - sum(sent))

    codes = {code for answer in answers for _, code, _ in told(answer)}
    assert codes == {"RATE_LIMITED"}
    assert QUOTA * 0.8 < sent[0] < QUOTA  # the first seller does not take the last of it
    assert sent[1] > 1
    assert sum(sent) <= QUOTA
