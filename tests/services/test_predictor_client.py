"""The predictor's client: answers are matched by position, so their number must fit."""

import json
from decimal import Decimal

import pytest

from clients.errors import ContractBroken
from clients.predictor import ClaimFeatures

FEATURES = ClaimFeatures(
    claim_amount="120.50",
    customer_history_score="0.8",
    product_category="toys",
    days_since_purchase=12,
    claim_description=None,
)


async def test_predictions_are_one_request(as_ann, respx_router, asked, captured):
    """A case list of a hundred claims is one request, not a hundred."""
    route = respx_router.post(host="predictor.test").respond(json=captured("predictor", "006"))

    answer = await as_ann.predictor.predictions([FEATURES, FEATURES])

    assert asked() == ["POST https://predictor.test/predict-batch"]
    assert json.loads(route.calls.last.request.content) == {"claims": [FEATURES, FEATURES]}
    assert [(row.success_probability, row.confidence) for row in answer.value] == [
        (Decimal("0.75"), Decimal("0.85"))
    ] * 2


@pytest.mark.parametrize("claims", [1, 3])
async def test_another_number_of_predictions_breaks_the_contract(as_ann, respx_router, captured, claims):
    """There are no ids: one prediction too few and every claim after it shows its neighbour's chances."""
    respx_router.post(host="predictor.test").respond(json=captured("predictor", "006"))

    with pytest.raises(ContractBroken) as raised:
        await as_ann.predictor.predictions([FEATURES] * claims)

    assert (raised.value.upstream, raised.value.status) == ("predictor", 200)
