"""MCDE: whether a document would do as proof, and what a product cost. No tokens, no tenants, no time zone.

Quirks kept: every document complies, with 0.95; an estimate always fails with 400 (unless repaired); its
/health asks the refund engine first, and waits for it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox.door import Manners
from bff.sandbox.fields import body_of, fastapi, problems_of, unprocessable
from bff.sandbox.world import World
from bff.sandbox.writing import PYTHON_JSON, answer, naive_time, now

_SHARES = {"labor_cost": 0.25, "overhead_cost": 0.1, "shipping_cost": 0.08, "tax_cost": 0.07}


def _error(status: int, error: str) -> Response:
    return answer({"error": error, "timestamp": naive_time(now())}, status, media_type=PYTHON_JSON)


MANNERS = Manners(
    failure=lambda: _error(500, "Internal server error"),
    # Nothing in its code counts; this is what a proxy in front of it would say.
    too_many=lambda: answer({"detail": "Too Many Requests"}, 429, media_type=PYTHON_JSON),
)


def app(
    world: World, *, refund_engine_is_healthy: Callable[[], Awaitable[bool]], repaired: bool = False
) -> Starlette:
    """Build the service over ``world``.

    Args:
        world: where cost docs keeps the documents that a repaired service would find.
        refund_engine_is_healthy: asks the refund engine; may take its time.
        repaired: estimate the documents that exist, instead of always failing.
    """
    engine = _Mcde(world, refund_engine_is_healthy, repaired)
    return fastapi(
        [
            Route("/health", engine.health),
            Route("/validate-compliance", engine.validate_compliance, methods=["POST"]),
            Route("/cost-estimate", engine.estimate_cost, methods=["POST"]),
        ]
    )


class _Mcde:
    def __init__(self, world: World, ask: Callable[[], Awaitable[bool]], repaired: bool) -> None:
        self._world = world
        self._ask = ask
        self._repaired = repaired

    async def health(self, request: Request) -> Response:
        refund_engine = "healthy" if await self._ask() else "unhealthy"
        body = {
            "status": "healthy",
            "service": "mcde",
            "version": "1.0.0",
            "timestamp": naive_time(now()),
            "dependencies": {"refund_engine": refund_engine},
        }
        return answer(body, media_type=PYTHON_JSON)

    async def validate_compliance(self, request: Request) -> Response:
        body, problems = await body_of(request)
        problems = problems or problems_of(
            body, {"claim_id": "text", "document_id": "text", "cost_data": "object"}
        )
        if problems:
            return unprocessable(problems)
        verdict = {
            "claim_id": str(body["claim_id"]),
            "is_compliant": True,
            "validation_errors": [],
            "compliance_score": 0.95,
            "validated_at": naive_time(now()),
        }
        return answer(verdict, media_type=PYTHON_JSON)

    async def estimate_cost(self, request: Request) -> Response:
        body, problems = await body_of(request)
        problems = problems or problems_of(body, {"claim_id": "text", "document_id": "text"})
        if problems:
            return unprocessable(problems)
        document = self._world.documents.get(str(body["document_id"]))
        if not self._repaired or document is None:
            return _error(400, "Document processing failed")
        dice = random.Random(document["id"])
        total = float(document["metadata"]["amount"])
        parts = {name: round(total * share, 2) for name, share in _SHARES.items()}
        components = {"material_cost": round(total - sum(parts.values()), 2), **parts}
        estimate = {
            "claim_id": str(body["claim_id"]),
            "document_id": document["id"],
            "estimated_cost": round(sum(components.values()), 2),
            "confidence": round(dice.uniform(0.6, 0.95), 2),
            "cost_components": components,
            "validation_status": "validated",
            "generated_at": naive_time(now()),
        }
        return answer(estimate, media_type=PYTHON_JSON)
