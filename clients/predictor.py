"""The FBA predictor: how likely claims are to be reimbursed, from their features. Keeps nothing."""

import functools
from typing import Annotated, Any, Generic, TypedDict, TypeVar

from pydantic import Field, TypeAdapter

from clients.caller import Caller
from clients.records import Decimal15, Record, Word
from clients.transport import Answer, Upstream

T = TypeVar("T")


class ClaimFeatures(TypedDict):
    """What the predictor looks at. Decimals travel as text, which it reads as numbers."""

    claim_amount: str
    customer_history_score: str
    product_category: str
    days_since_purchase: int
    claim_description: str | None


class PredictionRecord(Record):
    success_probability: Decimal15
    confidence: Decimal15 | None = None


class _Predictions(Record, Generic[T]):
    predictions: T


class PredictorHealth(Record):
    status: Word
    model_loaded: bool

    @property
    def dependency_down(self) -> bool:
        return not self.model_loaded or self.status != "healthy"


HEALTH = TypeAdapter(PredictorHealth)


@functools.cache
def _shape(count: int) -> TypeAdapter[_Predictions[Any]]:
    """Exactly so many predictions: with one more or less, none can be matched."""
    return TypeAdapter(
        _Predictions[Annotated[list[PredictionRecord], Field(min_length=count, max_length=count)]]
    )


class Predictor:
    """What one caller can ask the predictor."""

    def __init__(self, upstream: Upstream, caller: Caller) -> None:
        self._upstream = upstream
        self._caller = caller

    async def predictions(self, claims: list[ClaimFeatures]) -> Answer[list[PredictionRecord]]:
        """One prediction per claim, matched by position: there are no ids in or out.

        Args:
            claims: 1 to 100; one that fails there fails all of them.

        Raises:
            ContractBroken: not as many predictions as claims, so none can be matched.

        Source: `POST /predict-batch`, predictBatch, predictor.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "predictBatch",
            "POST",
            "/predict-batch",
            _shape(len(claims)),
            body={"claims": claims},
            idempotent=True,
        )
        return Answer(answer.value.predictions, answer.as_of)

    async def health(self) -> Answer[PredictorHealth]:
        """Source: `GET /health`, predictorHealth, predictor.openapi.yaml."""
        return await self._upstream.call(self._caller, "predictorHealth", "GET", "/health", HEALTH)
