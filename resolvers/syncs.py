"""Sync and DetectionRun: one fetch of the seller's data, and the search through it. Owned by integrations.

field                     asks             loader
Query.syncs               integrations     syncs_page
Query.sync                integrations     sync_by_id
Query.detectionRun        integrations     sync_by_id
DetectionRun.detections   integrations     detections_by_sync_id
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import UNSET

from clients.errors import ResultTooLarge
from clients.integrations.detections import DetectionRecord
from clients.integrations.syncs import SyncRecord
from resolvers.connections import After, Connection, First, window
from resolvers.context import Info
from resolvers.costs import DETECTIONS, INTEGRATIONS, SYNCS, once
from resolvers.detections import DetectionConnection
from resolvers.fields import asks, loads
from resolvers.global_ids import Node, global_id, key_of
from resolvers.loaders.batching import Scan
from resolvers.words import Words, described


@strawberry.enum(description="State of a sync.")
class SyncStatus(Enum):
    RUNNING = described("RUNNING", description="Working.")
    COMPLETED = described("COMPLETED", description="Finished. Terminal.")
    FAILED = described("FAILED", description="Stopped by an error. Terminal.")
    CANCELLED = described("CANCELLED", description="Stopped on request. Terminal.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


@strawberry.enum(
    description=(
        "How far detection over one sync is. No service reports a failed detection: it stays PENDING or "
        "RUNNING."
    )
)
class DetectionRunStatus(Enum):
    PENDING = described(
        "PENDING",
        description="Not requested, or requested twice, which the owner cannot tell apart.",
    )
    RUNNING = described("RUNNING", description="Requested, waiting or working.")
    COMPLETED = described("COMPLETED", description="Finished. Terminal.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


SYNC_STATUS = Words(
    "integrations sync.status",
    {status.value.lower(): status for status in list(SyncStatus)[:-1]},
    unknown=SyncStatus.UNKNOWN,
)
DETECTION_RUN_STATUS = Words(
    "integrations sync.detectionPipelineStatus",
    {
        "pending": DetectionRunStatus.PENDING,
        "triggered": DetectionRunStatus.RUNNING,
        "detection_queued": DetectionRunStatus.RUNNING,
        "detection_completed": DetectionRunStatus.COMPLETED,
        "dispute_created": DetectionRunStatus.COMPLETED,
        "unknown": DetectionRunStatus.UNKNOWN,
    },
    unknown=DetectionRunStatus.UNKNOWN,
)


@strawberry.federation.type(keys=["id"], description="One fetch of the seller's data from Amazon.")
class Sync(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    status: SyncStatus = strawberry.field(description="State.")
    progress_percent: int = strawberry.field(description="How far it is, 0 to 100.")
    step: int = strawberry.field(description="Number of the present step, from 0.")
    total_steps: int = strawberry.field(description="Number of steps.")
    current_step: str = strawberry.field(
        description="Name of the present step, in English (`Create Ledger Entries`)."
    )
    started_at: datetime | None = strawberry.field(
        description="When it began; null when the owner did not note it."
    )
    updated_at: datetime | None = strawberry.field(
        description="When it last moved; null when the owner did not note it."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    record: strawberry.Private[SyncRecord]

    @strawberry.field(description="Detection over what it fetched.")
    def detection_run(self) -> DetectionRun:
        return DetectionRun.from_record(self.record, self.as_of)

    @classmethod
    def from_record(cls, record: SyncRecord, as_of: datetime) -> Sync:
        return cls(
            id=global_id("Sync", record.sync_id),
            status=SYNC_STATUS.value(record.status),
            progress_percent=max(0, min(100, record.progress)),
            step=record.step,
            total_steps=record.total_steps,
            current_step=record.current_step,
            started_at=record.created_at,
            updated_at=record.updated_at,
            as_of=as_of,
            record=record,
        )

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Sync | None:
        """The viewer's sync with this id; None when there is none."""
        info.context.require("integrations:read")
        answer = await info.context.loaders.sync_by_id.load(key)
        return None if answer is None else cls.from_record(answer.value, answer.as_of)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Sync | None:
        """Answer the router's `_entities(representations: [{__typename: "Sync", id}])`."""
        return await cls.by_key(info, key_of(id, "Sync"))


@strawberry.federation.type(
    keys=["id"], description="Detection over the data of one sync. Each sync has exactly one."
)
class DetectionRun(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    status: DetectionRunStatus = strawberry.field(description="How far it is.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")
    key: strawberry.Private[str]
    record: strawberry.Private[SyncRecord]

    @strawberry.field(description="The sync whose data is searched.")
    def sync(self) -> Sync:
        return Sync.from_record(self.record, self.as_of)

    @classmethod
    def from_record(cls, record: SyncRecord, as_of: datetime) -> DetectionRun:
        return cls(
            id=global_id("DetectionRun", record.sync_id),
            status=DETECTION_RUN_STATUS.value(record.detection_status),
            as_of=as_of,
            key=record.sync_id,
            record=record,
        )

    @classmethod
    async def by_key(cls, info: Info, key: str) -> DetectionRun | None:
        """Detection over the viewer's sync with this id; None when there is no such sync."""
        info.context.require("detections:read")
        answer = await info.context.loaders.sync_by_id.load(key)
        return None if answer is None else cls.from_record(answer.value, answer.as_of)

    @loads(
        "detections_by_sync_id",
        DETECTIONS,
        key="key",
        scope="detections:read",
        description="What it found. Empty until it has finished, and when it found nothing.",
    )
    def detections(
        self, found: Scan[DetectionRecord], first: First = 20, after: After = UNSET
    ) -> DetectionConnection | None:
        part = window(first, after)
        if part.end > len(found.rows) and not found.complete:
            raise ResultTooLarge("integrations", "listDetectionResults")
        total = len(found.rows) if found.complete else None
        return DetectionConnection.of_rows(found.rows, part, total, found.as_of)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> DetectionRun | None:
        """Answer the router's `_entities(representations: [{__typename: "DetectionRun", id}])`."""
        return await cls.by_key(info, key_of(id, "DetectionRun"))


@strawberry.type(description="A sync and its place in a connection.")
class SyncEdge:
    cursor: str = strawberry.field(description="Opaque position.")
    node: Sync = strawberry.field(description="The sync.")


@strawberry.type(description="A page of syncs.")
class SyncConnection(Connection[Sync, SyncEdge]):
    edge = SyncEdge

    total_count: int | None = strawberry.field(description="Always null: the owner does not count.")
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")


@strawberry.type
class SyncQueries:
    @asks(
        once(INTEGRATIONS),
        scope="integrations:read",
        description=(
            "Syncs, newest first: the history and the activity log. The detection of each is beside it."
        ),
    )
    async def syncs(self, info: Info, first: First = 20, after: After = UNSET) -> SyncConnection | None:
        part = window(first, after)
        page = await info.context.loaders.syncs_page(limit=part.first + 1, offset=part.offset)
        rows = page.rows[: part.first]
        return SyncConnection(
            nodes=[Sync.from_record(row, page.as_of) for row in rows],
            total_count=None,
            as_of=page.as_of,
            offset=part.offset,
            has_next_page=len(page.rows) > part.first,
        )

    @asks(
        SYNCS,
        scope="integrations:read",
        description="One sync; null without an error when there is none.",
    )
    async def sync(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Global ID.")]
    ) -> Sync | None:
        return await Sync.by_key(info, key_of(id, "Sync"))

    @asks(
        SYNCS,
        scope="detections:read",
        description="One detection run; null without an error when there is none.",
    )
    async def detection_run(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Global ID.")]
    ) -> DetectionRun | None:
        return await DetectionRun.by_key(info, key_of(id, "DetectionRun"))
