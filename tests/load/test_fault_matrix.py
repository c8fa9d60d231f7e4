"""Every read operation, with every service failing in every way and every two of them down: cold and warm.

Cold, nothing is kept: what the failed service owns is null, and the rest is there. Warm, after one good pass:
claims, findings and documents are repeated with their age, and only money is missing, what is never kept, and
what was not there: an old list cannot say that it still is not.
"""

import asyncio
import contextlib
import gc
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bff_under_test import Bff, MakeBff
from judged import Received, overasked, unexplained, unmarked
from read_operations import read_operations, variables_for
from stolen import TICK_S, Stolen
from test_call_contracts import CONTRACT, Sizes

from bff.app import dev_token
from bff.operations import stored_operations
from bff.sandbox.faults import SERVICES
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Seller
from clients.chain.retry import FLOOR_PER_S, SHARE_OF_CALLS

pytestmark = pytest.mark.slow

FAULTS = ("down", "hang", "slow:2000", "error", "garbage", "rate-limited", "flapping")
OUTAGES = [
    *(((service,), fault) for service in SERVICES for fault in FAULTS),
    *((pair, "down") for pair in itertools.combinations(SERVICES, 2)),
]
CLAIMS = 30
BUDGET_S = 1.0
LATE_S = 0.05
FLAP_S = 0.1
TRIES = 3
STOLEN_AT_MOST_S = 0.1  # of the time of one try
AT_ONCE = 7  # operations: enough to share the waiting for a service that hangs
BURST = FLOOR_PER_S  # retries that a service which was well until now has saved

# The fields that may be missing although the shelf is full: money, links, and what is asked on a click.
NEVER_KEPT = {
    "paymentMetrics",
    "payments",
    "document",
    "livePrediction",
    "evidenceValidation",
    "costEstimate",
}
# The optional ones: not even looked for on the shelf once a quota runs low.
SPARED = {"inProgressAmount", "documentMetrics"}


def named(outage: tuple[tuple[str, ...], str]) -> str:
    services, fault = outage
    return f"{'+'.join(services)}-{fault}"


async def receive(
    bff: Bff, operation: str, variables: dict[str, Any], seller: Seller = SELLERS[0]
) -> Received:
    """Send a stored operation with the drill's budget."""
    headers = {
        "authorization": f"Bearer {dev_token(bff.settings, seller)}",
        "x-request-budget": str(int(BUDGET_S * 1000)),
        "x-upstreams": "1",
    }
    body = {"query": stored_operations()[operation], "variables": variables}
    started_s = time.perf_counter()
    response = await bff.http.post("/graphql", json=body, headers=headers)
    assert response.status_code == 200
    return Received(response.json(), time.perf_counter() - started_s)


@contextlib.asynccontextmanager
async def broken(bff: Bff, services: tuple[str, ...], fault: str) -> AsyncIterator[None]:
    """Put a fault on services; one that flaps is down for a tenth of a second, and then well for one."""

    async def flap() -> None:
        for word in itertools.cycle(("down", "ok")):
            for service in services:
                bff.sandbox.faults[service] = word
            await asyncio.sleep(FLAP_S)

    if fault == "flapping":
        flapping = asyncio.create_task(flap())
        await asyncio.sleep(0)
        yield
        flapping.cancel()
        return
    for service in services:
        bff.sandbox.faults[service] = fault
    yield


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    """Operation → `data` when all is well: the same for every BFF over this seed; the first test fills it."""
    return {}


@pytest.mark.parametrize("shelf", ["cold", "warm"])
@pytest.mark.parametrize("outage", OUTAGES, ids=named)
async def test_every_read_under_every_fault(
    make_bff: MakeBff,
    stolen: Stolen,
    healthy: dict[str, Any],
    outage: tuple[tuple[str, ...], str],
    shelf: str,
) -> None:
    """In time, whole where services are well, explained where not, marked where stale, without a storm."""
    if not healthy:
        healthy |= await good_pass(await make_bff(claims=CLAIMS, mcde_repaired=True))
    for attempt in range(TRIES):
        bff = await make_bff(claims=CLAIMS, mcde_repaired=True)
        await good_pass(bff, SELLERS[0] if shelf == "warm" else SELLERS[1])
        stolen_s = stolen.total_s
        found = await faults_found(bff, stolen, healthy, *outage, warm=shelf == "warm")
        # With the cores taken away, a service that is well is late as well: that says nothing.
        stolen_s = stolen.total_s - stolen_s
        if not found or stolen_s < STOLEN_AT_MOST_S:
            break
        print(f"try {attempt + 1}: the machine took {stolen_s:.2f} s; {found}")  # noqa: T201
    assert found == {}, f"{stolen_s:.2f} s were stolen"


async def good_pass(bff: Bff, seller: Seller = SELLERS[0]) -> dict[str, Any]:
    """Operation → `data` of every read, while all is well.

    After it the process knows the documents, which takes it half a second, and the seller's answers.
    """
    variables = variables_for(bff.sandbox.world, seller)
    assert variables.keys() == set(read_operations())
    answers = {
        operation: await receive(bff, operation, variables[operation], seller) for operation in variables
    }
    assert {operation: answer.errors for operation, answer in answers.items() if answer.errors} == {}
    return {operation: answer.body["data"] for operation, answer in answers.items()}


def says_none(value: Any) -> bool:
    """Whether a value, or one in its list, says that something is not there."""
    if isinstance(value, list):
        return any(map(says_none, value))
    if not isinstance(value, dict):
        return value is None
    return value.get("status") in ("NOT_OPENED", "NOT_CONNECTED") or value.get("nodes") == []


def value_at(path: list[str | int], data: Any) -> Any:
    """What lies at a path of an answer; None as well where the path leads nowhere."""
    for step in path:
        if data is None:
            return None
        data = data[step]
    return data


async def faults_found(
    bff: Bff, stolen: Stolen, healthy: dict[str, Any], services: tuple[str, ...], fault: str, *, warm: bool
) -> dict[str, list[str]]:
    """Operation, or service, → what is wrong with its answers while `services` have `fault`."""
    variables, contract = variables_for(bff.sandbox.world), Sizes(bff.sandbox.world)
    may_miss = NEVER_KEPT | (SPARED if fault == "rate-limited" else set())
    places = asyncio.Semaphore(AT_ONCE)
    questions: Counter[str] = Counter()
    slowest_s = 0.0
    await bff.checked()
    bff.calls()
    gc.collect()  # the garbage of a hundred processes that were tests

    async def of(operation: str) -> list[str]:
        nonlocal slowest_s
        async with places:
            stolen_s = stolen.total_s
            answer = await receive(bff, operation, variables[operation])
            await asyncio.sleep(2 * TICK_S)  # until what was stolen meanwhile has been noticed
            took_s = answer.took_s - (stolen.total_s - stolen_s)
        slowest_s = max(slowest_s, took_s)
        questions.update({name: use["calls"] for name, use in answer.uses.items()})
        faults = unexplained(operation, healthy[operation], answer, fault, services)
        faults += unmarked(answer, fault, services, failed_since)
        faults += overasked(answer, CONTRACT[operation](contract))
        if took_s > BUDGET_S + LATE_S:
            faults.append(f"took {took_s:.3f} s")
        if warm:
            faults += [
                f"{error['path']} is missing, and the shelf was full"
                for error in answer.errors
                # Where there was nothing, an old list cannot say that there still is nothing.
                if error["path"][-1] not in may_miss
                and not says_none(value_at(error["path"], healthy[operation]))
            ]
        return faults

    async with broken(bff, services, fault):
        failed_since, began_s = datetime.now(UTC), time.perf_counter()
        found = dict(zip(variables, await asyncio.gather(*map(of, variables)), strict=True))
        lasted_s = time.perf_counter() - began_s

    requests = bff.calls()
    asked, tried = sum(questions[each] for each in services), sum(requests.get(each, 0) for each in services)
    print(f"slowest answer {slowest_s:.3f} s; {tried} requests for {asked} questions to what failed")  # noqa: T201
    for service, attempts in requests.items():
        affordable = questions[service] * (1 + SHARE_OF_CALLS) + FLOOR_PER_S * lasted_s + BURST
        if attempts > affordable:
            found[service] = [f"got {attempts} requests, and {affordable:.0f} are affordable"]
    return {name: faults for name, faults in found.items() if faults}
