"""Documents: generated.

mutation           asks, in this order
generateDocument   integrations listDetectionResults (the finding), cost docs generateAuto
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from clients.cost_docs import EvidenceType
from resolvers.costs import COST_DOCS, DETECTIONS
from resolvers.costs import once as once_per_operation
from resolvers.detections import DETECTION_TYPE, DetectionType
from resolvers.mutations.given import MoneyInput, amount_of, key_field, number_of, text_of
from resolvers.mutations.once import Attempt, Deed, Done, once
from resolvers.mutations.owned import own_detection
from resolvers.mutations.user_errors import UserError, invalid, refused_if_rejected, user_errors_field
from resolvers.mutations.work import Work, mutates

SKU_CHARS = 100
UNITS_AT_MOST = 2**31 - 1
UNIT_COST_AT_MOST = Decimal("99999999.99")

# What cost docs calls a finding that integrations calls otherwise.
EVIDENCE_TYPES: dict[DetectionType, EvidenceType] = {
    DetectionType.LOST_UNITS: "lost_units",
    DetectionType.OVERCHARGE: "overcharges",
    DetectionType.DAMAGED_STOCK: "damaged_stock",
    DetectionType.INCORRECT_FEE: "incorrect_fee",
    DetectionType.DUPLICATE_CHARGE: "duplicate_charge",
}


@strawberry.input(description="Input of `generateDocument`.")
class GenerateDocumentInput:
    detection_id: strawberry.ID = strawberry.field(
        description="The finding to write up; its type and value go into the document."
    )
    sku: str = strawberry.field(
        description="The stock-keeping unit concerned: findings do not carry it. At most 100 characters."
    )
    idempotency_key: UUID = key_field()
    units_lost: int | None = strawberry.field(
        default=UNSET, description="Units lost; null when the finding is not about units."
    )
    unit_cost: MoneyInput | None = strawberry.field(
        default=UNSET, description="Cost of one unit; null when the finding is not about units."
    )


@strawberry.type(description="Result of `generateDocument`.")
class GenerateDocumentPayload:
    job_reference: str | None = strawberry.field(
        default=None,
        description=(
            "Reference of the queued job, for support; null when `userErrors` is not empty. Sellers cannot "
            "ask for its state, and the finished file does not appear among `documents`."
        ),
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class DocumentMutations:
    @mutates(
        GenerateDocumentPayload,
        once_per_operation(COST_DOCS, hops=2),
        DETECTIONS,
        scope="documents:generate",
        description="Queues a PDF that writes up a finding.",
    )
    async def generate_document(
        self, work: Work, input: Annotated[GenerateDocumentInput, strawberry.argument(description="Input.")]
    ) -> GenerateDocumentPayload | None:
        wanted = _wanted(input)
        return await once(
            work,
            "generateDocument",
            input,
            Deed(
                service=COST_DOCS,
                do=partial(_queue, work, wanted),
                settle=None,  # no seller can ask for a job
                repeatable=False,
                show=_shown,
            ),
        )


@dataclass(frozen=True)
class _Wanted:
    """A document to be made, its values checked."""

    detection_id: strawberry.ID
    sku: str
    units_lost: int | None
    unit_cost: Decimal | None


def _wanted(input: GenerateDocumentInput) -> _Wanted:
    units = input.units_lost if input.units_lost is not UNSET else None
    if units is not None:
        number_of(units, "unitsLost", at_least=0, at_most=UNITS_AT_MOST)
    return _Wanted(
        input.detection_id,
        text_of(input.sku, "sku", at_most=SKU_CHARS),
        units,
        amount_of(input.unit_cost, "unitCost", at_most=UNIT_COST_AT_MOST) if input.unit_cost else None,
    )


async def _queue(work: Work, wanted: _Wanted, attempt: Attempt) -> Done[GenerateDocumentPayload]:
    """Queue the document; its key is the job's reference."""
    detection = await own_detection(work, wanted.detection_id)
    kind = EVIDENCE_TYPES.get(DETECTION_TYPE.value(detection.anomaly_type))
    if kind is None:
        raise invalid("No document can be made of a finding of this type.", "detectionId")
    await attempt.sending()
    with refused_if_rejected():
        queued = await work.clients.cost_docs.generate_document(
            detection_id=detection.id,
            evidence_type=kind,
            sku=wanted.sku,
            seller_id=work.viewer.user_id,
            total_loss=detection.estimated_value,
            detected_at=detection.created_at,
            units_lost=wanted.units_lost,
            cost_per_unit=wanted.unit_cost,
        )
    return Done(queued.value.job_id)


async def _shown(job_reference: str) -> GenerateDocumentPayload:
    return GenerateDocumentPayload(job_reference=job_reference)
