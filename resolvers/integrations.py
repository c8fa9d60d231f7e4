"""Integration: a system the seller has connected, or could. Owned by integrations.

field                asks             loader
Query.integrations   integrations     integrations
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
import structlog

from clients.integrations.connections import IntegrationRecord
from clients.transport import Page
from resolvers.context import Info
from resolvers.costs import INTEGRATIONS, once
from resolvers.fields import asks
from resolvers.global_ids import Node, global_id, key_of
from resolvers.words import Words, described

log = structlog.get_logger()


@strawberry.enum(description="A system that can be connected.")
class IntegrationProvider(Enum):
    AMAZON = described("AMAZON", description="Amazon Seller Central.")
    GMAIL = described("GMAIL", description="Gmail, for evidence in mail.")
    STRIPE = described("STRIPE", description="Stripe, for charges and payouts.")


@strawberry.enum(description="State of a connection.")
class IntegrationStatus(Enum):
    NOT_CONNECTED = described("NOT_CONNECTED", description="Never connected.")
    CONNECTED = described("CONNECTED", description="Working.")
    EXPIRED = described("EXPIRED", description="The permission lapsed; connect again with `reconnect`.")
    REVOKED = described("REVOKED", description="The permission was taken back.")
    UNKNOWN = described("UNKNOWN", description="The owner sent a word this graph does not know.")


INTEGRATION_STATUS = Words(
    "integrations status.status",
    {
        "active": IntegrationStatus.CONNECTED,
        "expired": IntegrationStatus.EXPIRED,
        "revoked": IntegrationStatus.REVOKED,
    },
    unknown=IntegrationStatus.UNKNOWN,
)
PROVIDER_OF_WORD = {provider.value.lower(): provider for provider in IntegrationProvider}


@strawberry.federation.type(keys=["id"], description="A system the seller has connected, or could.")
class Integration(Node):
    id: strawberry.ID = strawberry.field(description="Unique for the viewer.")
    provider: IntegrationProvider = strawberry.field(description="The system.")
    status: IntegrationStatus = strawberry.field(description="State of the connection.")
    last_synced_at: datetime | None = strawberry.field(
        description="When data was last fetched from it; null when never, or when the owner did not note it."
    )
    updated_at: datetime | None = strawberry.field(
        description="When the state last changed; null while NOT_CONNECTED."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def from_record(
        cls, provider: IntegrationProvider, record: IntegrationRecord | None, as_of: datetime
    ) -> Integration:
        return cls(
            id=global_id("Integration", provider.value.lower()),
            provider=provider,
            status=IntegrationStatus.NOT_CONNECTED
            if record is None
            else INTEGRATION_STATUS.value(record.status),
            last_synced_at=record.last_synced_at if record else None,
            updated_at=record.updated_at if record else None,
            as_of=as_of,
        )

    @classmethod
    def all_of_page(cls, page: Page[IntegrationRecord]) -> list[Integration]:
        """Every provider, in the order of the enum; those never connected have no row upstream."""
        # Latest change first upstream; the latest row of a provider is its state.
        rows = {row.provider: row for row in reversed(page.rows)}
        for provider in rows.keys() - PROVIDER_OF_WORD.keys():
            log.warning("word.unknown", column="integrations status.provider", word=provider[:100])
        return [
            cls.from_record(provider, rows.get(word), page.as_of)
            for word, provider in PROVIDER_OF_WORD.items()
        ]

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Integration | None:
        """The viewer's connection to a provider; None when there is no such provider."""
        info.context.require("integrations:read")
        if key not in PROVIDER_OF_WORD:
            return None
        wanted = global_id("Integration", key)
        found = cls.all_of_page(await info.context.loaders.integrations())
        return next(each for each in found if each.id == wanted)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Integration | None:
        """Answer the router's `_entities(representations: [{__typename: "Integration", id}])`."""
        return await cls.by_key(info, key_of(id, "Integration"))


@strawberry.type
class IntegrationQueries:
    @asks(
        once(INTEGRATIONS, shared="listIntegrationStatuses"),
        scope="integrations:read",
        description=("Every system that can be connected, connected or not, always in the same order."),
    )
    async def integrations(self, info: Info) -> list[Integration] | None:
        return Integration.all_of_page(await info.context.loaders.integrations())
