"""Disputes: the filing of one finding with Amazon."""

from decimal import Decimal

from pydantic import TypeAdapter

from clients.integrations.asking import Asking, Data
from clients.records import Int32, Record, UtcTime, UuidText, Word
from clients.transport import Page


class DisputeRecord(Record):
    """The filing of one finding with Amazon. At most one per finding; its number joins it to a claim."""

    id: UuidText
    seller_id: str
    detection_result_id: UuidText
    case_number: str
    status: Word
    currency: str
    submission_date: UtcTime | None
    resolution_date: UtcTime | None
    resolution_amount: Decimal | None
    resolution_notes: str | None
    provider_case_id: str | None
    expected_amount: Decimal | None
    expected_paid_date: UtcTime | None
    created_at: UtcTime


class _Disputes(Record):
    cases: list[DisputeRecord]
    total: Int32


DISPUTES = TypeAdapter(Data[_Disputes])


class Disputes(Asking):
    """What one caller can ask about filing cases."""

    async def disputes_page(self, *, limit: int, offset: int = 0) -> Page[DisputeRecord]:
        """One page of the viewer's filing cases, newest first, with the count of all.

        Source: `GET /api/enhanced-detection/disputes`, listDisputes, integrations.openapi.yaml.
        """
        answer = await self._get(
            "listDisputes", "/api/enhanced-detection/disputes", DISPUTES, limit=limit, offset=offset
        )
        return Page(answer.value.data.cases, answer.value.data.total, answer.as_of)
