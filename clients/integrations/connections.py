"""Connections of the viewer to the providers whose data is searched."""

from pydantic import Field, TypeAdapter

from clients.integrations.asking import Asking, Data
from clients.records import Record, UtcTime, Word
from clients.transport import Page


class IntegrationRecord(Record):
    """A connection of the viewer to one provider. Providers never connected have no row."""

    provider: Word
    status: Word
    updated_at: UtcTime
    last_synced_at: UtcTime | None = Field(None, validation_alias="lastSyncedAt")


INTEGRATIONS = TypeAdapter(Data[list[IntegrationRecord]])


class Connections(Asking):
    """What one caller can ask about connections."""

    async def integrations(self) -> Page[IntegrationRecord]:
        """The viewer's connections, latest change first; providers never connected are absent.

        Source: `GET /api/v1/integrations/status`, listIntegrationStatuses, integrations.openapi.yaml.
        """
        answer = await self._get("listIntegrationStatuses", "/api/v1/integrations/status", INTEGRATIONS)
        return Page(answer.value.data, len(answer.value.data), answer.as_of)
