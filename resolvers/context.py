"""What every resolver of one operation can reach: who asks, the loaders, and the health of the services."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import strawberry
from strawberry.fastapi import BaseContext

from clients.caller import Caller, Deadline, ServiceUse, Viewer
from clients.directory import Directory
from clients.errors import UpstreamRateLimited
from clients.health import HealthMonitor
from resolvers.errors import Forbidden
from resolvers.watching.watchers import Watchers
from resolvers.workshop import Workshop

if TYPE_CHECKING:
    from resolvers.loaders.operation import Loaders


# Told how each operation went: its name, seconds, what it asked of each service, number of errors.
OnOperation = Callable[[str | None, float, Mapping[str, ServiceUse], int], None]
# Told that an operation exceeds a limit: its name, and whether the operation is refused for it.
OnLimit = Callable[[str, bool], None]


class Documents(Protocol):
    """Knows the documents that operations may ask for by hash; `bff/persisted.py`."""

    turn: asyncio.Lock

    async def asked(self, document: str | None, extensions: Mapping[str, Any] | None) -> Any: ...

    async def accepted(self, asked: Any, operation: str | None) -> None: ...


class Admission(Protocol):
    """Counts an operation against what its viewer may ask; `bff/rates.py`."""

    async def begin(self) -> None: ...

    async def price(self, cost: int) -> None: ...

    async def event(self, cost: int) -> None: ...


class InFlight(Protocol):
    """Executes identical queries of one viewer once; `bff/in_flight.py`."""

    async def execute(self, execution: Any, execute: Callable[[], Awaitable[Any]]) -> Any: ...


class Trail(Protocol):
    """Writes down what an operation does; `bff/audit.py`."""

    @property
    def given(self) -> Sequence[tuple[str, str]]:
        """What was read so far: field, object."""

    async def begun(self, mutation: str, object_id: str | None) -> str: ...

    async def ended(self, work: str, mutation: str, object_id: str | None, outcome: str) -> None: ...

    def read(self, field: str, object_id: str) -> None: ...


# Told each scope that an operation needed and its viewer did not have.
OnForbidden = Callable[[str], None]


@dataclass
class Context(BaseContext):
    """Born and gone with one operation: a longer life would show one seller's data to another.

    A subscription lives for hours, and loaders remember: each of its events begins with `begin_event`.
    """

    viewer: Viewer
    caller: Caller
    loaders: "Loaders"
    health: HealthMonitor
    directory: Directory
    documents: Documents
    in_flight: InFlight
    on_operation: OnOperation
    workshop: Workshop
    on_limit: OnLimit
    admission: Admission
    watchers: Watchers
    budget_s: float  # of the operation, or of each event
    support_code: str  # names this operation in errors and in the log
    trail: Trail
    transport: str = "http"  # or websocket, sse, multipart
    tell_upstreams: bool = False  # whether the client asked for `extensions.upstreams`
    tell_cost: bool = False  # whether the client asked for `extensions.cost`
    alone: bool = False  # whether the client asked not to share an execution
    on_forbidden: OnForbidden = lambda _: None
    on_event: Callable[[], None] = lambda: None  # told that an event of a stream begins
    router_scopes: bool = False  # whether `_service` says which scopes fields need
    sees_schema: bool = False  # introspection, the SDL, and names suggested in errors
    cost: int = 1  # in upstream calls, as a rule; known once the operation is valid
    event_cost: int = 0  # the same of each event of a stream, beyond its snapshot
    sees_data: bool = True  # not a program that shows its key and nobody's token

    def __post_init__(self) -> None:
        super().__init__()
        self.event_began_s = time.perf_counter()

    def begin_event(self) -> None:
        """Begin the next event of a stream: new loaders, a new deadline, nothing left of the event before."""
        self.on_event()
        self.caller.leave()
        self.caller = Caller(self.viewer, Deadline(self.budget_s), rehearsed=self.caller.rehearsed)
        self.loaders = self.loaders.anew(self.directory.clients_for(self.caller))
        self.event_began_s = time.perf_counter()

    async def admit_event(self) -> None:
        """Wait until the viewer can afford one more event of this stream."""
        await self.admission.event(self.event_cost)

    def require(self, scope: str | None) -> None:
        """Stop here, before any service is asked, unless the viewer's token carries `scope`.

        Raises:
            Forbidden: it does not.
        """
        if scope is not None and scope not in self.viewer.scopes:
            raise Forbidden(scope)

    def spare(self, services: Sequence[str]) -> None:
        """Stop here, before any service is asked, when the quota of one of them is nearly used up.

        Raises:
            UpstreamRateLimited: what is left is kept for fields that a screen cannot do without.
        """
        for service in services:
            quota = self.directory.quota(service)
            if quota.scarce:
                raise UpstreamRateLimited(service, "spared", retry_after_ms=int(quota.resets_in_s * 1000))


Info = strawberry.Info[Context, None]
