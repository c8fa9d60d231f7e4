"""The integrations service: connections, syncs, findings ("detections") and filing cases ("disputes").

Its lists hold only the caller's rows. It says 500 where it means "no such sync", so that text is compared;
a changed text stays an error and never becomes "none".
"""

from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic import AliasChoices, Field, TypeAdapter

from clients.caller import Caller
from clients.errors import UpstreamNotFound
from clients.records import Finite, Int32, Record, UtcTime, UuidText, Word
from clients.transport import Answer, Page, Upstream, given, path_id

T = TypeVar("T")


class IntegrationRecord(Record):
    """A connection of the viewer to one provider. Providers never connected have no row."""

    provider: Word
    status: Word
    updated_at: UtcTime
    last_synced_at: UtcTime | None = Field(None, validation_alias="lastSyncedAt")


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


class SyncRecord(Record):
    """One fetch of the viewer's data. The list spells its columns in snake case, the single read in camel."""

    sync_id: str = Field(validation_alias=AliasChoices("sync_id", "syncId"))
    status: Word
    progress: Int32
    step: Int32
    total_steps: Int32 = Field(validation_alias=AliasChoices("total_steps", "totalSteps"))
    current_step: str = Field(validation_alias=AliasChoices("current_step", "currentStep"))
    created_at: UtcTime | None = None  # only the list has it
    updated_at: UtcTime | None = Field(None, validation_alias=AliasChoices("updated_at", "updatedAt"))
    detection_status: Word = Field(validation_alias="detectionPipelineStatus")


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


class IntegrationsHealth(Record):
    """Says only that the process lives; there is no `status`."""

    success: bool

    @property
    def dependency_down(self) -> bool:
        return not self.success


class _Data(Record, Generic[T]):
    data: T


class _Disputes(Record):
    cases: list[DisputeRecord]
    total: Int32


INTEGRATIONS = TypeAdapter(_Data[list[IntegrationRecord]])
DISPUTES = TypeAdapter(_Data[_Disputes])
DETECTIONS = TypeAdapter(_Data[list[DetectionRecord]])
DETECTION_STATISTICS = TypeAdapter(_Data[DetectionStatisticsRecord])
SYNCS = TypeAdapter(_Data[list[SyncRecord]])
SYNC = TypeAdapter(_Data[SyncRecord])
HEALTH = TypeAdapter(IntegrationsHealth)


class Integrations:
    """What one caller can ask the integrations service."""

    def __init__(self, upstream: Upstream, caller: Caller) -> None:
        self._upstream = upstream
        self._caller = caller

    async def integrations(self) -> Page[IntegrationRecord]:
        """The viewer's connections, latest change first; providers never connected are absent.

        Source: `GET /api/v1/integrations/status`, listIntegrationStatuses, integrations.openapi.yaml.
        """
        answer = await self._get("listIntegrationStatuses", "/api/v1/integrations/status", INTEGRATIONS)
        return Page(answer.value.data, len(answer.value.data), answer.as_of)

    async def disputes_page(self, *, limit: int, offset: int = 0) -> Page[DisputeRecord]:
        """One page of the viewer's filing cases, newest first, with the count of all.

        Source: `GET /api/enhanced-detection/disputes`, listDisputes, integrations.openapi.yaml.
        """
        answer = await self._get(
            "listDisputes", "/api/enhanced-detection/disputes", DISPUTES, limit=limit, offset=offset
        )
        return Page(answer.value.data.cases, answer.value.data.total, answer.as_of)

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

    async def syncs_page(self, *, limit: int, offset: int = 0) -> Page[SyncRecord]:
        """One page of the viewer's syncs, newest first, not counted.

        Source: `GET /api/v1/integrations/sync/history`, listSyncHistory, integrations.openapi.yaml.
        """
        answer = await self._get(
            "listSyncHistory", "/api/v1/integrations/sync/history", SYNCS, limit=limit, offset=offset
        )
        return Page(answer.value.data, None, answer.as_of)

    async def sync(self, sync_id: str) -> Answer[SyncRecord] | None:
        """One sync of the viewer, without its start; None when there is none.

        Source: `GET /api/v1/integrations/sync/status/{syncId}`, getSyncStatus, integrations.openapi.yaml.
        An unknown id is a 500 there, "Sync not found".
        """
        try:
            answer = await self._upstream.call(
                self._caller,
                "getSyncStatus",
                "GET",
                f"/api/v1/integrations/sync/status/{path_id(sync_id)}",
                SYNC,
                absent_texts=("Sync not found",),
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def health(self) -> Answer[IntegrationsHealth]:
        """Source: `GET /health`, integrationsHealth, integrations.openapi.yaml."""
        return await self._get("integrationsHealth", "/health", HEALTH)

    async def _get(self, operation: str, path: str, shape: TypeAdapter[T], **params: Any) -> Answer[T]:
        return await self._upstream.call(self._caller, operation, "GET", path, shape, params=given(**params))
