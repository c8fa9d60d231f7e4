"""MCDE: whether a document holds as evidence, and what the goods in it cost to make.

It asks for no token and looks nothing up, so only what was found to be the viewer's is sent. Times have no
zone and mean UTC; amounts have no currency and mean USD. Both answers are worked out anew each time.
"""

from pydantic import TypeAdapter

from clients.caller import Caller
from clients.records import Decimal15, Finite, Record, Rows, UtcTime, Word
from clients.transport import Answer, Upstream

HEALTH_TIMEOUT_S = 7.0  # its /health waits up to 5 s for the refund engine's


class EvidenceValidationRecord(Record):
    """A judgement on one document as evidence for one claim."""

    is_compliant: bool
    compliance_score: Finite
    validation_errors: Rows[str]
    validated_at: UtcTime


class CostComponentsRecord(Record):
    material_cost: Decimal15 | None = None
    labor_cost: Decimal15 | None = None
    overhead_cost: Decimal15 | None = None
    shipping_cost: Decimal15 | None = None
    tax_cost: Decimal15 | None = None


class CostEstimateRecord(Record):
    """What the goods in one document cost to make."""

    estimated_cost: Decimal15
    confidence: Finite
    cost_components: CostComponentsRecord
    validation_status: Word
    generated_at: UtcTime


class _Dependencies(Record):
    refund_engine: Word = "unknown"


class McdeHealth(Record):
    status: Word
    dependencies: _Dependencies = _Dependencies()

    @property
    def dependency_down(self) -> bool:
        return self.status != "healthy" or self.dependencies.refund_engine == "unhealthy"


EVIDENCE_VALIDATION = TypeAdapter(EvidenceValidationRecord)
COST_ESTIMATE = TypeAdapter(CostEstimateRecord)
HEALTH = TypeAdapter(McdeHealth)


class Mcde:
    """What one caller can ask MCDE."""

    def __init__(self, upstream: Upstream, caller: Caller) -> None:
        self._upstream = upstream
        self._caller = caller

    async def evidence_validation(
        self, *, claim_id: str, document_id: str
    ) -> Answer[EvidenceValidationRecord]:
        """Judge a document as evidence for its claim. As published the answer is always the same: compliant.

        Source: `POST /validate-compliance`, validateCompliance, mcde.openapi.yaml.
        """
        return await self._upstream.call(
            self._caller,
            "validateCompliance",
            "POST",
            "/validate-compliance",
            EVIDENCE_VALIDATION,
            body={"claim_id": claim_id, "document_id": document_id, "cost_data": {}},
            idempotent=True,
        )

    async def cost_estimate(self, *, claim_id: str, document_id: str) -> Answer[CostEstimateRecord]:
        """Estimate what the goods in a document cost. As published always 400, `UpstreamRejected`.

        Source: `POST /cost-estimate`, estimateCost, mcde.openapi.yaml.
        """
        return await self._upstream.call(
            self._caller,
            "estimateCost",
            "POST",
            "/cost-estimate",
            COST_ESTIMATE,
            body={"claim_id": claim_id, "document_id": document_id},
            idempotent=True,
        )

    async def health(self) -> Answer[McdeHealth]:
        """Source: `GET /health`, mcdeHealth, mcde.openapi.yaml."""
        return await self._upstream.call(
            self._caller, "mcdeHealth", "GET", "/health", HEALTH, timeout_s=HEALTH_TIMEOUT_S
        )
