"""Whose is it? What a mutation is about, found and known to be the viewer's, before anything is written."""

from __future__ import annotations

import strawberry

from clients.integrations.detections import DetectionRecord
from clients.integrations.syncs import SyncRecord
from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.mutations.user_errors import key_in, not_found
from resolvers.mutations.work import Work


async def own_claim(work: Work, claim_id: strawberry.ID) -> Answer[ClaimRecord]:
    """The viewer's claim, from `claimId` of an input.

    Raises:
        Refused: NOT_FOUND, also when it is somebody else's; INVALID_INPUT, when it is no id of a claim.
    """
    claim = await work.loaders.claim_by_id.load(key_in(claim_id, "Claim", "claimId"))
    if claim is None:
        raise not_found("There is no such claim.", claim_id, "claimId")
    return claim


async def own_detection(work: Work, detection_id: strawberry.ID) -> DetectionRecord:
    """The viewer's finding, from `detectionId` of an input.

    Raises:
        Refused: NOT_FOUND, also when it is somebody else's; INVALID_INPUT, when it is no id of a finding.
    """
    found = await work.loaders.detection_by_id.load(key_in(detection_id, "Detection", "detectionId"))
    if found.value is None:
        raise not_found("There is no such finding.", detection_id, "detectionId")
    return found.value


async def own_sync(work: Work, sync_id: strawberry.ID) -> SyncRecord:
    """The viewer's sync, from `syncId` of an input.

    Raises:
        Refused: NOT_FOUND, also when it is somebody else's; INVALID_INPUT, when it is no id of a sync.
    """
    answer = await work.clients.integrations.sync(key_in(sync_id, "Sync", "syncId"))
    if answer is None:
        raise not_found("There is no such sync.", sync_id, "syncId")
    return answer.value
