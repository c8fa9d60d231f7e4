"""Detections: what was found in the synced data, for which Amazon may owe money."""

from decimal import Decimal

from pydantic import TypeAdapter

from clients.integrations.asking import Asking, Data
from clients.records import Finite, Int32, Record, UtcTime, UuidText, Word
from clients.transport import Answer, Page


class DetectionRecord(Record):
    """One finding: something in the synced data for which Amazon may owe money."""

    id: UuidText
    seller_id: str
    sync_id: str
    anomaly_type: Word
    severity: Word
    status: Word
    estimated_value: Decimal
    currency: str
    confidence_score: Finite
    created_at: UtcTime
    updated_at: UtcTime


class FiguresRecord(Record):
    """Number and summed value of some findings."""

    count: Int32
    value: Decimal


class DetectionStatisticsRecord(Record):
    """Figures over all findings of the viewer, without a currency: USD."""

    total_anomalies: Int32
    total_value: Decimal
    by_severity: dict[Word, FiguresRecord]
    by_type: dict[Word, FiguresRecord]
    dispute_cases: Int32
    total_claimed: Decimal


DETECTIONS = TypeAdapter(Data[list[DetectionRecord]])
DETECTION_STATISTICS = TypeAdapter(Data[DetectionStatisticsRecord])


class Detections(Asking):
    """What one caller can ask about findings."""

    async def detections_page(
        self, *, limit: int, offset: int = 0, sync_id: str | None = None, status: str | None = None
    ) -> Page[DetectionRecord]:
        """One page of the viewer's findings, newest first, not counted: a short page is the last.

        Args:
            sync_id: only findings of this sync.
            status: only findings in this state, in the owner's word.

        Source: `GET /api/enhanced-detection/results`, listDetectionResults, integrations.openapi.yaml.
        """
        answer = await self._get(
            "listDetectionResults",
            "/api/enhanced-detection/results",
            DETECTIONS,
            syncId=sync_id,
            status=status,
            limit=limit,
            offset=offset,
        )
        return Page(answer.value.data, None, answer.as_of)

    async def detection_statistics(self) -> Answer[DetectionStatisticsRecord]:
        """Figures over all findings and filing cases of the viewer, since the beginning.

        Source: `GET /api/enhanced-detection/statistics`, detectionStatistics, integrations.openapi.yaml.
        """
        answer = await self._get(
            "detectionStatistics", "/api/enhanced-detection/statistics", DETECTION_STATISTICS
        )
        return Answer(answer.value.data, answer.as_of)
