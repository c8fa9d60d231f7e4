"""The integrations service as a caller sees it: its nouns, put together.

Its lists hold only the caller's rows. It says 500 where it means "no such sync", so that text is compared;
a changed text stays an error and never becomes "none".
"""

from pydantic import TypeAdapter

from clients.integrations.connections import Connections
from clients.integrations.detections import Detections
from clients.integrations.disputes import Disputes
from clients.integrations.syncs import Syncs
from clients.records import Record
from clients.transport import Answer


class IntegrationsHealth(Record):
    """Says only that the process lives; there is no `status`."""

    success: bool

    @property
    def dependency_down(self) -> bool:
        return not self.success


HEALTH = TypeAdapter(IntegrationsHealth)


class Integrations(Connections, Syncs, Detections, Disputes):
    """What one caller can ask the integrations service."""

    async def health(self) -> Answer[IntegrationsHealth]:
        """Source: `GET /health`, integrationsHealth, integrations.openapi.yaml."""
        return await self._get("integrationsHealth", "/health", HEALTH)
