"""The predictor: how likely a claim is to succeed. It says 0.75 with 0.85 confidence, to everything.

Answers are positional: no ids in, no ids out, in the order of the question.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox.door import Manners
from bff.sandbox.fields import Kind, body_of, fastapi, problems_of, unprocessable
from bff.sandbox.world import World
from bff.sandbox.writing import PYTHON_JSON, answer

_FEATURES: dict[str, Kind] = {
    "claim_amount": "float",
    "customer_history_score": "float",
    "product_category": "text",
    "days_since_purchase": "integer",
}
_PREDICTION = {
    "success_probability": 0.75,
    "confidence": 0.85,
    "prediction_class": "likely_success",
    "uncertainty_score": None,
}

MANNERS = Manners(
    failure=lambda: answer({"detail": "Model prediction failed"}, 500, media_type=PYTHON_JSON),
    # Nothing in its code counts; this is what a proxy in front of it would say.
    too_many=lambda: answer({"detail": "Too Many Requests"}, 429, media_type=PYTHON_JSON),
)


def app(world: World) -> Starlette:
    """Build the service; of the world it knows only how often it was asked."""
    predictor = _Predictor(world)
    return fastapi(
        [
            Route("/health", predictor.health),
            Route("/predict-success", predictor.predict_one, methods=["POST"]),
            Route("/predict-batch", predictor.predict_many, methods=["POST"]),
        ]
    )


class _Predictor:
    def __init__(self, world: World) -> None:
        self._world = world

    async def health(self, request: Request) -> Response:
        body = {
            "status": "healthy",
            "model_loaded": self._world.model_loaded,
            "version": "1.0.0",
            "active_connections": 1.0,
            "total_predictions": float(self._world.predictions_made),
        }
        return answer(body, media_type=PYTHON_JSON)

    async def predict_one(self, request: Request) -> Response:
        body, problems = await body_of(request)
        problems = problems or problems_of(body, _FEATURES)
        return unprocessable(problems) if problems else self._predict(1, one=True)

    async def predict_many(self, request: Request) -> Response:
        body, problems = await body_of(request)
        claims = body.get("claims")
        if not problems and not isinstance(claims, list):
            missing = claims is None
            message = "field required" if missing else "value is not a valid list"
            kind = "value_error.missing" if missing else "type_error.list"
            problems = [{"loc": ["body", "claims"], "msg": message, "type": kind}]
        for index, features in enumerate(claims if isinstance(claims, list) else ()):
            problems += problems_of(features, _FEATURES, ("body", "claims", index))
        return unprocessable(problems) if problems else self._predict(len(body["claims"]))

    def _predict(self, count: int, *, one: bool = False) -> Response:
        self._world.predictions_made += count
        body = _PREDICTION if one else {"predictions": [_PREDICTION] * count}
        return answer(body, media_type=PYTHON_JSON)
