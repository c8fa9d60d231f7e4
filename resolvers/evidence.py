"""EvidenceValidation and CostEstimate: what mcde makes of a document, anew each time it is asked."""

from __future__ import annotations

from datetime import datetime

import strawberry

from clients.mcde import CostEstimateRecord, EvidenceValidationRecord
from resolvers.money import Money, money, optional_money


@strawberry.type(description="A judgement on a document as evidence for its claim.")
class EvidenceValidation:
    is_compliant: bool = strawberry.field(description="Whether it is accepted as evidence.")
    compliance_score: float = strawberry.field(description="How well it meets the rules, 0 to 1.")
    problems: list[str] = strawberry.field(description="What is wrong, for people; empty when nothing is.")
    validated_at: datetime = strawberry.field(description="When it was judged.")

    @classmethod
    def from_record(cls, record: EvidenceValidationRecord) -> EvidenceValidation:
        return cls(
            is_compliant=record.is_compliant,
            compliance_score=record.compliance_score,
            problems=record.validation_errors,
            validated_at=record.validated_at,
        )


@strawberry.type(
    description=(
        "What the goods in a document cost to make. Amounts are taken to be USD: the owner keeps no currency."
    )
)
class CostEstimate:
    estimated_cost: Money = strawberry.field(description="Sum of the parts.")
    material_cost: Money | None = strawberry.field(description="Material; null when not estimated.")
    labor_cost: Money | None = strawberry.field(description="Labour; null when not estimated.")
    overhead_cost: Money | None = strawberry.field(description="Overhead; null when not estimated.")
    shipping_cost: Money | None = strawberry.field(description="Shipping; null when not estimated.")
    tax_cost: Money | None = strawberry.field(description="Tax; null when not estimated.")
    confidence: float = strawberry.field(description="How sure the estimate is, 0 to 1.")
    is_validated: bool = strawberry.field(description="Whether the refund engine confirmed it.")
    generated_at: datetime = strawberry.field(description="When it was worked out.")

    @classmethod
    def from_record(cls, record: CostEstimateRecord) -> CostEstimate:
        parts = record.cost_components
        return cls(
            estimated_cost=money(record.estimated_cost),
            material_cost=optional_money(parts.material_cost),
            labor_cost=optional_money(parts.labor_cost),
            overhead_cost=optional_money(parts.overhead_cost),
            shipping_cost=optional_money(parts.shipping_cost),
            tax_cost=optional_money(parts.tax_cost),
            confidence=record.confidence,
            is_validated=record.validation_status == "validated",
            generated_at=record.generated_at,
        )
