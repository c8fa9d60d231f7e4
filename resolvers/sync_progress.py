"""Watching syncs and the detection over them. Both streams of one viewer are fed by one poll.

field                            asks             watch
Subscription.syncProgress        integrations     SyncReader
Subscription.detectionProgress   integrations     SyncReader
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Annotated

import strawberry

from clients.integrations.syncs import SyncRecord
from clients.transport import Answer
from resolvers.context import Info
from resolvers.costs import INTEGRATIONS, once
from resolvers.errors import BadUserInput
from resolvers.fields import watches
from resolvers.global_ids import global_id, key_of
from resolvers.syncs import (
    DETECTION_RUN_STATUS,
    SYNC_STATUS,
    DetectionRun,
    DetectionRunStatus,
    Sync,
    SyncStatus,
)
from resolvers.watching.events import events
from resolvers.watching.listener import Told
from resolvers.watching.poll import NothingThere
from resolvers.watching.watchers import Stream

SyncAnswer = Answer[SyncRecord]

TERMINAL = (SyncStatus.COMPLETED, SyncStatus.FAILED, SyncStatus.CANCELLED)
A_ROUND = (once(INTEGRATIONS, pages=2, shared="watchedSyncs"),)  # the latest, and the one if it is older


@strawberry.type(description="One detection run, as it is now.")
class DetectionProgressEvent:
    sequence: int = strawberry.field(
        description="Counts up by one from 1, the snapshot; a gap means events were missed: subscribe again."
    )
    detection_run: DetectionRun = strawberry.field(description="The run, after the change.")

    @classmethod
    def from_told(cls, told: Told[SyncAnswer]) -> DetectionProgressEvent:
        return cls(
            sequence=told.sequence,
            detection_run=DetectionRun.from_record(told.state.value, told.state.as_of),
        )


@strawberry.type(description="One sync, as it is now.")
class SyncProgressEvent:
    sequence: int = strawberry.field(
        description="Counts up by one from 1, the snapshot; a gap means events were missed: subscribe again."
    )
    sync: Sync = strawberry.field(description="The sync, after the change.")

    @classmethod
    def from_told(cls, told: Told[SyncAnswer]) -> SyncProgressEvent:
        return cls(sequence=told.sequence, sync=Sync.from_record(told.state.value, told.state.as_of))


@strawberry.type
class SyncSubscriptions:
    @watches(
        *A_ROUND,
        scope="detections:read",
        description="A detection run: a snapshot, then an event per change; ends after COMPLETED.",
    )
    async def detection_progress(
        self,
        info: Info,
        detection_run_id: Annotated[strawberry.ID, strawberry.argument(description="Global ID of the run.")],
    ) -> AsyncGenerator[DetectionProgressEvent, None]:
        told = await _watch(info, detection_run_id, "DetectionRun", moved=_run_moved)
        return events(told, DetectionProgressEvent.from_told, ends=_run_ended)

    @watches(
        *A_ROUND,
        scope="integrations:read",
        description="A sync: a snapshot, then an event per change; ends after a terminal state.",
    )
    async def sync_progress(
        self,
        info: Info,
        sync_id: Annotated[strawberry.ID, strawberry.argument(description="Global ID of the sync.")],
    ) -> AsyncGenerator[SyncProgressEvent, None]:
        told = await _watch(info, sync_id, "Sync", moved=_sync_moved)
        return events(told, SyncProgressEvent.from_told, ends=_sync_ended)


async def _watch(
    info: Info, id: str, type_name: str, *, moved: Callable[[SyncAnswer, SyncAnswer], bool]
) -> AsyncGenerator[Told[SyncAnswer], None]:
    context = info.context
    try:
        return await context.watchers.watch(
            "sync",
            context.viewer,
            [key_of(id, type_name)],
            moved=moved,
            stream=Stream(context.transport, info.field_name),
            admit=context.admit_event,
        )
    except NothingThere as exc:
        raise BadUserInput(f"You have no {type_name} with the id {global_id(type_name, exc.key)}.") from exc


def _run_moved(before: SyncAnswer, now: SyncAnswer) -> bool:
    return _run_status(before) is not _run_status(now)


def _run_ended(now: SyncAnswer) -> bool:
    return _run_status(now) is DetectionRunStatus.COMPLETED


def _run_status(answer: SyncAnswer) -> DetectionRunStatus:
    return DETECTION_RUN_STATUS.value(answer.value.detection_status)


def _sync_moved(before: SyncAnswer, now: SyncAnswer) -> bool:
    def signs(record: SyncRecord) -> tuple[object, ...]:
        return record.status, record.step, record.progress

    return signs(before.value) != signs(now.value)


def _sync_ended(now: SyncAnswer) -> bool:
    return SYNC_STATUS.value(now.value.status) in TERMINAL
