"""Syncs: one fetch of the viewer's data each, and the search for findings that follows it."""

from typing import Literal

from pydantic import AliasChoices, Field, TypeAdapter

from clients.addresses import path_id
from clients.chain.question import Disguise
from clients.errors import UpstreamNotFound
from clients.integrations.asking import Asking, Data, Done
from clients.records import Int32, Record, Rows, UtcTime, Word
from clients.transport import Answer, Page

_NO_SYNC = tuple(Disguise(status, "Sync not found", UpstreamNotFound) for status in (500, 404))

SyncType = Literal["inventory", "financial", "product"]


class _SyncMetadata(Record):
    sync_type: Word | None = None


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
    metadata: _SyncMetadata | None = None  # only the list has it

    @property
    def sync_type(self) -> str | None:
        """What it fetches; None where the owner has not noted it."""
        return self.metadata.sync_type if self.metadata else None


class StartedSyncRecord(Record):
    """A sync just started. Its estimate is a constant there and is not read."""

    sync_id: str = Field(validation_alias="syncId")
    detection_enabled: bool = Field(validation_alias="detectionPipelineEnabled")


STARTED = TypeAdapter(Data[StartedSyncRecord])
CANCELLED = TypeAdapter(Done)
SYNCS = TypeAdapter(Data[Rows[SyncRecord]])
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
        return Page(answer.value.data, None, answer.as_of, answer.failure)

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
                disguises=_NO_SYNC,
            )
        except UpstreamNotFound:
            return None
        return Answer(answer.value.data, answer.as_of)

    async def start_sync(
        self, sync_type: SyncType, *, enable_detection: bool = True
    ) -> Answer[StartedSyncRecord]:
        """Fetch the viewer's data anew; each call is a new run.

        Args:
            enable_detection: whether what was fetched is then searched for findings.

        Raises:
            UpstreamError: where `maybe_done`, the newest of `syncs_page` tells. Without its Redis the service
                hangs, whatever it is given of time.

        Source: `POST /api/v1/integrations/sync/start`, startSync, integrations.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "startSync",
            "POST",
            "/api/v1/integrations/sync/start",
            STARTED,
            body={"syncType": sync_type, "enableDetection": enable_detection},
        )
        return Answer(answer.value.data, answer.as_of)

    async def cancel_sync(self, sync_id: str) -> None:
        """Stop a running sync.

        It claims success for what is unknown, ended or another seller's, so whoever calls this has read the
        sync first, and reads it again to see what it became.

        Raises:
            UpstreamFailed: as published always for a sync that really runs: its database refuses the word.
                `maybe_done` is True, for the text is that of any failure; `sync` settles it.

        Source: `DELETE /api/enhanced-sync/cancel/{syncId}`, cancelSync, integrations.openapi.yaml.
        """
        await self._upstream.call(
            self._caller,
            "cancelSync",
            "DELETE",
            f"/api/enhanced-sync/cancel/{path_id(sync_id)}",
            CANCELLED,
            idempotent=True,
        )
