"""The dispute desk of integrations: where a case is opened for a finding, and handed in to its provider.

Quirks kept: opening answers 200, not 201, and does not ask whose the finding is; what the database refuses is
a 500 with its words; a case is handed in once, from `pending`, and its number at the provider is invented.
"""

from __future__ import annotations

import random
import uuid
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox.reading import Claims, is_uuid, json_of
from bff.sandbox.rows import case_number_of_dispute
from bff.sandbox.story import epoch_ms, tail
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, js_number, js_time, now, pg_time, to_ms, unsuccessful

_PROVIDERS = {"amazon_fba": "amazon", "stripe_dispute": "stripe", "shopify_refund": "shopify"}
_PREFIXES = {"amazon": "AMZ", "stripe": "STR", "shopify": "SHOP"}
_CHANCE = random.SystemRandom()


def dispute_of(world: World, key: str, token: Claims) -> Row | Response:
    """Find the viewer's dispute, or say as the service does why not."""
    if not is_uuid(key):
        return unsuccessful(500, f'Failed to fetch dispute case: invalid input syntax for type uuid: "{key}"')
    row = world.disputes.get(key.lower())
    if row is None:
        why = "JSON object requested, multiple (or no) rows returned"
        return unsuccessful(500, f"Failed to fetch dispute case: {why}")
    return row if row["seller_id"] == token.get("id") else unsuccessful(403, "Access denied")


class DisputeDesk:
    """Writes disputes, and with them the state of findings."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def open(self, request: Request, token: Claims) -> Response:
        body = await json_of(request)
        finding_id, case_type, amount = (
            body.get(name) for name in ("detectionResultId", "caseType", "claimAmount")
        )
        if not finding_id or not case_type or not amount:
            return unsuccessful(400, "detectionResultId, caseType, and claimAmount are required")
        refusal = self._refusal(finding_id, case_type, amount)
        if refusal is not None:
            return unsuccessful(500, f"Failed to create dispute case: {refusal}")
        at, seller_id, finding_id = now(), str(token.get("id")), str(finding_id).lower()
        row: Row = {
            "id": str(uuid.uuid4()),
            "seller_id": seller_id,
            "detection_result_id": finding_id,
            "case_number": case_number_of_dispute(seller_id, case_type, at, _CHANCE),
            "status": "pending",
            "claim_amount": js_number(float(Decimal(str(amount)).quantize(Decimal("0.01"), ROUND_HALF_UP))),
            "currency": body.get("currency") or "USD",
            "case_type": case_type,
            "provider": _PROVIDERS[case_type],
            "submission_date": None,
            "resolution_date": None,
            "resolution_amount": None,
            "resolution_notes": None,
            "evidence_attachments": body.get("evidence") or {},
            "provider_case_id": None,
            "provider_response": {},
            "created_at": pg_time(at),
            "updated_at": pg_time(at),
            "expected_amount": None,
            "expected_paid_date": None,
            "confidence": None,
        }
        self._world.disputes[row["id"]] = row
        self._world.detections[finding_id].update(status="disputed", updated_at=pg_time(at))
        self._world.note(
            "integrations",
            "createDispute",
            id=row["id"],
            user_id=seller_id,
            detection_result_id=finding_id,
            case_number=row["case_number"],
        )
        return answer({"success": True, "data": row})

    def _refusal(self, finding_id: object, case_type: object, amount: object) -> str | None:
        """Say what PostgreSQL would have against the new row."""
        if not is_uuid(finding_id):
            return f'invalid input syntax for type uuid: "{finding_id}"'
        try:
            Decimal(str(amount))
        except InvalidOperation:
            return f'invalid input syntax for type numeric: "{amount}"'
        if case_type not in _PROVIDERS:
            return _violation(
                "check", "dispute_cases_case_type_check", 'new row for relation "dispute_cases"'
            )
        key = str(finding_id).lower()
        if any(row["detection_result_id"] == key for row in self._world.disputes.values()):
            return _violation("unique", "dispute_cases_detection_result_id_key", "duplicate key value")
        if key not in self._world.detections:
            subject = 'insert or update on table "dispute_cases"'
            return _violation("foreign key", "dispute_cases_detection_result_id_fkey", subject)
        return None

    async def submit(self, request: Request, token: Claims) -> Response:
        row = dispute_of(self._world, request.path_params["id"], token)
        if isinstance(row, Response):
            return row
        if row["status"] != "pending":
            return unsuccessful(500, f"Case cannot be submitted in status: {row['status']}")
        at = now()
        sent_at = to_ms(at)  # set by code, not by the database
        number = f"{_PREFIXES[row['provider']]}-{epoch_ms(at)}-{tail(_CHANCE, 9)}"
        row.update(
            status="submitted",
            submission_date=pg_time(sent_at),
            provider_case_id=number,
            provider_response={
                "status": "submitted",
                "submitted_at": js_time(sent_at),
                "amazon_case_id": number,
            },
            updated_at=pg_time(at),
        )
        self._world.note(
            "integrations", "submitDispute", id=row["id"], user_id=row["seller_id"], provider_case_id=number
        )
        return answer({"success": True, "data": row})


def _violation(kind: str, constraint: str, subject: str) -> str:
    return f'{subject} violates {kind} constraint "{constraint}"'
