"""What every resolver of one operation can reach: who asks, the loaders, and the health of the services."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import strawberry
from strawberry.fastapi import BaseContext

from clients.caller import Caller, Viewer
from clients.health import HealthMonitor
from resolvers.errors import Forbidden

if TYPE_CHECKING:
    from resolvers.loaders.operation import Loaders


@dataclass
class Context(BaseContext):
    """Born and gone with one operation: a longer life would show one seller's data to another."""

    viewer: Viewer
    caller: Caller
    loaders: "Loaders"
    health: HealthMonitor
    support_code: str  # names this operation in errors and in the log

    def __post_init__(self) -> None:
        super().__init__()

    def require(self, scope: str | None) -> None:
        """Stop here, before any service is asked, unless the viewer's token carries `scope`.

        Raises:
            Forbidden: it does not.
        """
        if scope is not None and scope not in self.viewer.scopes:
            raise Forbidden(scope)


Info = strawberry.Info[Context, None]
