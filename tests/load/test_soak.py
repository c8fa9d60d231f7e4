"""The soak: two sellers, services that come and go, clients that leave early, and nothing left over.

`make soak` runs it for ten minutes; the drills for one. The services are a process of their own, behind real
sockets, so that this process's memory, tasks and sockets are the BFF's.
"""

import asyncio
import gc
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bff_under_test import Bff, running
from read_operations import variables_for
from sandbox_process import Services, services_on_free_ports

from bff.app import create_app, dev_token
from bff.cli import dev_settings
from bff.operations import stored_operations
from bff.sandbox.faults import SERVICES
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients.chain.bulkhead import Bulkhead
from clients.chain.memory import Memory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    # graphql-core's and Strawberry's, where a client leaves between a coroutine's making and its start.
    pytest.mark.filterwarnings("ignore:coroutine '(Executor|GraphQLCoreConv).* was never:RuntimeWarning"),
]

SOAK_S = float(os.environ.get("SOAK_S", "60"))
CLIENTS = 8
BUDGET_MS = 1000
LEAVE_EARLY_SHARE = 0.2
LEAVE_AFTER_S = 0.05  # at most
FLAP_S = (0.5, 3.0)
FAULTS = ("down", "hang", "slow:300", "error:0.5", "garbage", "ok", "ok", "ok")  # a 429 would end the traffic
WARM_UP_SHARE = 1 / 3
SAMPLE_S = 0.5
SETTLED_WITHIN_S = 60.0
# A minute is short: it can only show a landslide, and only in a process of its own (`make drills`), where no
# other drill has left half a gigabyte in pieces. Ten minutes must be flat.
GROWTH_KB_PER_MIN = 10_000 if SOAK_S < 300 else 1000
OBJECTS_MORE = 10_000  # of 200 000 or more: what is under way at the moment the first count is taken


@dataclass
class Soak:
    """What happened, and how much memory this process had meanwhile."""

    answered: int = 0
    left: int = 0
    explained: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)  # minutes, KB
    objects_when_warm: int = 0

    def slope(self) -> float:
        """KB a minute, by least squares, after the warm-up."""
        samples = self.memory[int(len(self.memory) * WARM_UP_SHARE) :]
        mean_x = sum(x for x, _ in samples) / len(samples)
        mean_y = sum(y for _, y in samples) / len(samples)
        return sum((x - mean_x) * (y - mean_y) for x, y in samples) / sum(
            (x - mean_x) ** 2 for x, _ in samples
        )


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """The six services, in a process of their own."""
    found = services_on_free_ports()
    with found.running():
        yield found


def resident_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def objects() -> int:
    """How many objects are alive."""
    gc.collect()
    return len(gc.get_objects())


async def tasks_in_a_moment() -> int:
    await asyncio.sleep(0.1)
    return len(asyncio.all_tasks())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def client(bff: Bff, soak: Soak, nth: int, ends_at_s: float) -> None:
    """One seller's browser: it asks, and sometimes it is closed before the answer has come."""
    dice, seller = random.Random(nth), SELLERS[nth % len(SELLERS)]
    variables = variables_for(seed(60), seller)
    headers = {
        "authorization": f"Bearer {dev_token(bff.settings, seller)}",
        "x-request-budget": str(BUDGET_MS),
    }
    while time.monotonic() < ends_at_s:
        operation = dice.choice(list(variables))
        body = {"query": stored_operations()[operation], "variables": variables[operation]}
        asking = asyncio.create_task(bff.http.post("/graphql", json=body, headers=headers))
        if dice.random() < LEAVE_EARLY_SHARE:
            await asyncio.sleep(dice.uniform(0, LEAVE_AFTER_S))
            asking.cancel()
        try:
            answer: dict[str, Any] = (await asking).json()
        except asyncio.CancelledError:
            soak.left += 1
            continue
        codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
        assert answer["data"] is not None, answer
        assert "INTERNAL_SERVER_ERROR" not in codes, answer
        soak.answered += 1
        soak.explained += bool(codes)
        await asyncio.sleep(dice.uniform(0, 0.05))


async def flap(services: Services, ends_at_s: float) -> None:
    """Break and heal services, one at a time."""
    dice = random.Random("flap")
    while time.monotonic() < ends_at_s:
        await asyncio.to_thread(services.put_faults, {dice.choice(SERVICES): dice.choice(FAULTS)})
        await asyncio.sleep(dice.uniform(*FLAP_S))


async def sample(soak: Soak, began_s: float, ends_at_s: float) -> None:
    while time.monotonic() < ends_at_s:
        now_s = time.monotonic()
        soak.memory.append(((now_s - began_s) / 60, resident_kb()))
        if not soak.objects_when_warm and now_s > began_s + SOAK_S * WARM_UP_SHARE:
            soak.objects_when_warm = objects()
        await asyncio.sleep(SAMPLE_S)


def of_kind(kind: type[Any]) -> list[Any]:
    """All objects of a class; the app shows its links to nobody."""
    return [each for each in gc.get_objects() if isinstance(each, kind)]


async def settled(condition: Callable[[], Awaitable[str]]) -> None:
    """Wait until a condition has nothing left to say."""
    gives_up_at_s = time.monotonic() + SETTLED_WITHIN_S
    while said := await condition():
        assert time.monotonic() < gives_up_at_s, said
        await asyncio.sleep(0.2)


async def test_nothing_is_left_over(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails and whoever leaves: memory stays flat, and no task, socket, flight or place is lost."""
    earlier = {id(link) for link in [*of_kind(Memory), *of_kind(Bulkhead)]}  # of other drills' processes
    for variable, address in services.addresses.items():
        monkeypatch.setenv(variable, address)
    settings = dev_settings()
    app = create_app(settings, stripe_claim_ids=seed(60).stripe_claim_ids)
    soak = Soak()
    files_before = open_files()
    tasks_before = len(asyncio.all_tasks())
    async with running(app, Sandbox(seed(1)), settings) as bff:
        await bff.checked()
        tasks_idle = min([await tasks_in_a_moment() for _ in range(20)])  # between probes
        began_s = time.monotonic()
        ends_at_s = began_s + SOAK_S
        await asyncio.gather(
            flap(services, ends_at_s),
            sample(soak, began_s, ends_at_s),
            *(client(bff, soak, nth, ends_at_s) for nth in range(CLIENTS)),
        )
        await asyncio.to_thread(services.put_faults, dict.fromkeys(SERVICES, "ok"))
        memories, bulkheads = (
            [link for link in of_kind(kind) if id(link) not in earlier] for kind in (Memory, Bulkhead)
        )
        assert (len(memories), len(bulkheads)) == (len(SERVICES), len(SERVICES))

        async def leftovers() -> str:
            # A loader whose client left may wait for one that was cancelled: nobody holds it, and it goes.
            gc.collect()
            flights = sum(len(memory._flights) for memory in memories)
            taken = sum(bulkhead.taken for bulkhead in bulkheads)
            tasks = len(asyncio.all_tasks()) - tasks_idle
            left = {"flights": flights, "places": taken, "tasks": tasks}
            return str(left) if any(left.values()) else ""

        await settled(leftovers)
        objects_more = objects() - soak.objects_when_warm

    async def files_left() -> str:
        extra = open_files() - files_before
        return f"{extra} files and sockets are open" if extra > 0 else ""

    await settled(files_left)
    assert len(asyncio.all_tasks()) == tasks_before

    slope = soak.slope()
    print(  # noqa: T201
        f"{SOAK_S:.0f} s: {soak.answered} answers, {soak.explained} with errors, {soak.left} left early; "
        f"{soak.memory[-1][1] / 1024:.0f} MB, {slope:+.0f} KB/min, {objects_more:+} objects since it was warm"
    )
    assert soak.answered > SOAK_S
    assert soak.left
    assert soak.explained
    assert objects_more < OBJECTS_MORE
    assert slope < GROWTH_KB_PER_MIN, f"memory grows by {slope:.0f} KB a minute"
