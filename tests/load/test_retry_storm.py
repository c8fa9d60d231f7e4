"""The retry storm that must not be: retries are a share of the traffic, however broken a service is."""

import pytest
from bff_under_test import Bff, MakeBff
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


async def storm(bff: Bff) -> tuple[Traffic, int]:
    """The traffic, and how many requests reached for the service that fails."""
    bff.sandbox.faults[SERVICE] = "error"
    await bff.checked()
    bff.calls()
    traffic = await send(bff, OPERATION, per_s=PER_S, for_s=FOR_S)
    return traffic, bff.calls()[SERVICE]


async def test_retries_are_a_fifth_at_most(make_bff: MakeBff) -> None:
    """A service that fails altogether gets a fifth more than its traffic and ten a second, and no more."""
    service = dev_settings().refund_engine.model_copy(update={"breaker": NEVER_OPENS})
    bff = await make_bff(claims=1, refund_engine=service)

    traffic, attempts = await storm(bff)

    extra, affordable = attempts - traffic.sent, SHARE_OF_CALLS * traffic.sent + FLOOR_PER_S * FOR_S + SAVED
    print(f"{traffic.per_s:.0f} operations/s, {attempts} requests: {extra / traffic.sent:.1%} on top")  # noqa: T201
    assert traffic.per_s > PER_S / 2, "this machine is too busy to make a storm"
    assert len(traffic.answers) == traffic.sent
    assert traffic.codes() == {"SERVICE_FAILED": traffic.sent}
    assert 0 < extra <= affordable, (
        f"{extra} retries of {traffic.sent} calls, {affordable:.0f} are affordable"
    )


async def test_the_breaker_takes_the_load_off(make_bff: MakeBff) -> None:
    """With the breaker, a failing service is left alone: it gets a few requests and not a thousand."""
    bff = await make_bff(claims=1)

    traffic, attempts = await storm(bff)

    print(f"{traffic.sent} operations, {attempts} requests: {attempts / traffic.sent:.1%} of the traffic")  # noqa: T201
    assert len(traffic.answers) == traffic.sent
    assert traffic.codes().keys() == {"SERVICE_FAILED", "CIRCUIT_OPEN"}
    assert attempts < 0.1 * traffic.sent
