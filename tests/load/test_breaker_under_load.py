"""The circuit breaker under load: how fast it opens, how it finds a service back, what it leaves alone."""

import asyncio
import time

import pytest
from bff_under_test import Bff, MakeBff
from late import WITHIN_S
from stolen import Stolen
from traffic import ask_as, send, somebody

from bff.cli import dev_settings
from clients.chain.breaker import WAIT_JITTER, BreakerSettings

pytestmark = pytest.mark.slow

SERVICE, OPERATION = "refund-engine", "RecoveryMetrics"  # one call, one service
OTHER, OTHERS_OPERATION = "integrations", "SyncActivity"
PER_S = 50
OPENS_WITHIN_S = 10.0  # and what the machine takes meanwhile
OPEN_S = 1.0  # instead of 5
WAITED_S = OPEN_S * (1 + WAIT_JITTER)
CROWD = 50
PROBE_MS = 1200  # long enough for the crowd to arrive while the one call is under way


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """A BFF whose circuit stays open for a second."""
    service = dev_settings().refund_engine.model_copy(update={"breaker": BreakerSettings(open_s=OPEN_S)})
    made = await make_bff(claims=1, refund_engine=service)
    await made.checked()
    return made


async def circuits(bff: Bff) -> dict[str, str]:
    """What `ServiceHealth.circuitState` says, by service."""
    answer = await bff.ask("{ serviceHealth { services { name circuitState } } }")
    return {each["name"]: each["circuitState"] for each in answer.data["serviceHealth"]["services"]}


async def opened(bff: Bff, fault: str) -> float:
    """Break the service under load, and say after how many seconds the first call was refused."""
    bff.sandbox.faults[SERVICE] = fault
    began_s = time.perf_counter()
    opened_s: list[float] = []

    async def watch() -> None:
        while (await circuits(bff))[SERVICE] != "OPEN":  # noqa: ASYNC110  # as an operator would
            await asyncio.sleep(0.02)
        opened_s.append(time.perf_counter() - began_s)

    watching = asyncio.create_task(watch())
    await send(bff, OPERATION, per_s=PER_S, for_s=OPENS_WITHIN_S + WITHIN_S, until=watching.done)
    watching.cancel()
    assert opened_s, f"still closed after {OPENS_WITHIN_S + WITHIN_S} s of {fault}"
    return opened_s[0]


@pytest.mark.parametrize("fault", ["error", "down", "hang"])
async def test_opens_soon_and_says_so(make_bff: MakeBff, stolen: Stolen, fault: str) -> None:
    """Calls to a service that is gone must stop before sellers have waited for long, and operators see it."""
    bff = await make_bff(claims=1)
    await bff.checked()
    took_s = await opened(bff, fault)

    assert took_s < OPENS_WITHIN_S + stolen.total_s
    print(f"{fault}: open after {took_s:.2f} s at {PER_S} operations/s")  # noqa: T201
    seen = await circuits(bff)
    assert seen.pop(SERVICE) == "OPEN"
    assert set(seen.values()) == {"CLOSED"}
    bff.calls()
    [refused, well] = await asyncio.gather(
        ask_as(bff, somebody(bff), OPERATION), ask_as(bff, somebody(bff), OTHERS_OPERATION)
    )
    [error] = refused["errors"]
    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("CIRCUIT_OPEN", True)
    assert 0 < error["extensions"]["retryAfterMs"] <= BreakerSettings().open_s * (1 + WAIT_JITTER) * 1000
    assert "errors" not in well
    assert bff.calls() == {OTHER: 1}  # the failing service was not asked


async def test_closes_with_the_first_call_after_its_return(bff: Bff) -> None:
    """A service that is back is used again: one good answer is enough, without restart or trickle."""
    await opened(bff, "error")
    bff.sandbox.faults.clear()
    bff.calls()
    began_s = time.perf_counter()

    await asyncio.sleep(WAITED_S)
    assert "errors" not in await ask_as(bff, somebody(bff), OPERATION)

    print(f"closed {time.perf_counter() - began_s:.2f} s after the service's return")  # noqa: T201
    assert (await circuits(bff))[SERVICE] == "CLOSED"
    assert bff.calls() == {SERVICE: 1}
    answers = await asyncio.gather(*(ask_as(bff, somebody(bff), OPERATION) for _ in range(10)))
    assert all("errors" not in answer for answer in answers)


@pytest.mark.parametrize("recovered", [True, False], ids=["recovered", "still broken"])
async def test_one_of_a_crowd_is_let_through(bff: Bff, recovered: bool) -> None:
    """When an open circuit tries again, it tries with one call: a crowd would fell the service again."""
    await opened(bff, "error")
    await asyncio.sleep(WAITED_S)
    bff.sandbox.faults[SERVICE] = f"slow:{PROBE_MS}" if recovered else "error"
    bff.calls()

    answers = await asyncio.gather(*(ask_as(bff, somebody(bff), OPERATION) for _ in range(CROWD)))

    codes = [error["extensions"]["code"] for answer in answers for error in answer.get("errors", [])]
    assert bff.calls() == {SERVICE: 1}
    assert codes.count("CIRCUIT_OPEN") == CROWD - 1
    assert len(codes) == (CROWD - 1 if recovered else CROWD)
    assert (await circuits(bff))[SERVICE] == ("CLOSED" if recovered else "OPEN")


async def test_a_probe_whose_client_leaves_is_made_again(bff: Bff) -> None:
    """The one call that is let through may be cut short by its client; the next must get its place."""
    await opened(bff, "error")
    await asyncio.sleep(WAITED_S)
    bff.sandbox.faults[SERVICE] = "hang"
    # Not one that asks through a loader: what several fields wait for is not given up when one leaves.
    leaving = asyncio.create_task(ask_as(bff, somebody(bff), "{ claims { totalCount } }"))
    async with asyncio.timeout(WITHIN_S):
        while (await circuits(bff))[SERVICE] != "HALF_OPEN":  # noqa: ASYNC110 - as an operator would
            await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    bff.sandbox.faults.clear()

    answer = await ask_as(bff, somebody(bff), OPERATION)

    assert "errors" not in answer
    assert (await circuits(bff))[SERVICE] == "CLOSED"
