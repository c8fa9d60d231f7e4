"""`/metrics`, as an operator's Prometheus reads it."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from bff_under_test import Bff
from prometheus_client.parser import text_string_to_metric_families

from bff.metrics import Metrics
from bff.sandbox.sandbox import SERVICES
from bff.sandbox.seed import SELLERS
from clients.caller import Freshest, ServiceUse
from clients.chain.observed import Outcome
from clients.directory import Directory
from clients.shelf import MemoryShelf
from clients.transport import UpstreamSettings
from resolvers.watching.watchers import Stream

Labels = dict[str, str]
Counted = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metrics(bff: Bff) -> Callable[..., float]:
    """The value of one sample now; zero where nothing was counted yet."""

    async def value(name: str, **labels: str) -> float:
        found = [sample for sample in await samples(bff) if sample.name == name]
        told = [sample.value for sample in found if labels.items() <= {**sample.labels}.items()]
        assert len(told) <= 1, f"more than one sample of {name} has {labels}"
        return told[0] if told else 0.0

    return value


async def samples(bff: Bff):
    response = await bff.http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]


async def test_operations_and_their_requests_are_counted(bff: Bff, metrics):
    """An operator sees which screen asks whom how often, and how long it takes."""
    for _ in range(2):
        assert (await bff.ask("RecoveryMetrics", seller=SELLERS[0])).errors == []
    assert (await bff.ask("RecoveryMetrics", seller=SELLERS[1])).errors == []

    assert await metrics("bff_operation_duration_seconds_count", operation="RecoveryMetrics") == 3
    name = "bff_operation_upstream_requests_total"
    assert await metrics(name, operation="RecoveryMetrics", service="refund-engine") == 3
    assert await metrics("bff_upstream_calls_total", service="refund-engine", outcome="OK") == 3
    assert await metrics("bff_operation_contract_exceeded_total") == 0


async def test_an_outage_is_counted_by_service_and_kind(bff: Bff, metrics):
    """At 3 a.m.: who fails, how, and which screens lack something."""
    bff.sandbox.down.add("stripe")

    assert (await bff.ask("PaymentMetrics")).errors

    asked = {"service": "stripe", "outcome": "SERVICE_UNAVAILABLE"}
    assert await metrics("bff_upstream_calls_total", **asked) >= 1
    lacking = {"operation": "PaymentMetrics", "service": "stripe"}
    assert await metrics("bff_operation_degraded_total", **lacking, state="MISSING") == 1
    assert await metrics("bff_operation_duration_seconds_count", operation="PaymentMetrics") == 1


async def test_more_calls_than_the_contract_allows_are_counted(bff: Bff, metrics):
    """An N+1 that tests did not see shows in production before the services feel it."""
    assert (await bff.ask("query SystemStatus { claims(first: 1) { nodes { id } } }")).errors == []

    exceeded = {"operation": "SystemStatus", "service": "refund-engine"}
    assert await metrics("bff_operation_contract_exceeded_total", **exceeded) == 1


async def test_labels_hold_nothing_that_a_client_wrote(bff: Bff):
    """A label per client word or per id is how a metrics store is filled up, and how ids leak."""
    claim_id = next(iter(bff.sandbox.world.claims))
    for document in (
        f"query Evil_{claim_id.replace('-', '_')} {{ claims(first: 1) {{ nodes {{ id }} }} }}",
        "{ claims(first: 1) { nodes { id } } }",
    ):
        assert (await bff.ask(document)).errors == []

    told = {value for sample in await samples(bff) for value in sample.labels.values()}
    assert not [value for value in told if "Evil" in value or claim_id.replace("-", "_") in value]
    operations = {sample.labels["operation"] for sample in await samples(bff) if "operation" in sample.labels}
    assert operations == {"other"}


async def test_circuits_and_quotas_are_shown_for_each_service(bff: Bff):
    """An open circuit and a quota that runs out can be alerted on before sellers write."""
    found = await samples(bff)

    circuits = {s.labels["service"]: s.value for s in found if s.name == "bff_circuit_state"}
    quotas = {s.labels["service"]: s.value for s in found if s.name == "bff_quota_share_left"}
    assert circuits == dict.fromkeys(SERVICES, 0)
    assert set(quotas) == set(SERVICES)
    assert all(0 <= share <= 1 for share in quotas.values())


@pytest.fixture
async def counting() -> AsyncIterator[Metrics]:
    """The metrics of a process that has asked nobody yet."""
    settings = {
        service: UpstreamSettings.model_validate({"base_url": f"https://{service}.test"})
        for service in SERVICES
    }
    directory = Directory(
        settings,
        lambda *_: httpx.MockTransport(lambda _: httpx.Response(404)),
        shelf=MemoryShelf(),
        reserve_s=0.05,
        on_outcome=lambda _: None,
    )
    metrics = Metrics(directory)
    yield metrics
    metrics.close()
    await directory.aclose()


def counted(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What our counters say, by name and labels; the labels of the library that exports them aside."""
    return {
        (
            sample.name,
            frozenset(each for each in sample.labels.items() if "otel" not in each[0]),
        ): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if family.type == "counter" and sample.name.startswith("bff_") and sample.name.endswith("_total")
    }


async def test_counters_keep_their_names_and_labels(counting: Metrics):
    """Alerts and dashboards ask for these names: one that changes is an alert that never comes again."""
    assert counted(counting) == {}  # nothing happened, and nothing is said of it

    use = ServiceUse(calls=1000, attempts=7, answers={Freshest.STALE})
    for _ in range(2):
        counting.operation_ended("RecoveryMetrics", 0.1, {"stripe": use, "mcde": ServiceUse(attempts=1)}, 0)
        counting.limit_exceeded("cost", refused=True)
        counting.call_ended(Outcome("stripe", None))
        for told in (counting.event_sent, counting.event_skipped):
            told(Stream("sse", "claimUpdated"))
        counting.refused("sign_in", "expired")
        counting.keys_fetched(read=True)
        counting.audit_dropped()
    counting.limit_exceeded("cost", refused=False)
    counting.keys_fetched(read=False)
    counting.event_sent(Stream("websocket", "claimUpdated"))

    def of(operation: str, service: str, **more: str) -> dict[str, str]:
        return {"operation": operation, "service": service, **more}

    expected: list[tuple[str, dict[str, str], int]] = [
        ("bff_operation_upstream_requests", of("RecoveryMetrics", "stripe"), 14),
        ("bff_operation_upstream_requests", of("RecoveryMetrics", "mcde"), 2),
        ("bff_operation_contract_exceeded", of("RecoveryMetrics", "stripe"), 2),
        ("bff_operation_degraded", of("RecoveryMetrics", "stripe", state="STALE"), 2),
        ("bff_upstream_calls", {"service": "stripe", "outcome": "OK"}, 2),
        ("bff_operation_limited", {"limit": "cost", "outcome": "refused"}, 2),
        ("bff_operation_limited", {"limit": "cost", "outcome": "measured"}, 1),
        ("bff_stream_events", {"transport": "sse", "subscription": "claimUpdated"}, 2),
        ("bff_stream_events", {"transport": "websocket", "subscription": "claimUpdated"}, 1),
        ("bff_stream_skipped", {"transport": "sse", "subscription": "claimUpdated"}, 2),
        ("bff_refusals", {"kind": "sign_in", "reason": "expired"}, 2),
        ("bff_issuer_keys_fetches", {"outcome": "read"}, 2),
        ("bff_issuer_keys_fetches", {"outcome": "missed"}, 1),
        ("bff_audit_rows_dropped", {}, 2),
    ]
    assert counted(counting) == {
        (f"{name}_total", frozenset(labels.items())): value for name, labels, value in expected
    }
    counting.audit_dropped()
    assert counted(counting)["bff_audit_rows_dropped_total", frozenset()] == 3
