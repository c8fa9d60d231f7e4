"""What an operator counts: `/metrics`, in Prometheus' text, through OpenTelemetry.

Labels are operations we know, services and outcomes: never an id, never what a client wrote.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bff.contracts import call_contracts
from clients.caller import Freshest, ServiceUse
from clients.chain.observed import Outcome
from clients.directory import SERVICES, Directory
from resolvers.watching.watchers import Stream

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"  # operations that are not stored
CIRCUIT_LEVEL = {"CLOSED": 0, "HALF_OPEN": 1, "OPEN": 2}


class Counted:
    """A counter, added up here and read when somebody reads `/metrics`.

    An instrument of OpenTelemetry that is told of each event takes fifteen times as long as a dictionary.
    """

    def __init__(self, meter: Meter, name: str, labels: tuple[str, ...], *, description: str) -> None:
        self._labels = labels
        self._counts: Counter[tuple[str, ...]] = Counter()
        meter.create_observable_counter(name, [self._read], description=description)

    def add(self, *told: str, count: int = 1) -> None:
        """Count something whose labels are told in their order."""
        self._counts[told] += count

    def _read(self, _: CallbackOptions) -> Iterable[Observation]:
        for told, count in self._counts.items():
            yield Observation(count, dict(zip(self._labels, told, strict=True)))


class Metrics:
    """The instruments of one process."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._registry = CollectorRegistry()
        self._provider = MeterProvider(metric_readers=[PrometheusMetricReader(registry=self._registry)])
        meter = self._provider.get_meter("opside.bff")
        self._duration_s = meter.create_histogram(
            "bff.operation.duration", unit="s", description="From the request to its answer."
        )
        self._upstream_requests = Counted(
            meter,
            "bff.operation.upstream_requests",
            ("operation", "service"),
            description="Requests that left for a service.",
        )
        self._contract_exceeded = Counted(
            meter,
            "bff.operation.contract_exceeded",
            ("operation", "service"),
            description="Operations that asked a service more often than their call contract allows.",
        )
        self._upstream_calls = Counted(
            meter,
            "bff.upstream.calls",
            ("service", "outcome"),
            description="Questions of viewers that a service answered (OK), or the code of the error.",
        )
        self._degraded = Counted(
            meter,
            "bff.operation.degraded",
            ("operation", "service", "state"),
            description="Operations that got an old answer of a service (STALE), or lack one (MISSING).",
        )
        self._limited = Counted(
            meter,
            "bff.operation.limited",
            ("limit", "outcome"),
            description="Operations that exceed a limit: refused for it, or only measured.",
        )
        self._streams = meter.create_up_down_counter(
            "bff.stream.open", description="Subscriptions that are being served."
        )
        self._events = Counted(
            meter, "bff.stream.events", Stream._fields, description="Events of subscriptions."
        )
        self._skipped = Counted(
            meter,
            "bff.stream.skipped",
            Stream._fields,
            description="Events that a slow stream did not take in time, and a newer one replaced.",
        )
        self._refusals = Counted(
            meter,
            "bff.refusals",
            ("kind", "reason"),
            description="Who was turned away: kind sign_in, scope, key, guard or crowd, and the reason.",
        )
        self._key_fetches = Counted(
            meter,
            "bff.issuer_keys.fetches",
            ("outcome",),
            description="Readings of the issuer's keys: read or missed.",
        )
        self._keys_age_s: Callable[[], float | None] = lambda: None
        meter.create_observable_gauge(
            "bff.issuer_keys.age",
            [self._keys_age],
            unit="s",
            description="Since the issuer's keys were read; the last ones are used however old they are.",
        )
        self._audit_dropped = Counted(
            meter,
            "bff.audit.rows_dropped",
            (),
            description="Rows that the audit log lost: too many waited, or the store stayed away.",
        )
        self._audit_broken: Callable[[], bool] = lambda: False
        meter.create_observable_gauge(
            "bff.audit.chain_broken",
            [self._chain_broken],
            description="1 when the audit log is not as it was written; `bff audit verify` names the row.",
        )
        meter.create_observable_gauge(
            "bff.circuit.state", [self._circuits], description="0 closed, 1 half open, 2 open."
        )
        meter.create_observable_gauge(
            "bff.quota.share_left", [self._quotas], description="Of a service's quota, 0 to 1."
        )

    def operation_ended(
        self, operation: str | None, duration_s: float, uses: Mapping[str, ServiceUse], error_count: int
    ) -> None:
        """Count one operation."""
        contract = call_contracts().get(operation or "")
        name = operation if operation and contract is not None else OTHER
        outcome = "partial" if error_count else "whole"
        self._duration_s.record(duration_s, {"operation": name, "outcome": outcome})
        for service, use in uses.items():
            self._upstream_requests.add(name, service, count=use.attempts)
            if use.state in (Freshest.STALE, Freshest.MISSING):
                self._degraded.add(name, service, use.state.value)
            # An answer that was lost is looked for, and a failed list asked for anew: that comes on top.
            failed = Freshest.MISSING in use.answers
            if contract is not None and use.calls > contract.get(service, 0) and not failed:
                self._contract_exceeded.add(name, service)

    def limit_exceeded(self, limit: str, refused: bool) -> None:
        """Count one operation that exceeds a limit."""
        self._limited.add(limit, "refused" if refused else "measured")

    def call_ended(self, outcome: Outcome) -> None:
        """Count one question that was asked for a viewer, however often it was tried."""
        told = "OK" if outcome.error is None else outcome.error.code
        self._upstream_calls.add(outcome.upstream, told)

    def stream_opened(self, stream: Stream) -> None:
        self._streams.add(1, stream._asdict())

    def stream_closed(self, stream: Stream) -> None:
        self._streams.add(-1, stream._asdict())

    def event_sent(self, stream: Stream) -> None:
        self._events.add(*stream)

    def event_skipped(self, stream: Stream) -> None:
        self._skipped.add(*stream)

    def refused(self, kind: str, reason: str) -> None:
        """Count one who was turned away."""
        self._refusals.add(kind, reason)

    def keys_fetched(self, read: bool) -> None:
        """Count one reading of the issuer's keys."""
        self._key_fetches.add("read" if read else "missed")

    def watch_keys(self, age_s: Callable[[], float | None]) -> None:
        """Show how old the issuer's keys are; None before they were read once."""
        self._keys_age_s = age_s

    def audit_dropped(self) -> None:
        """Count one row of the audit log that could not be kept."""
        self._audit_dropped.add()

    def watch_audit(self, broken: Callable[[], bool]) -> None:
        """Show whether the audit log was found broken."""
        self._audit_broken = broken

    def text(self) -> bytes:
        """Everything counted so far, as Prometheus reads it."""
        return generate_latest(self._registry)

    def close(self) -> None:
        self._provider.shutdown()

    def _keys_age(self, _: CallbackOptions) -> Iterable[Observation]:
        age_s = self._keys_age_s()
        if age_s is not None:
            yield Observation(age_s)

    def _chain_broken(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(int(self._audit_broken()))

    def _circuits(self, _: CallbackOptions) -> Iterable[Observation]:
        for service in SERVICES:
            level = CIRCUIT_LEVEL[self._directory.circuit(service.name).name]
            yield Observation(level, {"service": service.name})

    def _quotas(self, _: CallbackOptions) -> Iterable[Observation]:
        for service in SERVICES:
            yield Observation(self._directory.quota(service.name).share_left, {"service": service.name})
