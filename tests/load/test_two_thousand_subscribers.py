"""Two thousand subscribers on one process, over real sockets: each is told each change, at the price of one.

Half watch the health of the services, a quarter each the claims of two sellers; on 20 sockets with 100
operations each, and on 2 000 sockets with one (of which the machine must grant the file descriptors).
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from integration.processes import free_port, process, wait_until_ready
from read_operations import claims_of
from websockets.asyncio.client import ClientConnection, connect

from bff.app import dev_token
from bff.cli import dev_settings
from bff.sandbox.seed import SELLERS, seed
from resolvers.global_ids import global_id

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUBSCRIBERS = 2000
PACE_S = 2.0
TOLD_WITHIN_S = 60.0  # not a promise: two cores are shared with whoever else is there
HEALTH = "subscription { serviceHealth { sequence health { status } changedServices { name status } } }"
CLAIM = "subscription ($ids: [ID!]!) { claimUpdated(claimIds: $ids) { sequence claim { id status } } }"


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    env = os.environ | {
        "BFF_WATCH_EVERY_S": str(PACE_S),
        "BFF_SOCKETS__CONNECTIONS": "5000",
        "PYTHONPATH": str(ROOT),
    }
    server = Path(__file__).parent / "live_server.py"
    with process([sys.executable, str(server), str(port)], cwd=ROOT, env=env):
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield f"127.0.0.1:{port}"


class Crowd:
    """All subscribers: what each was told last, by its number."""

    def __init__(self) -> None:
        self.sequences: dict[int, list[int]] = {}
        self.told: dict[int, Any] = {}
        self.at_s: dict[int, float] = {}
        self.refused: list[Any] = []

    async def listen(self, connection: ClientConnection) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async for text in connection:
                message = json.loads(text)
                if message["type"] == "ping":
                    await connection.send('{"type":"pong"}')
                elif message["type"] == "next":
                    number = int(message["id"])
                    [event] = message["payload"]["data"].values()
                    self.sequences.setdefault(number, []).append(event["sequence"])
                    self.told[number] = event
                    self.at_s[number] = time.monotonic()
                elif message["type"] != "connection_ack":
                    self.refused.append(message)

    async def until(self, numbers: range, sequence: int, *, since_s: float = 0.0) -> float:
        """Wait until all of them have an event with that number; seconds from then to the last of them."""
        async with asyncio.timeout(TOLD_WITHIN_S):
            while not all(self.sequences.get(number, [0])[-1] >= sequence for number in numbers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return max(self.at_s[number] for number in numbers) - since_s


@pytest.mark.parametrize(("sockets", "operations"), [(20, 100), (2000, 1)])
async def test_two_thousand_subscribers_are_told_for_the_price_of_one(address, sockets, operations, stolen):
    """The reason for sharing polls: what a thousand screens cost must not be a thousand times one."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors < sockets + 200:
        pytest.skip(f"{descriptors} file descriptors are too few for {sockets} sockets")
    tokens = [dev_token(dev_settings(), seller) for seller in SELLERS[:2]]
    world = seed(60)
    watched = [str(global_id("Claim", claims_of(world, seller)[0]["id"])) for seller in SELLERS[:2]]
    crowd = Crowd()
    health, claims = range(SUBSCRIBERS // 2), range(SUBSCRIBERS // 2, SUBSCRIBERS)
    async with contextlib.AsyncExitStack() as stack, httpx.AsyncClient(base_url=f"http://{address}") as http:

        async def account() -> dict[str, Any]:
            found: dict[str, Any] = (await http.get("/drill")).json()
            return found

        await asyncio.sleep(1)
        before = await account()
        listening = []
        for socket in range(sockets):
            connection = await stack.enter_async_context(
                connect(
                    f"ws://{address}/graphql",
                    subprotocols=["graphql-transport-ws"],
                    proxy=None,
                )
            )
            listening.append(asyncio.create_task(crowd.listen(connection)))
            seller = socket % 2
            payload = {"Authorization": f"Bearer {tokens[seller]}"}
            await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
            for number in range(socket * operations, (socket + 1) * operations):
                subscribe = (
                    {"query": HEALTH}
                    if number in health
                    else {"query": CLAIM, "variables": {"ids": [watched[seller]]}}
                )
                await connection.send(
                    json.dumps({"id": str(number), "type": "subscribe", "payload": subscribe})
                )
        await crowd.until(range(SUBSCRIBERS), 1)
        full = await account()

        # A change of the claims: the next round sees it, and tells everybody.
        touched_s = time.monotonic()
        await http.post("/drill/touch")
        claims_took_s = await crowd.until(claims, 2, since_s=touched_s)

        # An outage, seen in traffic, and its end.
        last = crowd.sequences[0][-1]
        headers = {"authorization": f"Bearer {tokens[0]}"}

        async def traffic() -> None:
            await http.post("/graphql", json={"query": "{ integrations { status } }"}, headers=headers)

        await http.put("/sandbox/faults", content=json.dumps({"integrations": "down"}))
        for _ in range(3):
            await traffic()
        stolen_s = stolen.total_s
        outage_took_s = await crowd.until(health, last + 1, since_s=time.monotonic())
        stolen_s = stolen.total_s - stolen_s
        assert {event["changedServices"][0]["status"] for event in (crowd.told[each] for each in health)} == {
            "UNHEALTHY"
        }
        await http.put("/sandbox/faults", content=json.dumps({"integrations": "ok"}))
        back_s = time.monotonic()
        while crowd.sequences[0][-1] < last + 2:  # the circuit may be open
            await traffic()
            await asyncio.sleep(0.2)
        back_took_s = await crowd.until(health, last + 2, since_s=back_s)

        # Ten seconds of rounds: as many requests as one listener of each seller would cost.
        quiet = await account()
        await asyncio.sleep(10)
        after = await account()
        rounds = after["calls"]["/api/v1/claims"] - quiet["calls"]["/api/v1/claims"]
        for task in listening:
            task.cancel()

    per_subscriber = (full["rss_bytes"] - before["rss_bytes"]) / SUBSCRIBERS
    print(  # noqa: T201
        f"\n{sockets} sockets × {operations} operations: {per_subscriber / 1024:.1f} KiB a subscriber "
        f"({before['rss_bytes'] / 2**20:.0f} → {full['rss_bytes'] / 2**20:.0f} MiB), all told of a claim in "
        f"{claims_took_s:.1f} s (pace {PACE_S} s), of an outage in {outage_took_s:.1f} s, of its end in "
        f"{back_took_s:.1f} s; {rounds} rounds in 10 s for 1 000 listeners of two sellers"
    )
    assert crowd.refused == []
    assert outage_took_s <= 2 + stolen_s
    for number, sequence in crowd.sequences.items():
        assert sequence[0] == 1, number
        assert sequence == sorted(set(sequence)), number
    assert full["polls"] == 3  # the health, and the claims of two sellers
    assert full["streams"] == sockets
    assert rounds <= 2 * (10 / (PACE_S * 0.9) + 1)
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        async with asyncio.timeout(60):
            while (left := (await http.get("/drill")).json())["streams"]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    assert left["polls"] == 0
