"""Watching claims: `Subscription.claimUpdated`. Every event is executed like a query of its own.

field                      asks              watch
Subscription.claimUpdated  refund engine     ClaimReader, one for all of a viewer's streams
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import strawberry

from clients.refund_engine import ClaimRecord
from clients.transport import Answer
from resolvers.claims.claim import CLAIM_STATUS, Claim, ClaimStatus
from resolvers.context import Info
from resolvers.costs import REFUND_ENGINE, once
from resolvers.errors import BadUserInput
from resolvers.fields import watches
from resolvers.global_ids import global_id, key_of
from resolvers.watching.events import events
from resolvers.watching.listener import Told
from resolvers.watching.poll import NothingThere
from resolvers.watching.watchers import Stream

WATCHED_AT_MOST = 100


@strawberry.type(description="One claim, as it is now.")
class ClaimUpdatedEvent:
    sequence: int = strawberry.field(
        description="Counts up by one from 1; a gap means events were missed: subscribe again."
    )
    claim: Claim = strawberry.field(description="The claim, after the change.")
    previous_status: ClaimStatus | None = strawberry.field(
        description=(
            "State before the change, equal to the present one when something else changed; null in the "
            "snapshot."
        )
    )

    @classmethod
    def from_told(cls, told: Told[Answer[ClaimRecord]]) -> ClaimUpdatedEvent:
        return cls(
            sequence=told.sequence,
            claim=Claim.from_record(told.state.value, told.state.as_of),
            previous_status=CLAIM_STATUS.value(told.before.value.status) if told.before else None,
        )


@strawberry.type
class ClaimSubscriptions:
    @watches(
        once(REFUND_ENGINE, pages=6),  # the page, and what it cannot tell
        each_of="claimIds",
        scope="claims:read",
        description="Claims: one snapshot event each, then an event per change.",
    )
    async def claim_updated(
        self,
        info: Info,
        claim_ids: Annotated[
            list[strawberry.ID], strawberry.argument(description="The claims on screen, 1 to 100.")
        ],
    ) -> AsyncGenerator[ClaimUpdatedEvent, None]:
        context = info.context
        if not 1 <= len(claim_ids) <= WATCHED_AT_MOST:
            raise BadUserInput(f"`claimIds` must name 1 to {WATCHED_AT_MOST} claims.")
        keys = [key_of(claim_id, "Claim") for claim_id in claim_ids]
        try:
            told = await context.watchers.watch(
                "claim",
                context.viewer,
                keys,
                moved=_moved,
                stream=Stream(context.transport, info.field_name),
                admit=context.admit_event,
            )
        except NothingThere as exc:
            raise BadUserInput(f"You have no claim with the id {global_id('Claim', exc.key)}.") from exc
        return events(told, ClaimUpdatedEvent.from_told)


def _moved(before: Answer[ClaimRecord], now: Answer[ClaimRecord]) -> bool:
    return now.value.updated_at > before.value.updated_at
