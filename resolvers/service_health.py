"""ServiceHealth: the state of the services behind the API, from the BFF's own monitor. Asks no service.

field                        asks
Query.serviceHealth          nobody
Subscription.serviceHealth   nobody; `Watchers.watch_health` looks at the monitor
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from enum import Enum

import strawberry

from clients.directory import Directory
from clients.health import HealthMonitor, ServiceState, Status
from resolvers.context import Info
from resolvers.global_ids import Node, global_id
from resolvers.watching.events import events
from resolvers.watching.listener import Told
from resolvers.watching.watchers import Health, Stream, moved_services
from resolvers.words import described


@strawberry.enum(description="State of a service as the monitor sees it.")
class ServiceStatus(Enum):
    HEALTHY = described("HEALTHY", description="Answers as it should.")
    DEGRADED = described(
        "DEGRADED",
        description="Answers, but something it needs is down, or it turns us away for asking too often.",
    )
    UNHEALTHY = described(
        "UNHEALTHY", description="Does not answer, or is not asked because it failed too often."
    )
    UNKNOWN = described("UNKNOWN", description="Not checked yet.")


@strawberry.enum(description="Why a service is not healthy.")
class ServiceHealthReason(Enum):
    UNREACHABLE = described("UNREACHABLE", description="No connection.")
    TIMEOUT = described("TIMEOUT", description="No answer in time.")
    ERROR_ANSWER = described("ERROR_ANSWER", description="It answered with an error.")
    DEPENDENCY_DOWN = described(
        "DEPENDENCY_DOWN", description="It answered, and said that something it needs is down."
    )
    RATE_LIMITED = described("RATE_LIMITED", description="It turns us away for asking too often.")


@strawberry.enum(description="State of the circuit breaker in front of a service.")
class CircuitState(Enum):
    CLOSED = described("CLOSED", description="Calls go through.")
    OPEN = described("OPEN", description="Calls fail at once and are not sent.")
    HALF_OPEN = described("HALF_OPEN", description="A few calls are let through, to see whether it is back.")


@strawberry.type(
    description=("One service behind the API. It holds no address and no error text: those are in the logs.")
)
class ServiceHealth(Node):
    id: strawberry.ID = strawberry.field(description="Globally unique.")
    name: str = strawberry.field(description="Slug (`refund-engine`), as in `errors[].extensions.service`.")
    display_name: str = strawberry.field(description="Name for people (`Refund Engine`).")
    status: ServiceStatus = strawberry.field(description="State.")
    reason: ServiceHealthReason | None = strawberry.field(
        description="Why it is not healthy; null while HEALTHY or UNKNOWN."
    )
    circuit_state: CircuitState = strawberry.field(description="State of the circuit breaker.")
    response_time_ms: float | None = strawberry.field(
        description="How long the latest check took, in milliseconds; null when it got no answer."
    )
    consecutive_failure_count: int = strawberry.field(description="Checks and calls that failed in a row.")
    last_checked_at: datetime | None = strawberry.field(
        description="When it was last checked; null before the first check."
    )
    last_healthy_at: datetime | None = strawberry.field(
        description="When it was last healthy; null when it never was."
    )

    @classmethod
    def from_state(cls, state: ServiceState, circuit: str) -> ServiceHealth:
        """`circuit` is OPEN, HALF_OPEN or CLOSED."""
        return cls(
            id=global_id("ServiceHealth", state.service.name),
            name=state.service.name,
            display_name=state.service.display_name,
            status=ServiceStatus(state.status.value),
            reason=ServiceHealthReason(state.reason.value) if state.reason else None,
            circuit_state=CircuitState(circuit),
            response_time_ms=state.response_time_ms,
            consecutive_failure_count=state.consecutive_failures,
            last_checked_at=state.last_checked_at,
            last_healthy_at=state.last_healthy_at,
        )

    @classmethod
    async def by_key(cls, info: Info, key: str) -> ServiceHealth | None:
        """The service with this slug; None when there is none."""
        state = info.context.health.state(key)
        return None if state is None else cls.from_state(state, info.context.directory.circuit(key).name)


WORST_FIRST = (Status.UNHEALTHY, Status.DEGRADED, Status.UNKNOWN, Status.HEALTHY)


@strawberry.type(
    description=(
        "Health of everything behind the API, from the BFF's own monitor. Asking for it calls no service, so "
        "it is there exactly when the rest is not."
    )
)
class SystemHealth:
    status: ServiceStatus = strawberry.field(description="The worst state of any service.")
    healthy_count: int = strawberry.field(description="Services in HEALTHY.")
    total_count: int = strawberry.field(description="All services.")
    checked_at: datetime | None = strawberry.field(
        description="When the latest round of checks ended; null before the first."
    )
    services: list[ServiceHealth] = strawberry.field(description="Every service, always in the same order.")

    @classmethod
    def from_monitor(cls, monitor: HealthMonitor, directory: Directory) -> SystemHealth:
        states = monitor.states()
        services = [
            ServiceHealth.from_state(state, directory.circuit(state.service.name).name) for state in states
        ]
        return cls.of(states, services, monitor.checked_at)

    @classmethod
    def of(
        cls, states: Iterable[ServiceState], services: list[ServiceHealth], checked_at: datetime | None
    ) -> SystemHealth:
        seen = [state.status for state in states]
        return cls(
            status=ServiceStatus(next(status for status in WORST_FIRST if status in seen).value),
            healthy_count=seen.count(Status.HEALTHY),
            total_count=len(seen),
            checked_at=checked_at,
            services=services,
        )


@strawberry.type(description="The health of all services.")
class ServiceHealthEvent:
    sequence: int = strawberry.field(
        description="Counts up by one from 1, the snapshot; a gap means events were missed: subscribe again."
    )
    health: SystemHealth = strawberry.field(description="Health of everything, after the change.")
    changed_services: list[ServiceHealth] = strawberry.field(
        description="Services whose state changed; empty in the snapshot."
    )

    @classmethod
    def from_told(cls, told: Told[Health], checked_at: datetime | None) -> ServiceHealthEvent:
        services = {
            name: ServiceHealth.from_state(state, circuit) for name, (state, circuit) in told.state.items()
        }
        states = [state for state, _ in told.state.values()]
        changed = moved_services(told.before, told.state) if told.before else []
        return cls(
            sequence=told.sequence,
            health=SystemHealth.of(states, list(services.values()), checked_at),
            changed_services=[services[name] for name in changed],
        )


@strawberry.type
class ServiceHealthQueries:
    @strawberry.field(description="Health of the services. Never null.")
    def service_health(self, info: Info) -> SystemHealth:
        return SystemHealth.from_monitor(info.context.health, info.context.directory)


@strawberry.type
class ServiceHealthSubscriptions:
    @strawberry.subscription(description="Health of the services: a snapshot, then an event per change.")
    async def service_health(self, info: Info) -> AsyncGenerator[ServiceHealthEvent, None]:
        context = info.context
        stream = Stream(context.transport, info.field_name)
        told = await context.watchers.watch_health(context.viewer, stream=stream, admit=context.admit_event)
        return events(told, lambda each: ServiceHealthEvent.from_told(each, context.health.checked_at))
