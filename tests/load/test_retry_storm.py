"""The retry storm that must not be: retries are a share of the traffic, however broken a service is.

Everybody is patient here: on a busy machine so many operations a second would fail in other ways, too.
"""

import time

import pytest
from bff_under_test import Bff, MakeBff, limits
from late import WITHIN_S
from traffic import Traffic, send

from bff.cli import dev_settings
from clients.chain.breaker import BreakerSettings
from clients.chain.retry import FLOOR_PER_S, SHARE_OF_CALLS

pytestmark = pytest.mark.slow

SERVICE, OPERATION = "refund-engine", "RecoveryMetrics"  # one call, one service
PER_S = 200
FOR_S = 5.0
NEVER_OPENS = BreakerSettings(calls_at_least=1_000_000_000)
SAVED = FLOOR_PER_S  # retries that were not needed before


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gives up while they wait for a place."""
    monkeypatch.setattr("clients.chain.bulkhead.QUEUE_S", WITHIN_S)


async def storm(bff: Bff) -> tuple[Traffic, int, float]:
    """The traffic, how many requests the service that fails was sent, and the seconds to the last answer."""
    bff.sandbox.faults[SERVICE] = "error"
    await bff.checked()
    bff.calls()
    began_s = time.perf_counter()
    traffic = await send(bff, OPERATION, per_s=PER_S, for_s=FOR_S)
    return traffic, bff.calls()[SERVICE], time.perf_counter() - began_s


async def test_retries_are_a_fifth_at_most(make_bff: MakeBff) -> None:
    """A service that fails altogether gets a fifth more than its traffic and ten a second, and no more."""
    told = limits((), dev_settings())
    told["refund_engine"] = told["refund_engine"].model_copy(update={"breaker": NEVER_OPENS})
    bff = await make_bff(claims=1, operation_budget_s=WITHIN_S, **told)

    traffic, attempts, took_s = await storm(bff)

    extra, affordable = attempts - traffic.sent, SHARE_OF_CALLS * traffic.sent + FLOOR_PER_S * took_s + SAVED
    print(f"{traffic.per_s:.0f} operations/s, {attempts} requests: {extra / traffic.sent:.1%} on top")  # noqa: T201
    assert traffic.per_s > PER_S / 10, "this machine is too busy to make a storm"
    assert len(traffic.answers) == traffic.sent
    assert traffic.codes() == {"SERVICE_FAILED": traffic.sent}
    assert 0 < extra <= affordable, (
        f"{extra} retries of {traffic.sent} calls, {affordable:.0f} are affordable"
    )


async def test_the_breaker_takes_the_load_off(make_bff: MakeBff) -> None:
    """With the breaker, a failing service is left alone: it gets a few requests and not a thousand."""
    bff = await make_bff(claims=1, operation_budget_s=WITHIN_S, **limits((), dev_settings()))

    traffic, attempts, _ = await storm(bff)

    print(f"{traffic.sent} operations, {attempts} requests: {attempts / traffic.sent:.1%} of the traffic")  # noqa: T201
    assert len(traffic.answers) == traffic.sent
    assert traffic.codes().keys() == {"SERVICE_FAILED", "CIRCUIT_OPEN"}
    assert attempts < 0.1 * traffic.sent
