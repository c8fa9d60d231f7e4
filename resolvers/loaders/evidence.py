"""Loaders of judgements: mcde on documents, the predictor on claims. All are worked out anew each time."""

from dataclasses import dataclass
from functools import cached_property

from clients.mcde import CostEstimateRecord, EvidenceValidationRecord
from clients.predictor import ClaimFeatures, PredictionRecord
from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.errors import BadUserInput
from resolvers.loaders.batching import Loader, each
from resolvers.loaders.claims import CLAIM_ID, ClaimLoaders

AT_ONCE = 4
PREDICTIONS_PER_CALL = 100


@dataclass(frozen=True, slots=True)
class EvidenceKey:
    """A document that the viewer may see, and the claim that it names."""

    document_id: str
    claim_id: str


class EvidenceLoaders(ClaimLoaders):
    """Whatever is judged in one operation."""

    @cached_property
    def evidence_validation_by_document(self) -> Loader[EvidenceKey, Answer[EvidenceValidationRecord]]:
        """Whether a document holds as evidence for its claim."""

        async def ask(key: EvidenceKey) -> Answer[EvidenceValidationRecord]:
            await self._own_claim(key)
            return await self.clients.mcde.evidence_validation(
                claim_id=key.claim_id, document_id=key.document_id
            )

        async def batch(keys: list[EvidenceKey]) -> list[Answer[EvidenceValidationRecord] | Exception]:
            return await each(keys, ask, at_once=AT_ONCE)

        return Loader(batch)

    @cached_property
    def cost_estimate_by_document(self) -> Loader[EvidenceKey, Answer[CostEstimateRecord]]:
        """What the goods in a document cost to make."""

        async def ask(key: EvidenceKey) -> Answer[CostEstimateRecord]:
            await self._own_claim(key)
            return await self.clients.mcde.cost_estimate(claim_id=key.claim_id, document_id=key.document_id)

        async def batch(keys: list[EvidenceKey]) -> list[Answer[CostEstimateRecord] | Exception]:
            return await each(keys, ask, at_once=AT_ONCE)

        return Loader(batch)

    async def _own_claim(self, key: EvidenceKey) -> None:
        """Make sure that the claim is the viewer's: mcde itself looks at nobody.

        Raises:
            BadUserInput: the document names no claim of the viewer.
        """
        claim_id = key.claim_id.lower()
        if not CLAIM_ID.fullmatch(claim_id) or await self.claim_by_id.load(claim_id) is None:
            raise BadUserInput(
                "This document names no claim of yours, so there is nothing to judge it against."
            )

    @cached_property
    def live_prediction_by_claim(self) -> Loader[ClaimRecord, PredictionRecord]:
        """The predictor's present answer for a claim, one call for 100 claims."""

        async def ask(claims: tuple[ClaimRecord, ...]) -> list[PredictionRecord]:
            return (await self.clients.predictor.predictions([_features(claim) for claim in claims])).value

        async def batch(claims: list[ClaimRecord]) -> list[PredictionRecord | Exception]:
            chunks = [
                tuple(claims[start : start + PREDICTIONS_PER_CALL])
                for start in range(0, len(claims), PREDICTIONS_PER_CALL)
            ]
            answers: list[PredictionRecord | Exception] = []
            for chunk, predictions in zip(chunks, await each(chunks, ask, at_once=AT_ONCE), strict=True):
                if isinstance(predictions, Exception):
                    answers += [predictions] * len(chunk)
                else:
                    answers += predictions
            return answers

        return Loader(batch)


def _features(claim: ClaimRecord) -> ClaimFeatures:
    return ClaimFeatures(
        claim_amount=str(claim.claim_amount),
        customer_history_score=str(claim.customer_history_score),
        product_category=claim.product_category,
        days_since_purchase=claim.days_since_purchase,
        claim_description=claim.claim_description,
    )
