"""One run: every case at every load, the servers in turn, round after round; then growth."""

import asyncio
import sys
import time
from dataclasses import dataclass

from benchmarks.cases import Case, cases, growing_fields, growing_rows
from benchmarks.load import Refused
from benchmarks.measure import Measured, measure, requests_of
from benchmarks.names import HAND_WRITTEN
from benchmarks.processes import Setup, running
from benchmarks.report import case_table, growth_table, heading
from benchmarks.same import differences
from benchmarks.servers import executors

PROBED_IN_S = 10.0  # until when each BFF must have seen every service well


@dataclass(frozen=True)
class Plan:
    """How long to look."""

    rounds: dict[int, int]  # by number of clients
    seconds: float  # of one measurement, at least: 64 clients of a slow server end their first request
    growth_rounds: int


FULL = Plan(rounds={1: 5, 16: 5, 64: 3}, seconds=1.0, growth_rounds=5)
QUICK = Plan(rounds={1: 3, 16: 3}, seconds=0.3, growth_rounds=2)
WARM_UP_S = 0.3


async def run(plan: Plan) -> None:
    """Measure everything and print it.

    Raises:
        Refused: the servers do not answer the same, or one of them refused.
    """
    began_s = time.monotonic()
    with running((*executors(), HAND_WRITTEN)) as setup:
        _say(heading())
        await hold_same(setup, [*cases(), *growing_rows(), *growing_fields()])
        for case in cases():
            measured = {
                clients: await _in_turn(setup, case, clients, rounds, plan.seconds)
                for clients, rounds in plan.rounds.items()
            }
            _say(case_table(case, measured))
        for name, growing in (("more rows", growing_rows()), ("more fields", growing_fields())):
            grown = [
                (case, await _in_turn(setup, case, 1, plan.growth_rounds, plan.seconds / 2))
                for case in growing
            ]
            _say(growth_table(name, grown))
    _say(f"{time.monotonic() - began_s:.0f} s")


async def hold_same(setup: Setup, held: list[Case]) -> None:
    """Wait until the servers answer the same.

    Raises:
        Refused: they do not; what they cost cannot be compared.
    """
    ends_at_s = time.monotonic() + PROBED_IN_S
    while found := differences(setup, held):
        if time.monotonic() > ends_at_s:
            raise Refused("The servers do not answer the same:\n" + "\n".join(found))
        await asyncio.sleep(0.5)


async def _in_turn(
    setup: Setup, case: Case, clients: int, rounds: int, seconds: float
) -> dict[str, list[Measured]]:
    """The rounds of each server; whatever slows the machine down meets all of them."""
    requests = {name: requests_of(name, case) for name in setup.servers}
    measured: dict[str, list[Measured]] = {name: [] for name in setup.servers}
    for name, server in setup.servers.items():
        await measure(setup, server, case, requests[name], clients=clients, seconds=WARM_UP_S)
    for _ in range(rounds):
        for name, server in setup.servers.items():
            measured[name].append(
                await measure(setup, server, case, requests[name], clients=clients, seconds=seconds)
            )
    return measured


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
