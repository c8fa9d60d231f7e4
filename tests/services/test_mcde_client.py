"""The MCDE client: what is sent to a service that checks nothing."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import time_machine

from clients.errors import UpstreamRejected


async def test_evidence_validation_is_one_request(as_ann, respx_router, asked, captured):
    """`cost_data` must be there, though empty; a time without a zone means UTC wherever the BFF runs."""
    route = respx_router.post(host="mcde.test").respond(json=captured("mcde", "018"))

    with time_machine.travel(datetime(2026, 11, 23, tzinfo=ZoneInfo("Asia/Tokyo"))):
        answer = await as_ann.mcde.evidence_validation(claim_id="c1", document_id="d1")

    assert asked() == ["POST https://mcde.test/validate-compliance"]
    assert json.loads(route.calls.last.request.content) == {
        "claim_id": "c1",
        "document_id": "d1",
        "cost_data": {},
    }
    assert route.calls.last.request.headers["content-type"] == "application/json"
    assert (answer.value.is_compliant, answer.value.validation_errors) == (True, [])
    assert answer.value.validated_at == datetime(2026, 11, 23, 4, 3, 20, 825684, tzinfo=UTC)


async def test_cost_estimate_is_one_request(as_ann, respx_router, asked):
    """Amounts stay exact; parts that a document does not name are None, not zero."""
    route = respx_router.post(host="mcde.test").respond(
        json={
            "claim_id": "c1",
            "estimated_cost": 120.1,
            "confidence": 0.9,
            "cost_components": {"material_cost": 80.05},
            "validation_status": "validated",
            "generated_at": "2026-11-23T04:03:20.738796",
        }
    )

    estimate = (await as_ann.mcde.cost_estimate(claim_id="c1", document_id="d1")).value

    assert asked() == ["POST https://mcde.test/cost-estimate"]
    assert json.loads(route.calls.last.request.content) == {"claim_id": "c1", "document_id": "d1"}
    assert (estimate.estimated_cost, estimate.cost_components.material_cost) == (
        Decimal("120.1"),
        Decimal("80.05"),
    )
    assert estimate.cost_components.tax_cost is None


async def test_cost_estimate_as_published_is_rejected(as_ann, respx_router, captured):
    """As published every estimate is a 400: an error to show, never a plausible zero."""
    respx_router.post(host="mcde.test").respond(400, json=captured("mcde", "013"))

    with pytest.raises(UpstreamRejected):
        await as_ann.mcde.cost_estimate(claim_id="c1", document_id="d1")
