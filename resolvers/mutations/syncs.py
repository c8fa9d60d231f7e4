"""Syncs and the searches through them: started, stopped.

mutation       asks, in this order
startSync      integrations startSync, listSyncHistory
cancelSync     integrations getSyncStatus (whose is it, does it run?), cancelSync, listSyncHistory
runDetection   integrations getSyncStatus or listSyncHistory (the sync), runDetection, listSyncHistory
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from clients.integrations.syncs import SyncRecord, SyncType
from resolvers.costs import INTEGRATIONS
from resolvers.costs import once as once_per_operation
from resolvers.mutations.given import key_field
from resolvers.mutations.once import Attempt, CannotTell, Deed, Done, Sent, once
from resolvers.mutations.owned import own_sync
from resolvers.mutations.user_errors import (
    UserError,
    UserErrorCode,
    conflict,
    lost_answer,
    not_done,
    not_found,
    refused_if_rejected,
    seen_after,
    unseen,
    user_errors_field,
)
from resolvers.mutations.work import Work, mutates
from resolvers.syncs import SYNC_STATUS, DetectionRun, Sync, SyncStatus
from resolvers.words import described

LATEST = 20  # syncs among which a lost start is looked for
CLOCKS_DIFFER = timedelta(seconds=2)  # at most, between the service and us
UNTOLD = "pending"  # what the owner says of a search that was never asked for, or asked for twice


@strawberry.enum(description="What a sync fetches.")
class SyncKind(Enum):
    INVENTORY = described("INVENTORY", description="Stock.")
    FINANCIAL = described("FINANCIAL", description="Money movements.")
    PRODUCT = described("PRODUCT", description="Products.")


SYNC_TYPES: dict[SyncKind, SyncType] = {
    SyncKind.INVENTORY: "inventory",
    SyncKind.FINANCIAL: "financial",
    SyncKind.PRODUCT: "product",
}


@strawberry.input(description="Input of `startSync`.")
class StartSyncInput:
    idempotency_key: UUID = key_field()
    kind: SyncKind = strawberry.field(default=SyncKind.INVENTORY, description="What to fetch.")
    run_detection: bool = strawberry.field(
        default=True, description="Whether to search the data for findings as well."
    )


@strawberry.type(description="Result of `startSync`.")
class StartSyncPayload:
    sync: Sync | None = strawberry.field(
        default=None, description="The sync; null when `userErrors` is not empty."
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.input(description="Input of `cancelSync`.")
class CancelSyncInput:
    sync_id: strawberry.ID = strawberry.field(description="The sync to stop.")


@strawberry.type(description="Result of `cancelSync`.")
class CancelSyncPayload:
    sync: Sync | None = strawberry.field(
        default=None, description="The sync as it stands now; null when `userErrors` is not empty."
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.input(description="Input of `runDetection`.")
class RunDetectionInput:
    idempotency_key: UUID = strawberry.field(
        description=(
            "Chosen by the client. A repeated key returns the first outcome for 24 hours; without it a "
            "second run would hide the state of the first."
        )
    )
    sync_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="The sync to search; the latest one when absent."
    )


@strawberry.type(description="Result of `runDetection`.")
class RunDetectionPayload:
    detection_run: DetectionRun | None = strawberry.field(
        default=None, description="The run; null when `userErrors` is not empty."
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class SyncMutations:
    @mutates(
        RunDetectionPayload,
        once_per_operation(INTEGRATIONS, pages=4, expected=3, hops=3),
        scope="detections:run",
        description="Searches the data of a sync for findings. Follow it with `detectionProgress`.",
    )
    async def run_detection(
        self, work: Work, input: Annotated[RunDetectionInput, strawberry.argument(description="Input.")]
    ) -> RunDetectionPayload | None:
        return await once(
            work,
            "runDetection",
            input,
            Deed(
                service=INTEGRATIONS,
                do=partial(_search, work, input.sync_id or None),
                settle=partial(_searched, work),
                repeatable=False,
                show=partial(_run_shown, work),
            ),
        )

    @mutates(
        StartSyncPayload,
        once_per_operation(INTEGRATIONS, pages=2, expected=2, hops=2),
        scope="integrations:write",
        description="Starts a sync. Follow it with `syncProgress`.",
    )
    async def start_sync(
        self, work: Work, input: Annotated[StartSyncInput, strawberry.argument(description="Input.")]
    ) -> StartSyncPayload | None:
        return await once(
            work,
            "startSync",
            input,
            Deed(
                service=INTEGRATIONS,
                do=partial(_start, work, input),
                settle=partial(_started, work),
                repeatable=False,
                show=partial(_sync_shown, work),
                sole=True,
            ),
        )

    @mutates(
        CancelSyncPayload,
        once_per_operation(INTEGRATIONS, pages=4, expected=3, hops=3),
        scope="integrations:write",
        description="Stops a sync.",
    )
    async def cancel_sync(
        self, work: Work, input: Annotated[CancelSyncInput, strawberry.argument(description="Input.")]
    ) -> CancelSyncPayload | None:
        sync = await own_sync(work, input.sync_id)
        if SYNC_STATUS.value(sync.status) is not SyncStatus.RUNNING:
            raise conflict(UserErrorCode.SYNC_NOT_RUNNING, "The sync has ended already.", "syncId")
        lost = await lost_answer(work.clients.integrations.cancel_sync(sync.sync_id))
        work.look_again()
        answer = await seen_after(work.loaders.sync_by_id.load(sync.sync_id), lost)
        if answer is None:
            raise not_found("There is no such sync.", input.sync_id, "syncId")
        now = Sync.from_record(answer.value, answer.as_of)
        if lost and now.status is SyncStatus.RUNNING:
            raise not_done(lost, "The owner of this data refused to stop the sync.", "syncId")
        work.watchers.changed(work.viewer, "sync", sync.sync_id)
        return CancelSyncPayload(sync=now)


async def _start(work: Work, input: StartSyncInput, attempt: Attempt) -> Done[StartSyncPayload]:
    """Start a sync."""
    await attempt.sending(kind=SYNC_TYPES[input.kind])
    with refused_if_rejected():
        started = await work.clients.integrations.start_sync(
            SYNC_TYPES[input.kind], enable_detection=input.run_detection
        )
    return Done(started.value.sync_id)


async def _started(work: Work, sent: Sent | None) -> str | None:
    """The id of the sync that a lost start began: the first of its kind, no older, and no other key's."""
    if sent is None:
        return None
    page = await work.clients.integrations.syncs_page(limit=LATEST)
    others = await work.loaders.store.receipts.outcomes(work.viewer.user_id, "startSync")
    since = sent.at - CLOCKS_DIFFER
    begun = [
        row.sync_id
        for row in page.rows
        if row.created_at
        and row.created_at >= since
        and row.sync_type in (None, sent.facts["kind"])
        and row.sync_id.encode() not in others
    ]
    return begun[-1] if begun else None  # newest first: the last is the earliest


async def _sync_shown(work: Work, sync_id: str) -> StartSyncPayload:
    answer = await work.loaders.sync_by_id.load(sync_id)
    if answer is None:
        raise unseen(INTEGRATIONS)
    return StartSyncPayload(sync=Sync.from_record(answer.value, answer.as_of))


async def _search(work: Work, sync_id: strawberry.ID | None, attempt: Attempt) -> Done[RunDetectionPayload]:
    """Have a sync searched."""
    sync = await own_sync(work, sync_id) if sync_id else await _latest_sync(work)
    others = await work.loaders.store.receipts.outcomes(work.viewer.user_id, "runDetection")
    await attempt.sending(
        sync_id=sync.sync_id,
        before=sync.detection_status,
        searched_before=sync.sync_id.encode() in others,
    )
    with refused_if_rejected():
        await work.clients.integrations.run_detection(sync.sync_id)
    return Done(sync.sync_id)


async def _searched(work: Work, sent: Sent | None) -> str | None:
    """The id of the sync, when it shows that it was searched: a first search is told, a second hides it.

    Raises:
        CannotTell: it was searched more than once before, and a further search changes nothing.
    """
    if sent is None:
        return None
    sync_id: str = sent.facts["sync_id"]
    was_untold = sent.facts["before"] == UNTOLD
    if was_untold and sent.facts["searched_before"]:
        raise CannotTell
    answer = await work.clients.integrations.sync(sync_id)
    is_untold = answer is None or answer.value.detection_status == UNTOLD
    return None if is_untold == was_untold else sync_id


async def _run_shown(work: Work, sync_id: str) -> RunDetectionPayload:
    work.watchers.changed(work.viewer, "sync", sync_id)
    answer = await work.loaders.sync_by_id.load(sync_id)
    if answer is None:
        raise unseen(INTEGRATIONS)
    return RunDetectionPayload(detection_run=DetectionRun.from_record(answer.value, answer.as_of))


async def _latest_sync(work: Work) -> SyncRecord:
    """The viewer's latest sync.

    Raises:
        Refused: NOT_FOUND: there is none.
    """
    page = await work.clients.integrations.syncs_page(limit=1)
    if not page.rows:
        raise not_found("There is no sync to search yet: start one first.", "", "syncId")
    return page.rows[0]
