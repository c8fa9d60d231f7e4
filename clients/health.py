"""Whether the six services answer, as the BFF itself sees it.

A probe reads each service's `/health`, body included: several say "healthy" with their database gone. What
happens to viewers' calls counts too, so an outage under traffic is seen before the next probe, and a service
that answers viewers is not probed. Nobody who asks for health waits for a service.

seen                                             status     reason
a probe with the service's own healthy sign      HEALTHY    –
a probe that says something it needs is down     DEGRADED   DEPENDENCY_DOWN
429, from a probe or a call                      DEGRADED   RATE_LIMITED
no connection                                    UNHEALTHY  UNREACHABLE
no answer in time                                UNHEALTHY  TIMEOUT
any other answer to a probe                      UNHEALTHY  ERROR_ANSWER
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import structlog

from clients.bus import Bus
from clients.caller import Caller, Deadline
from clients.chain.observed import Outcome
from clients.directory import SERVICES, Clients, Directory, Service
from clients.errors import (
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from clients.failures import BulkheadFull, CircuitOpened
from clients.transport import Answer

log = structlog.get_logger()

PROBE_BUDGET_S = 10.0  # above the slowest probe's own limit, mcde's 7 s
FAILED_CALLS_UNTIL_UNHEALTHY = 3  # in a row: one failed call may be that call's fault
LIVE_SIGN_S = 60.0  # a call that succeeded so recently replaces a probe
SLOWEST_SHARE = 0.1  # of the quota left, at which probes come ten times less often, and no slower
CHANNEL = "opside:health"
JITTER = 0.1  # of the interval, so that replicas do not probe in step


class Status(Enum):
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"


class Reason(Enum):
    UNREACHABLE = "UNREACHABLE"
    TIMEOUT = "TIMEOUT"
    ERROR_ANSWER = "ERROR_ANSWER"
    DEPENDENCY_DOWN = "DEPENDENCY_DOWN"
    RATE_LIMITED = "RATE_LIMITED"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service as the monitor sees it now."""

    service: Service
    status: Status = Status.UNKNOWN
    reason: Reason | None = None
    response_time_ms: float | None = None  # of the latest probe; None when it got no answer
    consecutive_failures: int = 0
    last_checked_at: datetime | None = None
    last_healthy_at: datetime | None = None


class HealthMonitor:
    """Keeps one state per service; `run` probes until it is cancelled."""

    def __init__(self, bus: Bus) -> None:
        """
        Args:
            bus: tells other replicas of each change, and this one of theirs.
        """
        self._bus = bus
        self._replica = uuid.uuid4().hex  # to know our own messages by
        self._telling: set[asyncio.Task[None]] = set()
        self._states = {service.name: ServiceState(service) for service in SERVICES}
        self._live_sign_at_s: dict[str, float] = {}
        self.checked_at: datetime | None = None  # end of the latest check, once all were checked

    def states(self) -> list[ServiceState]:
        """Every service, in the order of `SERVICES`."""
        return list(self._states.values())

    def state(self, name: str) -> ServiceState | None:
        """One service by its slug; None when there is no such service."""
        return self._states.get(name)

    def observe(self, outcome: Outcome) -> None:
        """Take note of how a viewer's call ended."""
        state, error = self._states[outcome.upstream], outcome.error
        if error is None or (isinstance(error, UpstreamRejected) and error.status not in (401, 403)):
            self._live_sign_at_s[outcome.upstream] = time.monotonic()
            if state.reason is Reason.DEPENDENCY_DOWN:  # only a probe's body can say that this is over
                self._move(replace(state, consecutive_failures=0))
            else:
                self._move(self._healthy(state))
        elif isinstance(error, UpstreamRateLimited):
            self._move(replace(state, status=Status.DEGRADED, reason=Reason.RATE_LIMITED))
        elif not isinstance(error, UpstreamRejected):
            state = replace(state, consecutive_failures=state.consecutive_failures + 1)
            if state.consecutive_failures >= FAILED_CALLS_UNTIL_UNHEALTHY:
                state = replace(state, status=Status.UNHEALTHY, reason=_reason(error))
            self._move(state)

    async def run(self, directory: Directory) -> None:
        """Probe every service now, then each at its own pace, until cancelled."""
        await self.check_all(directory.clients_for)
        async with asyncio.TaskGroup() as tasks:
            for service in SERVICES:
                tasks.create_task(self._probe_for_ever(service, directory))
            tasks.create_task(self._heed_others(directory))

    async def check_all(self, clients_for: Callable[[Caller], Clients]) -> None:
        """One round: every service at once."""
        await asyncio.gather(*(self._check(service, clients_for) for service in SERVICES))
        self.checked_at = datetime.now(UTC)

    async def _probe_for_ever(self, service: Service, directory: Directory) -> None:
        while True:
            # The less is left of the quota, the slower: viewers' questions come first.
            every_s = service.probe_every_s / max(directory.quota(service.name).share_left, SLOWEST_SHARE)
            await asyncio.sleep(every_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311
            alive = time.monotonic() - self._live_sign_at_s.get(service.name, float("-inf")) < LIVE_SIGN_S
            if not (alive and self._states[service.name].status is Status.HEALTHY):
                await self._check(service, directory.clients_for)
            self.checked_at = datetime.now(UTC)

    async def _heed_others(self, directory: Directory) -> None:
        """Look at once where another replica saw a change; what it saw may be its own network's fault."""
        by_name = {service.name: service for service in SERVICES}
        async for message in self._bus.listen(CHANNEL):
            replica, name, status = [*message.decode("ascii", "replace").split(" "), "", ""][:3]
            service = by_name.get(name)
            if replica != self._replica and service and self._states[name].status.value != status:
                await self._check(service, directory.clients_for)

    async def _check(self, service: Service, clients_for: Callable[[Caller], Clients]) -> None:
        try:
            await self._probe(service, clients_for(Caller(None, Deadline(PROBE_BUDGET_S))))
        except Exception:  # one broken probe must not be the last: nobody would see an outage any more
            log.exception("probe.broken", upstream=service.name)

    async def _probe(self, service: Service, clients: Clients) -> None:
        started_s = time.perf_counter()
        try:
            answer = await _health_of(service, clients)
        except UpstreamError as error:
            if isinstance(error.__cause__, CircuitOpened | BulkheadFull):
                return  # nothing was asked: what viewers' calls have shown stands
            answered = error.status is not None
            state = replace(
                self._states[service.name],
                status=Status.DEGRADED if isinstance(error, UpstreamRateLimited) else Status.UNHEALTHY,
                reason=_reason(error),
                consecutive_failures=self._states[service.name].consecutive_failures + 1,
            )
        else:
            answered = True
            state = self._healthy(self._states[service.name])
            if answer.value.dependency_down:
                state = replace(
                    self._states[service.name],
                    status=Status.DEGRADED,
                    reason=Reason.DEPENDENCY_DOWN,
                    consecutive_failures=0,
                )
        took_ms = round((time.perf_counter() - started_s) * 1000, 1)
        self._move(
            replace(
                state,
                response_time_ms=took_ms if answered else None,
                last_checked_at=datetime.now(UTC),
            )
        )

    @staticmethod
    def _healthy(state: ServiceState) -> ServiceState:
        return replace(
            state,
            status=Status.HEALTHY,
            reason=None,
            consecutive_failures=0,
            last_healthy_at=datetime.now(UTC),
        )

    def _move(self, state: ServiceState) -> None:
        before = self._states[state.service.name]
        self._states[state.service.name] = state
        if (before.status, before.reason) != (state.status, state.reason):
            told = log.warning if state.status is Status.UNHEALTHY else log.info
            told(
                "service.changed",
                upstream=state.service.name,
                status=state.status.value,
                reason=state.reason.value if state.reason else None,
                status_before=before.status.value,
            )
            if state.reason is not Reason.RATE_LIMITED:  # a look of every replica would take what is left
                said = f"{self._replica} {state.service.name} {state.status.value}"
                telling = asyncio.create_task(self._bus.say(CHANNEL, said.encode()))
                self._telling.add(telling)  # a task that nobody holds may vanish
                telling.add_done_callback(self._telling.discard)


def _reason(error: UpstreamError) -> Reason:
    if isinstance(error, UpstreamRateLimited):
        return Reason.RATE_LIMITED
    if isinstance(error, UpstreamTimeout):
        return Reason.TIMEOUT
    if isinstance(error, UpstreamUnavailable) and error.status is None:
        return Reason.UNREACHABLE
    return Reason.ERROR_ANSWER


async def _health_of(service: Service, clients: Clients) -> Answer[Any]:
    asks: dict[str, Callable[[], Awaitable[Answer[Any]]]] = {
        "refund-engine": clients.refund_engine.health,
        "integrations": clients.integrations.health,
        "cost-docs": clients.cost_docs.health,
        "stripe": clients.stripe.health,
        "mcde": clients.mcde.health,
        "predictor": clients.predictor.health,
    }
    return await asks[service.name]()
