"""A thousand mutations whose connection to the service is cut at random: nothing done twice, nothing lost.

Real sockets: the services listen on ports, and a proxy before each cuts the wire after a random byte of the
request or of the answer. Then the same key is sent again, over a whole wire, until the outcome is known.
"""

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bff_under_test import Bff, running
from cutting import Cut, Wire
from integration.processes import free_ports
from pydantic import AnyHttpUrl
from read_operations import claims_of, detections_of
from write_operations import MUTATIONS, codes_of, new_claim, payload_of

from bff.app import create_app
from bff.cli import dev_settings
from bff.sandbox import serve as sandbox_ports
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients.chain.breaker import BreakerSettings
from clients.directory import SERVICES
from clients.transport import ServiceSettings
from resolvers.global_ids import global_id

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUNS = 1000
PORTS_OF_A_LANE = len(SERVICES) + 1
LANES = 8  # side by side, each with a BFF and services of its own: most of a run is waiting
CLAIMS = 300  # so that each run has a finding or a claim of its own
ASKED_AGAIN_AT_MOST = 4
BUDGET_MS = 700
FIRST = SELLERS[0]
SETTLED = [name for name, mutation in MUTATIONS.items() if mutation.keyed and mutation.settled]


@contextlib.asynccontextmanager
async def wired(database: Path, ports: Sequence[int]) -> AsyncIterator[tuple[Bff, dict[str, Wire]]]:
    """A BFF whose way to each service leads over a wire that can be cut."""
    sandbox = Sandbox(seed(CLAIMS))
    for row in sandbox.world.disputes.values():  # more of them than usual wait to be handed in
        row["status"] = "pending" if row["status"] == "submitted" else row["status"]
    *own, control_port = ports
    listening = dict(zip(sandbox.apps, own, strict=True))
    serving = asyncio.create_task(sandbox_ports.serve(sandbox, ports=listening, control_port=control_port))
    wires = {name: Wire("127.0.0.1", port) for name, port in listening.items()}
    await _until_listening(list(listening.values()))
    ports = {name: await wire.open() for name, wire in wires.items()}
    patient = BreakerSettings(calls_at_least=1_000_000)  # the cuts are ours: no service is to be left alone
    dev = dev_settings()
    urls = {
        f"{service.name.replace('-', '_')}_url": AnyHttpUrl(f"http://127.0.0.1:{ports[service.name]}")
        for service in SERVICES
        if service.name != "predictor"
    }
    services = {
        name: ServiceSettings(jwt_secret=getattr(dev, name).jwt_secret, breaker=patient)
        for name in ("refund_engine", "integrations", "cost_docs", "stripe")
    }
    settings = dev.model_copy(update={**urls, **services, "db_url": f"sqlite+aiosqlite:///{database}"})
    app = create_app(settings, stripe_claim_ids=sandbox.world.stripe_claim_ids)
    async with running(app, sandbox, settings) as bff:
        yield bff, wires
    for wire in wires.values():
        await wire.close()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


@dataclass
class Tally:
    """What became of the runs: at first, and in the end."""

    first_said: Counter[str] = field(default_factory=Counter)
    twice: list[Any] = field(default_factory=list)
    unknown: list[Any] = field(default_factory=list)
    undone: list[Any] = field(default_factory=list)


async def test_a_cut_connection_does_nothing_twice_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seller's claim is filed once and charged once, whatever the network does in the middle of it."""
    monkeypatch.setattr("resolvers.mutations.once.LOST_AFTER", timedelta(seconds=0.3))
    tally = Tally()

    async def lane(number: int, ports: Sequence[int]) -> None:
        async with wired(tmp_path / f"{number}.sqlite3", ports) as (bff, wire_of):
            dice = random.Random(f"cut connections {number}")
            inputs = _inputs(bff, dice)
            for nth in range(RUNS // LANES):
                name = SETTLED[nth % len(SETTLED)]
                await _run(bff, wire_of, name, {"input": next(inputs[name])}, dice, tally)

    ports = free_ports(LANES * PORTS_OF_A_LANE)
    async with asyncio.TaskGroup() as lanes:
        for number in range(LANES):
            lanes.create_task(lane(number, ports[number::LANES]))

    print(  # noqa: T201
        f"{RUNS} runs, at first: {dict(tally.first_said)}; "
        f"duplicates {len(tally.twice)}, unknown {len(tally.unknown)}"
    )
    assert (tally.twice, tally.unknown, tally.undone) == ([], [], [])
    assert tally.first_said["OUTCOME_UNKNOWN"] > 0, "no cut was felt: nothing was tested"
    assert tally.first_said["done"] > 0


async def _run(
    bff: Bff, wire_of: dict[str, Wire], name: str, variables: Any, dice: random.Random, tally: Tally
) -> None:
    """Send a mutation over a wire that breaks, then again over a whole one until its outcome is known."""
    mutation, before = MUTATIONS[name], len(bff.sandbox.writes)
    wire = wire_of[dice.choice([service for service, _ in mutation.does])]
    wire.hang_up()
    wire.cut = Cut.somewhere(dice)
    answer = await bff.ask(name, budget_ms=BUDGET_MS, **variables)
    tally.first_said[_said(answer)] += 1
    wire.cut = None
    wire.hang_up()
    for _ in range(ASKED_AGAIN_AT_MOST):
        if payload_of(answer).get(mutation.shown) is not None:
            break
        await asyncio.sleep(0.35 if _said(answer) == "OUTCOME_UNKNOWN" else 0)
        answer = await bff.ask(name, **variables)
    did = Counter((write.service, write.operation) for write in bff.sandbox.writes[before:])
    if payload_of(answer).get(mutation.shown) is None:
        tally.unknown.append((name, variables, _said(answer)))
    if any(times > 1 for times in did.values()):
        tally.twice.append((name, variables, did))
    if not did[mutation.does[-1]]:
        tally.undone.append((name, variables))


def _said(answer: Any) -> str:
    told = codes_of(answer) + [error["extensions"]["code"] for error in answer.errors]
    return told[0] if told else "done"


def _inputs(bff: Bff, dice: random.Random) -> dict[str, Any]:
    """Mutation → inputs without end, each about something that no other run touches."""
    world = bff.sandbox.world
    disputed = {row["detection_result_id"] for row in world.disputes.values()}
    waiting = {row["case_number"] for row in world.disputes.values() if row["status"] == "pending"}
    claims = claims_of(world, FIRST)
    findings = [row["id"] for row in detections_of(world, FIRST) if row["id"] not in disputed]

    def keyed(**given: Any) -> dict[str, Any]:
        return given | {"idempotencyKey": str(uuid.UUID(int=dice.getrandbits(128), version=4))}

    def created() -> Any:
        for nth, key in enumerate(findings):  # made of a finding, and with a number of one's own, in turn
            yield keyed(**new_claim(detectionId=global_id("Detection", key)))
            yield keyed(**new_claim(caseNumber=f"CASE-CUT-{nth}"))

    def submitted() -> Any:
        for row in claims:
            if row["case_number"] in waiting:
                yield keyed(claimId=global_id("Claim", row["id"]))

    def charged() -> Any:
        for row in claims:
            if row["id"] not in world.stripe_claim_ids:
                yield keyed(claimId=global_id("Claim", row["id"]), recoveredAmount={"amount": "250.00"})

    def started() -> Any:
        while True:
            yield keyed(kind="INVENTORY", runDetection=False)

    def searched() -> Any:
        seen = set()
        while True:  # the newest sync that no run has had searched: a second search would hide the first
            rows = [row for row in world.syncs.values() if row["user_id"] == FIRST.user_id]
            row = next(row for row in reversed(rows) if row["sync_id"] not in seen)
            seen.add(row["sync_id"])
            yield keyed(syncId=global_id("Sync", row["sync_id"]))

    made = {
        "CreateClaim": created(),
        "SubmitClaim": submitted(),
        "ChargeCommission": charged(),
        "StartSync": started(),
        "RunDetection": searched(),
    }
    assert set(made) == set(SETTLED)
    return made


async def _until_listening(ports: list[int]) -> None:
    async with httpx.AsyncClient() as http:
        for port in ports:
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    await http.get(f"http://127.0.0.1:{port}/health")
                    break
                await asyncio.sleep(0.05)
