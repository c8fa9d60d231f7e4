"""Detections: what was found in the synced data, for which Amazon may owe money."""

from pydantic import TypeAdapter

from clients.integrations.asking import Asking, Data
from clients.records import Decimal15, Finite, Int32, Record, Rows, UtcTime, UuidText, Word
from clients.transport import Answer, Page


class DetectionRecord(Record):
    """One finding: something in the synced data for which Amazon may owe money."""

    id: UuidText
    seller_id: str
    sync_id: str
    anomaly_type: Word
    severity: Word
    status: Word
    estimated_value: Decimal15
    currency: str
    confidence_score: Finite
    created_at: UtcTime
    updated_at: UtcTime


class FiguresRecord(Record):
    """Number and summed value of some findings."""

    count: Int32
    value: Decimal15


class DetectionStatisticsRecord(Record):
    """Figures over all findings of the viewer, without a currency: USD."""

    total_anomalies: Int32
    total_value: Decimal15
    by_severity: dict[Word, FiguresRecord]
    by_type: dict[Word, FiguresRecord]
    dispute_cases: Int32
    total_claimed: Decimal15


class _Job(Record):
    sync_id: str


class _Queued(Record):
    job: _Job


QUEUED = TypeAdapter(_Queued)
DETECTIONS = TypeAdapter(Data[Rows[DetectionRecord]])
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
        return Page(answer.value.data, None, answer.as_of, answer.failure)

    async def detection_statistics(self) -> Answer[DetectionStatisticsRecord]:
        """Figures over all findings and filing cases of the viewer, since the beginning.

        Source: `GET /api/enhanced-detection/statistics`, detectionStatistics, integrations.openapi.yaml.
        """
        answer = await self._get(
            "detectionStatistics", "/api/enhanced-detection/statistics", DETECTION_STATISTICS
        )
        return Answer(answer.value.data, answer.as_of)

    async def run_detection(self, sync_id: str) -> Answer[str]:
        """Search what one sync fetched for findings.

        It takes any id, known or not, and each call is another search; a second one hides the first from
        `SyncRecord.detection_status`. Whoever calls this has made sure that the sync is the viewer's.

        Returns:
            The id of the sync, which is the only handle: the search has none of its own.

        Raises:
            UpstreamError: where `maybe_done`, `sync` tells: its `detection_status` leaves "pending" when a
                search was asked for. A service whose queue client is broken answers 500 to every call.

        Source: `POST /api/v1/integrations/detections/run`, runDetection, integrations.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "runDetection",
            "POST",
            "/api/v1/integrations/detections/run",
            QUEUED,
            body={"syncId": sync_id, "triggerType": "manual"},
        )
        return Answer(answer.value.job.sync_id, answer.as_of)
