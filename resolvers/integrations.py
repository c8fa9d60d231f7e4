"""Integration: a system the seller has connected, or could. Owned by integrations.

field                asks             loader
Query.integrations   integrations     integration_by_provider
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from enum import Enum

import strawberry
import structlog

from clients.integrations.connections import IntegrationRecord
from clients.transport import Answer
from resolvers.context import Info
from resolvers.costs import INTEGRATIONS, once
from resolvers.fields import asks
from resolvers.global_ids import Node, global_id, key_of
from resolvers.loaders.operation import Loaders
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
    def from_answer(
        cls, provider: IntegrationProvider, answer: Answer[IntegrationRecord | None]
    ) -> Integration:
        record = answer.value
        return cls(
            id=global_id("Integration", provider.value.lower()),
            provider=provider,
            status=IntegrationStatus.NOT_CONNECTED
            if record is None
            else INTEGRATION_STATUS.value(record.status),
            last_synced_at=record.last_synced_at if record else None,
            updated_at=record.updated_at if record else None,
            as_of=answer.as_of,
        )

    @classmethod
    async def of_provider(cls, loaders: Loaders, provider: IntegrationProvider) -> Integration:
        """The viewer's connection to a provider; one never connected has no row upstream."""
        return cls.from_answer(provider, await loaders.integration_by_provider.load(provider.value.lower()))

    @classmethod
    async def by_key(cls, info: Info, key: str) -> Integration | None:
        """The viewer's connection to a provider; None when there is no such provider."""
        info.context.require("integrations:read")
        provider = PROVIDER_OF_WORD.get(key)
        return provider and await cls.of_provider(info.context.loaders, provider)

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
        loaders = info.context.loaders
        found = await asyncio.gather(
            *(Integration.of_provider(loaders, provider) for provider in IntegrationProvider)
        )
        words = {row.provider for row in (await loaders.integrations()).rows}
        for word in words - PROVIDER_OF_WORD.keys():
            log.warning("word.unknown", column="integrations status.provider", word=word[:100])
        return found
