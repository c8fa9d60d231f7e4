"""What each operation is given: who asks, by when, and what it is answered with.

A request may ask for less, or for more to be told:

X-Request-Budget: 800    answer within so many milliseconds
X-Upstreams: 1           tell in `extensions` what was asked of whom
X-Cost: 1                tell in `extensions` what it costs
X-Coalesce: no           do not share the answer of the same query that is in flight
X-Rehearse: stripe=down  show an outage, with the scope for it and never in production
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from bff.audit import Book
from bff.auth import NOBODY
from bff.identity import Identity
from bff.in_flight import InFlight
from bff.machines import Machine
from bff.metrics import Metrics
from bff.persisted import PersistedDocuments
from bff.rates import Rates
from bff.settings.settings import Settings
from clients.caller import Caller, Deadline, Viewer
from clients.chain.rehearsal import Fault, rehearsed_faults
from clients.directory import SERVICES, Directory
from clients.health import HealthMonitor
from resolvers.context import Context
from resolvers.errors import BadUserInput, Forbidden
from resolvers.loaders.operation import Loaders
from resolvers.watching.watchers import Watchers
from resolvers.workshop import Workshop

BUDGET_HEADER = "x-request-budget"
UPSTREAMS_HEADER = "x-upstreams"
COST_HEADER = "x-cost"
COALESCE_HEADER = "x-coalesce"
REHEARSAL_HEADER = "x-rehearse"
REHEARSAL_SCOPE = "faults:rehearse"
NO_FAULTS: Mapping[str, Fault] = {}


@dataclass(frozen=True)
class Contexts:
    """Makes the context of each operation, of what lives as long as the process."""

    settings: Settings
    identity: Identity
    rates: Rates
    book: Book
    metrics: Metrics
    directory: Directory
    health: HealthMonitor
    loaders_for: Callable[[Caller], Loaders]
    documents: PersistedDocuments
    in_flight: InFlight
    watchers: Watchers
    workshop: Workshop

    def of(self, connection: HTTPConnection) -> Context:
        """The context of an operation that came by a request.

        Raises:
            Unauthenticated: nobody has signed in, or not so that it can be believed.
            BadUserInput: a header says what it cannot.
            Forbidden: it asks for an outage, and its token lacks the scope.
        """
        viewer, machine = self.identity.who(connection)
        try:
            rehearsed = _rehearsed(connection, viewer, allowed=self.settings.rehearsals)
        except Forbidden as exc:
            self.identity.refusals.scope(connection, exc.scope, viewer.user_id)
            raise
        if rehearsed:
            self.book.rehearsed(connection, viewer.user_id)
        least_s, most_s = self.settings.reserve_s, self.settings.operation_budget_s
        budget_s = _budget_s(connection, least_s=least_s, most_s=most_s)
        context = self.for_viewer(connection, viewer, budget_s=budget_s, rehearsed=rehearsed, machine=machine)
        if machine:
            context.sees_schema, context.sees_data = True, not machine.alone
        return context

    def for_viewer(
        self,
        connection: HTTPConnection,
        viewer: Viewer,
        *,
        budget_s: float | None = None,
        rehearsed: Mapping[str, Fault] = NO_FAULTS,
        machine: Machine | None = None,
    ) -> Context:
        """The context of an operation of somebody who is known already.

        Args:
            budget_s: time from now to the answer, in seconds; the process's own when absent.
            rehearsed: faults by service that it wants to see.
            machine: the program that asks in the viewer's place, or for itself.
        """

        def on_limit(limit: str, refused: bool) -> None:
            self.metrics.limit_exceeded(limit, refused)
            if refused:
                self.book.refused(connection, "limit", limit, viewer.user_id)

        settings, told = self.settings, connection.headers
        if budget_s is None:
            budget_s = settings.operation_budget_s
        caller = Caller(viewer, Deadline(budget_s), rehearsed=rehearsed)
        return Context(
            viewer=viewer,
            caller=caller,
            loaders=self.loaders_for(caller),
            health=self.health,
            directory=self.directory,
            workshop=self.workshop,
            documents=self.documents,
            in_flight=self.in_flight,
            on_operation=self.metrics.operation_ended,
            on_limit=on_limit,
            admission=self.rates.operation(
                None if viewer is NOBODY else viewer, connection.state.answer_headers
            ),
            watchers=self.watchers,
            budget_s=budget_s,
            support_code=connection.state.support_code,
            trail=self.book.trail(connection, viewer.user_id, machine.name if machine else None),
            tell_upstreams=UPSTREAMS_HEADER in told,
            tell_cost=COST_HEADER in told,
            alone=told.get(COALESCE_HEADER, "").lower() == "no",
            on_forbidden=lambda scope: self.identity.refusals.scope(connection, scope, viewer.user_id),
            sees_schema=settings.dev,
            router_scopes=settings.router_scopes,
        )


def _budget_s(connection: HTTPConnection, *, least_s: float, most_s: float) -> float:
    """The operation's time budget: the process's own, or less when the client asks for less.

    Raises:
        BadUserInput: the header is not a whole number of milliseconds above `least_s`, below which no service
            could be asked.
    """
    asked_ms = connection.headers.get(BUDGET_HEADER)
    if asked_ms is None:
        return most_s
    if not (asked_ms.isascii() and asked_ms.isdigit() and int(asked_ms[:9]) > least_s * 1000):
        raise BadUserInput(
            f"`X-Request-Budget` is a whole number of milliseconds above {least_s * 1000:.0f}."
        )
    return min(most_s, int(asked_ms[:9]) / 1000)


def _rehearsed(connection: HTTPConnection, viewer: Viewer, *, allowed: bool) -> dict[str, Fault]:
    """The faults that this request wants to see; none where nobody may rehearse.

    Raises:
        BadUserInput: a service or a fault in the header does not exist.
        Forbidden: the token does not carry the scope.
    """
    asked = connection.headers.get(REHEARSAL_HEADER)
    if asked is None or not allowed:
        return {}
    if REHEARSAL_SCOPE not in viewer.scopes:
        raise Forbidden(REHEARSAL_SCOPE)
    try:
        return rehearsed_faults(asked, {service.name: service for service in SERVICES})
    except ValueError as exc:
        raise BadUserInput(f"`X-Rehearse`: {exc}") from exc
