"""ClaimPrediction: how likely a claim is to be reimbursed, as stored with it or as predicted now."""

from __future__ import annotations

from decimal import Decimal

import strawberry

from clients.predictor import PredictionRecord
from clients.refund_engine import ClaimRecord

PLACEHOLDER = Decimal("0.5")  # the refund engine stores this pair when it could not reach the predictor


@strawberry.type(description="How likely a claim is to be reimbursed.")
class ClaimPrediction:
    success_probability: float = strawberry.field(description="Probability of reimbursement, 0 to 1.")
    confidence: float | None = strawberry.field(
        description="How sure the model is of that probability, 0 to 1; null when it did not say."
    )
    is_placeholder: bool = strawberry.field(
        description=(
            "Whether both figures are exactly 0.50. The refund engine stores that pair when it could not "
            "reach the predictor, so treat it as unknown."
        )
    )

    @classmethod
    def stored(cls, claim: ClaimRecord) -> ClaimPrediction | None:
        if claim.ml_prediction is None:
            return None
        return cls(
            success_probability=float(claim.ml_prediction),
            confidence=None if claim.ml_confidence is None else float(claim.ml_confidence),
            is_placeholder=claim.ml_prediction == claim.ml_confidence == PLACEHOLDER,
        )

    @classmethod
    def live(cls, prediction: PredictionRecord) -> ClaimPrediction:
        return cls(
            success_probability=float(prediction.success_probability),
            confidence=None if prediction.confidence is None else float(prediction.confidence),
            is_placeholder=False,
        )
