"""Connections of the viewer to the providers whose data is searched."""

from typing import Literal, NamedTuple

from pydantic import Field, TypeAdapter

from clients.integrations.asking import Asking, Data, Done
from clients.records import Record, Rows, UtcTime, Word
from clients.transport import Answer, Page

Provider = Literal["amazon", "gmail", "stripe"]

# Some are counted in Redis, 30 a minute for each viewer, and tell that count in the headers of the service's
# quota. While Redis is away the call takes 5.6 s (captured).
COUNTED_TIMEOUT_S = 7.0


class _Asked(NamedTuple):
    operation: str
    method: str
    path: str
    counted_apart: bool = False


_CONSENT: dict[Provider, _Asked] = {
    "amazon": _Asked("startAmazonOAuth", "GET", "/api/amazon/auth", counted_apart=True),
    "gmail": _Asked("connectGmail", "POST", "/api/gmail/connect"),
    "stripe": _Asked("connectStripe", "POST", "/api/stripe/connect"),
}


class IntegrationRecord(Record):
    """A connection of the viewer to one provider. Providers never connected have no row."""

    provider: Word
    status: Word
    updated_at: UtcTime
    last_synced_at: UtcTime | None = Field(None, validation_alias="lastSyncedAt")


class _Consent(Record):
    auth_url: str | None = Field(None, validation_alias="authUrl")


class _Reconnect(Record):
    reconnect_url: str = Field(validation_alias="reconnectUrl")


INTEGRATIONS = TypeAdapter(Data[Rows[IntegrationRecord]])
CONSENT = TypeAdapter(_Consent)
RECONNECT = TypeAdapter(Data[_Reconnect])
DISCONNECTED = TypeAdapter(Done)


class Connections(Asking):
    """What one caller can ask about connections."""

    async def integrations(self) -> Page[IntegrationRecord]:
        """The viewer's connections, latest change first; providers never connected are absent.

        Source: `GET /api/v1/integrations/status`, listIntegrationStatuses, integrations.openapi.yaml.
        """
        answer = await self._get("listIntegrationStatuses", "/api/v1/integrations/status", INTEGRATIONS)
        return Page(answer.value.data, len(answer.value.data), answer.as_of, answer.failure)

    async def connect(self, provider: Provider) -> Answer[str | None]:
        """Begin a connection: where the viewer's browser is to go for the provider's consent.

        Returns:
            The address of the consent page, good for one visit; None when they are connected already. Amazon
            hands one out even then. Nothing is connected before the viewer comes back from there, so asking
            twice is harmless.

        Source: `GET /api/amazon/auth`, startAmazonOAuth; `POST /api/gmail/connect`, connectGmail;
        `POST /api/stripe/connect`, connectStripe; integrations.openapi.yaml.
        """
        asked = _CONSENT[provider]
        answer = await self._upstream.call(
            self._caller,
            asked.operation,
            asked.method,
            asked.path,
            CONSENT,
            idempotent=True,
            timeout_s=COUNTED_TIMEOUT_S,
            counted_apart=asked.counted_apart,
        )
        return Answer(answer.value.auth_url, answer.as_of)

    async def reconnect(self, provider: Provider) -> Answer[str]:
        """Mark a connection as expired, before anybody consents; the service's own page to connect it again.

        A provider never connected has no row to mark, and answers the same.

        Source: `PATCH /api/v1/integrations/reconnect/{provider}`, reconnectIntegration,
        integrations.openapi.yaml.
        """
        answer = await self._upstream.call(
            self._caller,
            "reconnectIntegration",
            "PATCH",
            f"/api/v1/integrations/reconnect/{provider}",
            RECONNECT,
            idempotent=True,
            timeout_s=COUNTED_TIMEOUT_S,
            counted_apart=True,
        )
        return Answer(answer.value.data.reconnect_url, answer.as_of)

    async def disconnect(self, provider: Provider) -> None:
        """Revoke what is kept of one provider's consent; also succeeds where nothing was connected.

        Source: `DELETE /api/{connector}/disconnect`, disconnectIntegration, integrations.openapi.yaml.
        """
        await self._upstream.call(
            self._caller,
            "disconnectIntegration",
            "DELETE",
            f"/api/{provider}/disconnect",
            DISCONNECTED,
            idempotent=True,
        )
