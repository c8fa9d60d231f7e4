"""Connections: begun, taken back.

mutation                asks, in this order
connectIntegration      integrations reconnectIntegration (with `reconnect`); then startAmazonOAuth,
                        connectGmail or connectStripe
disconnectIntegration   integrations disconnectIntegration, listIntegrationStatuses
"""

from __future__ import annotations

from typing import Annotated

import strawberry

from clients.errors import UpstreamError
from clients.integrations.connections import Provider
from resolvers.costs import INTEGRATIONS
from resolvers.costs import once as once_per_operation
from resolvers.integrations import Integration, IntegrationProvider, IntegrationStatus
from resolvers.mutations.user_errors import (
    Refused,
    UserError,
    UserErrorCode,
    conflict,
    lost_answer,
    not_done,
    outcome_unknown,
    refused_if_rejected,
    seen_after,
    user_errors_field,
)
from resolvers.mutations.work import Work, mutates

PROVIDERS: dict[IntegrationProvider, Provider] = {
    IntegrationProvider.AMAZON: "amazon",
    IntegrationProvider.GMAIL: "gmail",
    IntegrationProvider.STRIPE: "stripe",
}


@strawberry.input(description="Input of `connectIntegration`.")
class ConnectIntegrationInput:
    provider: IntegrationProvider = strawberry.field(description="The system.")
    reconnect: bool = strawberry.field(
        default=False, description="Whether to let the present connection lapse first."
    )


@strawberry.type(description="Result of `connectIntegration`.")
class ConnectIntegrationPayload:
    authorization_url: str | None = strawberry.field(
        default=None,
        description="Where to send the browser for consent; null when `userErrors` is not empty.",
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.input(description="Input of `disconnectIntegration`.")
class DisconnectIntegrationInput:
    provider: IntegrationProvider = strawberry.field(
        description="The system. Data already fetched from it stays."
    )


@strawberry.type(description="Result of `disconnectIntegration`.")
class DisconnectIntegrationPayload:
    integration: Integration | None = strawberry.field(
        default=None, description="The connection as it stands now; null when `userErrors` is not empty."
    )
    user_errors: list[UserError] = user_errors_field()


@strawberry.type
class IntegrationMutations:
    @mutates(
        ConnectIntegrationPayload,
        once_per_operation(INTEGRATIONS, pages=2, hops=2),
        scope="integrations:write",
        description="Begins to connect a system, or to connect it again.",
    )
    async def connect_integration(
        self,
        work: Work,
        input: Annotated[ConnectIntegrationInput, strawberry.argument(description="Input.")],
    ) -> ConnectIntegrationPayload | None:
        provider = PROVIDERS[input.provider]
        if input.reconnect:
            with refused_if_rejected():
                await work.clients.integrations.reconnect(provider)
        try:
            with refused_if_rejected():
                consent = await work.clients.integrations.connect(provider)
        except (UpstreamError, Refused) as error:
            if not input.reconnect:
                raise
            raise outcome_unknown(
                INTEGRATIONS,
                "Any connection there was has lapsed, and the page for consent cannot be had now. Ask again.",
            ) from error
        if consent.value is None:
            raise conflict(
                UserErrorCode.ALREADY_CONNECTED,
                "The system is connected already. To connect it anew, set `reconnect`.",
                "provider",
            )
        return ConnectIntegrationPayload(authorization_url=consent.value)

    @mutates(
        DisconnectIntegrationPayload,
        once_per_operation(INTEGRATIONS, pages=2, expected=2, hops=2),
        scope="integrations:write",
        description="Disconnects a system.",
    )
    async def disconnect_integration(
        self,
        work: Work,
        input: Annotated[DisconnectIntegrationInput, strawberry.argument(description="Input.")],
    ) -> DisconnectIntegrationPayload | None:
        lost = await lost_answer(work.clients.integrations.disconnect(PROVIDERS[input.provider]))
        work.look_again()
        now = await seen_after(Integration.of_provider(work.loaders, input.provider), lost)
        if lost and now.status is IntegrationStatus.CONNECTED:
            raise not_done(lost, "The owner of this data refused to disconnect.", "provider")
        return DisconnectIntegrationPayload(integration=now)
