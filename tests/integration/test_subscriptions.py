"""The four subscriptions over real sockets: snapshot, changes, ends; one poll per viewer; fresh loaders."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from late import WITHIN_S
from read_operations import claims_of, richest_claim
from stolen import TICK_S, Stolen
from streamed import Served, serving

from bff.contracts import call_contracts
from bff.sandbox import pace
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import Row
from bff.sandbox.writing import js_time
from clients.caller import Viewer
from resolvers.global_ids import global_id, type_and_key

ANN, BOB = SELLERS[:2]
SELDOM_S = 600.0  # a pace that no test sees the second round of

CLAIM = """subscription ($ids: [ID!]!) {
  claimUpdated(claimIds: $ids) { sequence previousStatus claim { id status submission { status } } }
}"""


@pytest.fixture
async def bff() -> AsyncIterator[Served]:
    """A BFF whose polls are quick."""
    async with serving() as served:
        yield served


@pytest.fixture
async def seldom() -> AsyncIterator[Served]:
    """A BFF whose polls look again only when they are told to."""
    async with serving(watch_every_s=SELDOM_S) as served:
        yield served


def change(row: Row, **facts: Any) -> None:
    """Do to a claim what the refund engine does to a row that is written."""
    row.update(facts, updated_at=js_time(datetime.now(UTC)))


def claim_id(row: Row) -> str:
    return str(global_id("Claim", row["id"]))


def viewer(seller: Any = ANN) -> Viewer:
    """Whom a mutation would act for."""
    return Viewer(seller.user_id, None, None, None, frozenset(), datetime.max.replace(tzinfo=UTC))


# ---- claims


async def test_claims_begin_with_a_snapshot_each_and_tell_changes(bff: Served):
    """A list on screen that must ask again to know what it shows is no live list."""
    first, second, third = claims_of(bff.sandbox.world, ANN)[:3]
    was = first["status"].upper()
    async with bff.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=[claim_id(first), claim_id(second), claim_id(first)])
        snapshot = [await socket.event("1", "claimUpdated") for _ in range(2)]
        change(third, status="paid")
        change(first, status="paid")
        event = await socket.event("1", "claimUpdated")
        change(first, claim_description="nobody knows")
        other = await socket.event("1", "claimUpdated")

    assert [(each["sequence"], each["claim"]["id"], each["previousStatus"]) for each in snapshot] == [
        (1, claim_id(first), None),
        (2, claim_id(second), None),
    ]
    assert (event["sequence"], event["claim"]["status"], event["previousStatus"]) == (3, "PAID", was)
    assert (other["sequence"], other["claim"]["status"], other["previousStatus"]) == (4, "PAID", "PAID")


async def test_an_event_is_executed_with_fresh_loaders_and_a_fresh_deadline():
    """A stream lives for hours: with the loaders and deadline it began with, it would tell old news."""
    async with serving(operation_budget_s=2.5) as bff:
        world = bff.sandbox.world
        claim = richest_claim(world, ANN)
        [dispute] = [row for row in world.disputes.values() if row["case_number"] == claim["case_number"]]
        async with bff.socket() as socket:
            await socket.subscribe("1", CLAIM, ids=[claim_id(claim)])
            snapshot = await socket.event("1", "claimUpdated")
            await asyncio.sleep(2.6)  # longer than the budget of an operation
            dispute["status"] = "closed" if dispute["status"] != "closed" else "approved"
            change(claim, status="paid")
            event = await socket.event("1", "claimUpdated")

    assert snapshot["claim"]["submission"]["status"] != dispute["status"].upper()
    assert event["claim"]["submission"]["status"] == dispute["status"].upper()


async def test_an_outage_costs_an_event_its_own_fields(bff: Served):
    """The claim changed, whoever else is down: half an event is better than none."""
    claim = claims_of(bff.sandbox.world, ANN)[0]
    bff.sandbox.down.add("integrations")
    async with bff.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=[claim_id(claim)])
        payload = (await socket.received("1"))["payload"]

    assert payload["data"]["claimUpdated"]["claim"]["submission"] is None
    [error] = payload["errors"]
    assert error["path"] == ["claimUpdated", "claim", "submission"]
    assert error["extensions"]["service"] == "integrations"
    assert payload["extensions"]["upstreams"][0]["state"] == "MISSING"


@pytest.mark.parametrize("listeners", [1, 50])
async def test_the_number_of_listeners_costs_nothing(
    seldom: Served, listeners: int, monkeypatch: pytest.MonkeyPatch
):
    """The quota is 100 requests in 15 minutes for all sellers: fifty tabs must ask as often as one."""
    monkeypatch.setattr(
        "resolvers.watching.poll.SHARED_FOR_S", WITHIN_S
    )  # however long the tabs take to open
    claim = claims_of(seldom.sandbox.world, ANN)[0]
    document = "subscription ($ids: [ID!]!) { claimUpdated(claimIds: $ids) { sequence claim { status } } }"
    ids = [str(number) for number in range(listeners)]
    async with seldom.socket() as socket:
        await socket.subscribe("0", document, ids=[claim_id(claim)])
        await socket.event("0", "claimUpdated")
        for tab in ids[1:]:
            await socket.subscribe(tab, document, ids=[claim_id(claim)])
            await socket.event(tab, "claimUpdated")
        change(claim, status="paid")
        seldom.app.state.watchers.changed(viewer(), "claim", claim["id"])
        events = [await socket.event(tab, "claimUpdated") for tab in ids]

    assert [(each["sequence"], each["claim"]["status"]) for each in events] == [(2, "PAID")] * listeners
    assert seldom.calls() == ["/api/v1/claims"] * 2


async def test_a_seller_sees_her_own_change_at_once(seldom: Served):
    """Whoever saved must not wait for the next round to see it on the list beside the form."""
    claim = claims_of(seldom.sandbox.world, ANN)[0]
    document = "mutation ($i: UpdateClaimInput!) { updateClaim(input: $i) { userErrors { code } } }"
    async with seldom.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=[claim_id(claim)])
        await socket.event("1", "claimUpdated")
        await socket.subscribe(
            "2", document, i={"claimId": claim_id(claim), "description": "Two boxes, both empty."}
        )
        saved = await socket.received("2")
        event = await socket.event("1", "claimUpdated")

    assert saved["payload"]["data"]["updateClaim"] == {"userErrors": []}
    assert (event["sequence"], event["claim"]["id"]) == (2, claim_id(claim))


async def test_two_viewers_never_share_a_poll(seldom: Served):
    """One seller's claims must not reach another, neither in a snapshot nor in an event."""
    anns, bobs = (claims_of(seldom.sandbox.world, seller)[0] for seller in (ANN, BOB))
    async with seldom.socket(ANN) as ann, seldom.socket(BOB) as bob:
        await ann.subscribe("1", CLAIM, ids=[claim_id(anns)])
        await ann.event("1", "claimUpdated")
        await bob.subscribe("1", CLAIM, ids=[claim_id(bobs)])
        await bob.event("1", "claimUpdated")
        assert seldom.app.state.watchers.polls == 2
        await bob.subscribe("stolen", CLAIM, ids=[claim_id(bobs), claim_id(anns)])
        refused = await bob.received("stolen")

        for row in (anns, bobs):
            change(row, status="paid")
        seldom.app.state.watchers.changed(viewer(ANN), "claim", anns["id"])
        event = await ann.event("1", "claimUpdated")
        assert await bob.silent("1", 0.2)  # his own changed as well, and nobody looked for him

    assert event["claim"]["id"] == claim_id(anns)
    assert refused["type"] == "error"
    [error] = refused["payload"]
    assert (error["extensions"]["code"], error["path"]) == ("BAD_USER_INPUT", ["claimUpdated"])
    assert claim_id(anns) in error["message"]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([], "1 to 100"),
        (["nonsense"], "no id of this API"),
        ([str(global_id("Sync", "sync-1"))], "id of a Sync"),
        ([str(global_id("Claim", "5e11e200-0a00-4000-8000-000000000001"))], "You have no claim"),
    ],
)
async def test_bad_claim_ids_are_an_error_of_the_operation(bff: Served, ids: list[str], says: str):
    """What cannot be watched is said at once, and costs the socket nothing."""
    async with bff.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=ids)
        refused = await socket.received("1")
        await socket.subscribe("2", "{ viewer { userId } }")
        neighbour = await socket.received("2")

    [error] = refused["payload"]
    assert (refused["type"], error["extensions"]["code"]) == ("error", "BAD_USER_INPUT")
    assert says in error["message"]
    assert neighbour["payload"]["data"]["viewer"]["userId"] == ANN.user_id


@pytest.mark.parametrize(
    ("document", "variables", "scope"),
    [
        (CLAIM, {"ids": ["x"]}, "claims:read"),
        ("DetectionProgress", {"detectionRunId": "x"}, "detections:read"),
        ("SyncProgress", {"syncId": "x"}, "integrations:read"),
    ],
)
async def test_a_scope_is_asked_for_before_anything_is_watched(bff: Served, document, variables, scope):
    """A token for reading health must not watch claims."""
    async with bff.socket(scopes=["payments:read"]) as socket:
        await socket.subscribe("1", document, **variables)
        [error] = (await socket.received("1"))["payload"]

    assert error["extensions"]["code"] == "FORBIDDEN"
    assert scope in error["message"]
    assert bff.app.state.watchers.polls == 0


async def test_claims_older_than_the_page_are_watched_as_well():
    """The page of the last hundred changes proves that the rest stands still; a change enters it."""
    sandbox = Sandbox(seed(130))
    async with serving(sandbox=sandbox, watch_every_s=SELDOM_S) as bff:
        oldest = min(claims_of(sandbox.world, ANN), key=lambda row: str(row["updated_at"]))
        async with bff.socket() as socket:
            await socket.subscribe("1", CLAIM, ids=[claim_id(oldest)])
            await socket.event("1", "claimUpdated")
            snapshot_calls = [path for path in bff.calls() if "claims" in path]
            for _ in range(2):
                bff.app.state.watchers.changed(viewer(), "claim", oldest["id"])
                assert await socket.silent("1", 0.1)
            quiet_calls = bff.calls()
            change(oldest, status="paid")
            bff.app.state.watchers.changed(viewer(), "claim", oldest["id"])
            event = await socket.event("1", "claimUpdated")

    assert snapshot_calls == ["/api/v1/claims", f"/api/v1/claims/{oldest['id']}"]
    assert quiet_calls == ["/api/v1/claims"] * 2
    assert (event["sequence"], event["claim"]["status"]) == (2, "PAID")


@pytest.mark.parametrize(("claims", "most"), [(800, 1 + 4), (1500, (1 + 5) + (1 + 3))])
async def test_a_hundred_old_claims_are_found_in_the_list(claims: int, most: int):
    """Asked for one by one they would take the whole quota, a hundred requests, from all sellers."""
    sandbox = Sandbox(seed(claims))
    oldest = sorted(claims_of(sandbox.world, ANN), key=lambda row: str(row["created_at"]))[:100]
    async with serving(sandbox=sandbox, watch_every_s=SELDOM_S) as bff, bff.socket() as socket:
        document = "subscription ($ids: [ID!]!) { claimUpdated(claimIds: $ids) { claim { id } } }"
        await socket.subscribe("1", document, ids=[claim_id(row) for row in oldest])
        told = [await socket.event("1", "claimUpdated") for _ in oldest]
        calls = bff.calls()

    assert [event["claim"]["id"] for event in told] == [claim_id(row) for row in oldest]
    assert set(calls) == {"/api/v1/claims"}
    assert len(calls) <= most


async def test_a_claim_that_the_whole_list_lacks_is_not_there():
    """Also among many: it is somebody else's, or nobody's, and must neither be shown nor waited for."""
    sandbox = Sandbox(seed(1500))
    own = sorted(claims_of(sandbox.world, ANN), key=lambda row: str(row["updated_at"]))[:4]
    bobs = claims_of(sandbox.world, BOB)[0]
    async with serving(sandbox=sandbox, watch_every_s=SELDOM_S) as bff, bff.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=[claim_id(row) for row in [*own, bobs]])
        refused = await socket.received("1")

    [error] = refused["payload"]
    assert (refused["type"], error["extensions"]["code"]) == ("error", "BAD_USER_INPUT")
    assert f"You have no claim with the id {claim_id(bobs)}" in error["message"]


async def test_more_changes_than_a_page_holds_leave_nobody_out():
    """An import that touches every claim pushes them off the page: what may have changed is read singly."""
    sandbox = Sandbox(seed(130))
    async with serving(sandbox=sandbox) as bff:
        rows = sorted(claims_of(sandbox.world, ANN), key=lambda row: str(row["updated_at"]))
        watched = rows[:5]
        async with bff.socket() as socket:
            await socket.subscribe("1", CLAIM, ids=[claim_id(row) for row in watched])
            for _ in watched:
                await socket.event("1", "claimUpdated")
            for row in [*watched, *rows[5:]]:
                change(row, status="paid")
            for row in rows[5:]:  # later than the watched ones, by a moment
                row["updated_at"] = "2030-01-01T00:00:00.000Z"
            events = [await socket.event("1", "claimUpdated") for _ in watched]

    assert {each["claim"]["id"] for each in events} == {claim_id(row) for row in watched}
    assert {each["claim"]["status"] for each in events} == {"PAID"}


# ---- outages


async def test_a_snapshot_that_cannot_be_had_is_an_error_and_an_end(bff: Served):
    """Whoever begins to watch during an outage is told, once, and whether to try again."""
    bff.sandbox.down.add("refund-engine")
    claim = claims_of(bff.sandbox.world, ANN)[0]
    async with bff.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=[claim_id(claim)])
        refused = await socket.received("1")

    [error] = refused["payload"]
    assert refused["type"] == "error"
    assert (
        error["extensions"]["code"],
        error["extensions"]["service"],
        error["extensions"]["retryable"],
    ) == (
        "SERVICE_UNAVAILABLE",
        "refund-engine",
        True,
    )
    assert bff.app.state.watchers.polls == 0


async def test_a_stream_outlives_an_outage_in_silence(bff: Served):
    """What was shown is still the last that is known; the next change is told when the owner is back."""
    claim = claims_of(bff.sandbox.world, ANN)[0]
    async with bff.socket() as socket:
        await socket.subscribe("1", CLAIM, ids=[claim_id(claim)])
        await socket.event("1", "claimUpdated")
        bff.sandbox.down.add("refund-engine")
        change(claim, status="paid")
        assert await socket.silent("1", 0.5)
        bff.sandbox.down.clear()
        event = await socket.event("1", "claimUpdated")

    assert (event["sequence"], event["claim"]["status"]) == (2, "PAID")


# ---- syncs and detection

SYNC = (
    "subscription ($id: ID!) { syncProgress(syncId: $id) { sequence sync { status step progressPercent } } }"
)
RUN = (
    "subscription ($id: ID!) { detectionProgress(detectionRunId: $id) { sequence detectionRun { status } } }"
)


def begin_sync(world: Any, *, search: bool = True) -> str:
    """Start a sync as a seller does."""
    return str(pace.begin(world, ANN.user_id, "inventory", search=search)["sync_id"])


@pytest.mark.parametrize("ending", ["completed", "failed"])
async def test_a_sync_is_told_until_it_ends(bff: Served, ending: str):
    """A progress bar ends on the state; afterwards nothing is asked for it."""
    world = bff.sandbox.world
    world.sync_step_s = 600.0
    sync_id = begin_sync(world)
    async with bff.socket() as socket:
        await socket.subscribe("1", SYNC, id=str(global_id("Sync", sync_id)))
        snapshot = await socket.event("1", "syncProgress")
        world.finish_syncs(ending)
        event = await socket.event("1", "syncProgress")
        end = await socket.received("1")
        await socket.subscribe("2", SYNC, id=str(global_id("Sync", sync_id)))
        over = await socket.event("2", "syncProgress")
        at_once = await socket.received("2")

    assert (snapshot["sequence"], snapshot["sync"]["status"]) == (1, "RUNNING")
    assert (event["sequence"], event["sync"]["status"]) == (2, ending.upper())
    assert end == {"id": "1", "type": "complete"}
    assert (over["sequence"], over["sync"]["status"]) == (1, ending.upper())
    assert at_once["type"] == "complete"
    assert bff.app.state.watchers.polls == 0


async def test_a_sync_is_told_step_by_step(bff: Served):
    """Each step is an event, and none is told twice."""
    world = bff.sandbox.world
    world.sync_step_s = 0.4
    async with bff.socket() as socket:
        await socket.subscribe("1", SYNC, id=str(global_id("Sync", begin_sync(world))))
        events = []
        while (message := await socket.received("1"))["type"] == "next":
            events.append(message["payload"]["data"]["syncProgress"])

    assert [each["sequence"] for each in events] == list(range(1, len(events) + 1))
    steps = [(each["sync"]["step"], each["sync"]["status"]) for each in events]
    assert all(before != after for before, after in itertools.pairwise(steps))
    assert steps == sorted(steps, key=lambda step: step[0])
    assert len(steps) >= 4
    assert steps[-1] == (5, "COMPLETED")


async def test_a_sync_and_its_detection_are_fed_by_one_poll(seldom: Served):
    """Both panels of one screen look at the same row: it is read once for both."""
    world = seldom.sandbox.world
    world.sync_step_s = 600.0
    sync_id = begin_sync(world)
    async with seldom.socket() as socket:
        await socket.subscribe("sync", SYNC, id=str(global_id("Sync", sync_id)))
        await socket.event("sync", "syncProgress")
        await socket.subscribe("run", RUN, id=str(global_id("DetectionRun", sync_id)))
        run = await socket.event("run", "detectionProgress")
        world.finish_syncs()
        seldom.app.state.watchers.changed(viewer(), "sync", sync_id)
        ended = [await socket.event("sync", "syncProgress"), await socket.event("run", "detectionProgress")]
        assert [(await socket.received(each))["type"] for each in ("sync", "run")] == ["complete", "complete"]

    assert run["detectionRun"]["status"] in ("PENDING", "RUNNING")
    assert [each["sequence"] for each in ended] == [2, 2]
    assert ended[1]["detectionRun"]["status"] == "COMPLETED"
    assert len([path for path in seldom.calls() if "sync" in path]) == 2


async def test_a_sync_of_somebody_else_is_not_there(bff: Served):
    """Ids travel in links: whose they are is checked here."""
    world = bff.sandbox.world
    theirs = next(key for key, row in world.syncs.items() if row["user_id"] == BOB.user_id)
    async with bff.socket() as socket:
        await socket.subscribe("1", SYNC, id=str(global_id("Sync", theirs)))
        [error] = (await socket.received("1"))["payload"]

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "You have no Sync" in error["message"]


# ---- health


async def test_an_outage_and_its_end_are_told_to_every_screen(bff: Served):
    """Seen in traffic, told at once, with the services that changed; nobody is asked for it."""
    async with bff.socket() as socket, httpx.AsyncClient() as http:
        await socket.subscribe("1", "ServiceHealthChanged")
        snapshot = await socket.event("1", "serviceHealth")
        while snapshot["health"]["healthyCount"] < 6:  # the first probes may still be out
            snapshot = await socket.event("1", "serviceHealth")

        async def traffic() -> None:
            await http.post(
                f"http://127.0.0.1:{bff.port}/graphql",
                json={"query": "{ claims(first: 1) { totalCount } }"},
                headers=bff.headers(),
            )

        bff.sandbox.down.add("refund-engine")
        for _ in range(3):
            await traffic()
        outage = await socket.event("1", "serviceHealth")
        bff.sandbox.down.clear()
        back = outage
        while back["health"]["status"] != "HEALTHY":
            await traffic()
            if not await socket.silent("1", 0.3):
                back = await socket.event("1", "serviceHealth")

    [changed] = outage["changedServices"]
    assert (changed["displayName"], changed["status"], changed["reason"]) == (
        "Refund Engine",
        "UNHEALTHY",
        "UNREACHABLE",
    )
    assert outage["sequence"] == snapshot["sequence"] + 1
    assert outage["health"]["status"] == "UNHEALTHY"
    assert [each["displayName"] for each in back["changedServices"]] == ["Refund Engine"]


@pytest.mark.slow  # it measures
async def test_an_outage_is_on_screen_within_two_seconds_of_traffic(bff: Served, stolen: Stolen):
    """A banner after the third failed screen explains nothing. What the machine took does not count."""
    query = {"query": "{ claims(first: 1) { totalCount } }"}
    async with bff.socket() as socket, httpx.AsyncClient(headers=bff.headers()) as http:

        async def traffic() -> None:
            while True:
                await http.post(f"http://127.0.0.1:{bff.port}/graphql", json=query)
                await asyncio.sleep(0.1)

        await socket.subscribe("1", "ServiceHealthChanged")
        while (await socket.event("1", "serviceHealth"))["health"]["healthyCount"] < 6:
            pass
        asking = asyncio.create_task(traffic())
        await asyncio.sleep(0.5)
        began_s, stolen_s = time.monotonic(), stolen.total_s
        bff.sandbox.down.add("refund-engine")
        outage = await socket.event("1", "serviceHealth")
        await asyncio.sleep(2 * TICK_S)  # until what was stolen meanwhile has been noticed
        took_s = time.monotonic() - began_s - (stolen.total_s - stolen_s)
        asking.cancel()

    assert [each["displayName"] for each in outage["changedServices"]] == ["Refund Engine"]
    assert outage["health"]["status"] == "UNHEALTHY"
    assert took_s <= 2


async def test_health_is_for_everyone_who_signed_in(bff: Served):
    """The banner that says what is down is there exactly when nothing else is."""
    for service in bff.sandbox.apps:
        bff.sandbox.down.add(service)
    async with bff.socket(scopes=[]) as socket:
        await socket.subscribe("1", "ServiceHealthChanged")
        snapshot = await socket.event("1", "serviceHealth")

    assert (snapshot["sequence"], snapshot["changedServices"]) == (1, [])
    assert snapshot["health"]["totalCount"] == 6
    assert bff.calls() == []


# ---- contracts


@pytest.mark.parametrize("claims", [1, 10, 100])
async def test_no_round_asks_more_than_its_contract(claims: int):
    """A subscription's contract is that of a round and its event, however many claims are watched."""
    sandbox = Sandbox(seed(claims))
    world = sandbox.world
    sync = global_id(
        "Sync", next(row["sync_id"] for row in world.syncs.values() if row["user_id"] == ANN.user_id)
    )
    run = global_id("DetectionRun", type_and_key(sync)[1])
    watched = [claim_id(row) for row in claims_of(world, ANN)][:100]
    variables = {
        "ClaimUpdated": {"claimIds": watched},
        "DetectionProgress": {"detectionRunId": str(run)},
        "ServiceHealthChanged": {},
        "SyncProgress": {"syncId": str(sync)},
    }
    for operation, given in variables.items():
        async with serving(sandbox=sandbox, watch_every_s=SELDOM_S) as bff, bff.socket() as socket:
            bff.sandbox.calls.clear()
            await socket.subscribe("1", operation, **given)
            assert (await socket.received("1"))["type"] == "next"
            services = [call.service for call in sandbox.calls if call.path != "/health"]

        contract = call_contracts()[operation]
        assert set(services) <= set(contract)
        assert all(services.count(service) <= most for service, most in contract.items())


# ---- leaving


async def test_whoever_leaves_takes_everything_along(bff: Served):
    """Tasks and polls that stay behind are a leak for as long as the process lives."""
    await asyncio.sleep(0.3)  # the first probes have ended
    idle = asyncio.all_tasks()
    claim = claims_of(bff.sandbox.world, ANN)[0]
    async with bff.socket() as socket:
        for tab in map(str, range(10)):
            await socket.subscribe(tab, CLAIM, ids=[claim_id(claim)])
            await socket.event(tab, "claimUpdated")
        await socket.send({"id": "0", "type": "complete"})
        assert bff.app.state.watchers.polls == 1
        counted = await bff.metrics()
    async with asyncio.timeout(WITHIN_S):
        while asyncio.all_tasks() - idle:  # noqa: ASYNC110 - nothing tells when a connection is gone
            await asyncio.sleep(0.05)
    bff.calls()
    await asyncio.sleep(0.3)

    assert bff.calls() == []
    assert bff.app.state.watchers.polls == 0
    assert len(bff.app.state.streams) == 0
    open_ = [value for name, value in counted.items() if name.startswith("bff_stream_open")]
    assert sum(open_) in (9, 10)  # the first may just be leaving
    assert [value for name, value in (await bff.metrics()).items() if name.startswith("bff_stream_open")] == [
        0
    ]
    events = [value for name, value in counted.items() if name.startswith("bff_stream_events_total")]
    assert events == [10]
