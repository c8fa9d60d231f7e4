"""Two sellers and the streams: nobody watches what is another's, over any transport."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from late import WITHIN_S
from read_operations import claims_of, detections_of
from streamed import Served, serving

from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import World
from resolvers.global_ids import global_id

OWNER, STRANGER = SELLERS
ACCEPTS = {"sse": "text/event-stream", "multipart": "multipart/mixed;subscriptionSpec=1.0"}


@pytest.fixture(scope="module")
async def bff() -> AsyncIterator[Served]:
    async with serving(claims=6) as served:
        yield served


def watches(world: World) -> list[tuple[str, dict[str, object]]]:
    """Every subscription with every id of the owner that it takes; of claims also behind one's own."""
    claims, own = (
        [global_id("Claim", row["id"]) for row in claims_of(world, seller)] for seller in (OWNER, STRANGER)
    )
    syncs = [row["sync_id"] for row in world.syncs.values() if row["user_id"] == OWNER.user_id]
    syncs += sorted({row["sync_id"] for row in detections_of(world, OWNER)} - set(syncs))
    return [
        *(("ClaimUpdated", {"claimIds": [claim]}) for claim in claims),
        ("ClaimUpdated", {"claimIds": [own[0], *claims]}),
        *(("SyncProgress", {"syncId": global_id("Sync", key)}) for key in syncs),
        *(("DetectionProgress", {"detectionRunId": global_id("DetectionRun", key)}) for key in syncs),
    ]


def words(world: World) -> set[str]:
    """What an event about the owner's things would say."""
    return {row["case_number"] for row in claims_of(world, OWNER)} | {
        OWNER.user_id,
        OWNER.email,
        '"sequence"',
    }


async def test_over_a_websocket(bff: Served):
    """Refused before the first event, in the words of an id that does not exist."""
    world = bff.sandbox.world
    async with bff.socket(STRANGER) as socket:
        for nth, (operation, variables) in enumerate(watches(world)):
            await socket.subscribe(str(nth), operation, **variables)
            message = await socket.received(str(nth))
            text = json.dumps(message)
            assert "You have no " in text, (operation, text)
            assert [word for word in words(world) if word in text] == []
    assert bff.app.state.watchers.polls == 0


@pytest.mark.parametrize("transport", ACCEPTS)
async def test_over_http(bff: Served, transport: str):
    """The same over an answer that does not end: it ends at once."""
    world = bff.sandbox.world
    headers = bff.headers(STRANGER) | {"accept": ACCEPTS[transport]}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{bff.port}", timeout=WITHIN_S) as http:
        for operation, variables in watches(world):
            body = {"query": stored_operations()[operation], "variables": variables}
            answer = await http.post("/graphql", json=body, headers=headers)
            assert "You have no " in answer.text, (operation, answer.text)
            assert [word for word in words(world) if word in answer.text] == []
    assert bff.app.state.watchers.polls == 0


async def test_two_who_watch_at_once_are_told_of_their_own(bff: Served):
    """Polls are shared among listeners: never among sellers."""
    world = bff.sandbox.world
    async with bff.socket(OWNER) as owner, bff.socket(STRANGER) as stranger:
        for socket, seller in ((owner, OWNER), (stranger, STRANGER)):
            ids = [global_id("Claim", row["id"]) for row in claims_of(world, seller)][:2]
            await socket.subscribe("1", "ClaimUpdated", claimIds=ids)
            told = [await socket.event("1", "claimUpdated") for _ in ids]
            assert {event["claim"]["id"] for event in told} == set(ids)
        row = claims_of(world, OWNER)[0]
        row["updated_at"] = "2099-01-01T00:00:00.000Z"
        event = await owner.event("1", "claimUpdated")
        assert event["claim"]["id"] == global_id("Claim", row["id"])
        assert await stranger.silent("1", 0.5)
