"""Syncs: one fetch of the viewer's data each, and the search for findings that follows it."""

from pydantic import AliasChoices, Field, TypeAdapter

from clients.errors import UpstreamNotFound
from clients.integrations.asking import Asking, Data
from clients.records import Int32, Record, UtcTime, Word
from clients.transport import Answer, Page, path_id


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


SYNCS = TypeAdapter(Data[list[SyncRecord]])
SYNC = TypeAdapter(Data[SyncRecord])


class Syncs(Asking):
    """What one caller can ask about syncs."""

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
