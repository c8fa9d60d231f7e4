"""A viewer's rate and open streams, on the transports that stay open; another viewer beside them."""

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
from late import WITHIN_S
from read_operations import claims_of
from streamed import Served, Socket, serving
from test_subscriptions import SELDOM_S, change, claim_id

from bff.limits import LimitSettings
from bff.operations import stored_operations
from bff.rates import RateSettings
from bff.sandbox.seed import SELLERS

ANN, BOB = SELLERS[:2]
STREAMED = {"accept": "text/event-stream"}


CLAIM = """subscription ($ids: [ID!]!) {
  claimUpdated(claimIds: $ids) { sequence previousStatus claim { status submission { status } } }
}"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on the counter's clock; the test moves it."""
    now = [600.0]
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: now[0])
    return now


async def stream_status(bff: Served, held: contextlib.AsyncExitStack, seller: Any) -> tuple[int, str | None]:
    """Open a stream, which stays open if it is served: its status, and when to come again."""
    http = await held.enter_async_context(httpx.AsyncClient(timeout=WITHIN_S))
    response = await held.enter_async_context(
        http.stream(
            "POST",
            f"http://127.0.0.1:{bff.port}/graphql",
            json={"query": stored_operations()["ServiceHealthChanged"]},
            headers=bff.headers(seller) | STREAMED,
        )
    )
    if response.status_code == 200:
        await anext(response.aiter_lines())  # it has begun
    return response.status_code, response.headers.get("retry-after")


async def test_an_operation_beyond_the_rate_is_told_so_and_no_other():
    """An `error` message of its own operation: the socket and its neighbours live on."""
    rates = RateSettings(cost_per_minute=1, burst_cost=15)
    async with serving(rates=rates) as bff, bff.socket() as anns, bff.socket(BOB) as bobs:
        await anns.subscribe("live", "ServiceHealthChanged")
        await anns.event("live", "serviceHealth")
        await anns.subscribe("1", "Dashboard")
        assert (await anns.received("1"))["type"] == "next"
        bff.calls()

        await anns.subscribe("2", "Dashboard")
        message = await anns.received("2")

        assert bff.calls() == []
        assert message["type"] == "error"
        [error] = message["payload"]
        told = error["extensions"]
        assert (told["code"], told["retryable"], "service" in told) == ("RATE_LIMITED", True, False)
        assert told["retryAfterMs"] > 60_000
        await bobs.subscribe("1", "Dashboard")
        assert (await bobs.received("1"))["type"] == "next"
        await anns.subscribe("3", "{ viewer { userId } }")
        assert (await anns.received("3"))["type"] in ("next", "error")


async def test_a_viewer_has_so_many_sockets():
    """Else one page in a loop takes every connection. 1013 has graphql-ws wait and try again."""
    async with serving(rates=RateSettings(streams=2)) as bff, contextlib.AsyncExitStack() as held:
        first = await held.enter_async_context(bff.socket())
        await held.enter_async_context(bff.socket())
        async with bff.opened() as connection:
            token = f"Bearer {bff.token(ANN)}"
            await connection.send(
                json.dumps({"type": "connection_init", "payload": {"Authorization": token}})
            )
            code, reason = await Socket(connection).closed()
        assert code == 1013
        assert reason is not None
        assert reason.startswith("2 streams of yours are open")
        await held.enter_async_context(bff.socket(BOB))

        await first.connection.close()
        await until_no_seat(bff, ANN, 1)
        await held.enter_async_context(bff.socket())


async def test_streams_over_http_count_as_well():
    """Sockets and streams are the same to whoever has to keep them."""
    async with serving(rates=RateSettings(streams=2)) as bff, contextlib.AsyncExitStack() as held:
        async with bff.socket(), contextlib.AsyncExitStack() as first:
            assert (await stream_status(bff, first, ANN))[0] == 200
            assert await stream_status(bff, held, ANN) == (429, "5")
            assert (await stream_status(bff, held, BOB))[0] == 200
        await until_no_seat(bff, ANN, 0)

        assert (await stream_status(bff, held, ANN))[0] == 200


async def until_no_seat(bff: Served, seller: Any, left: int) -> None:
    """Wait until the process has noticed who left."""
    seats = bff.app.state.streams._seats
    async with asyncio.timeout(WITHIN_S):
        while seats[seller.user_id] > left:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)


async def rate_left(bff: Served, seller: Any) -> int:
    """What a viewer may still ask, before this question."""
    async with httpx.AsyncClient(timeout=WITHIN_S) as http:
        url, asked = f"http://127.0.0.1:{bff.port}/graphql", {"query": "{ __typename }"}
        answer = await http.post(url, json=asked, headers=bff.headers(seller))
    return int(answer.headers["ratelimit-remaining"]) + 1


async def test_a_snapshot_is_admitted_for_all_that_it_asks(clock: list[float]):
    """A hundred claims under one small subscription were a hundred operations for the price of one."""
    rates, limits = RateSettings(cost_per_minute=1, burst_cost=100), LimitSettings(cost=11)
    async with serving(claims=30, rates=rates, limits=limits, watch_every_s=SELDOM_S) as bff:
        ids = [claim_id(row) for row in claims_of(bff.sandbox.world, ANN)[:11]]
        async with bff.socket() as socket:
            await socket.subscribe("11", CLAIM, ids=ids)
            refused = await socket.received("11")
            asked_for_11 = bff.calls()
            await socket.subscribe("10", CLAIM, ids=ids[:10])
            for _ in range(10):
                await socket.event("10", "claimUpdated")
            asked_for_10 = bff.calls()

        assert (refused["type"], asked_for_11) == ("error", [])
        assert refused["payload"][0]["message"].startswith(
            "The operation costs 12 upstream calls, 11 at most."
        )
        assert len(asked_for_10) == 11
        assert await rate_left(bff, ANN) == 100 - 1 - 11
        assert await rate_left(bff, BOB) == 100


async def test_a_change_that_a_viewer_cannot_afford_is_told_later_and_as_it_is_then(clock: list[float]):
    """Each event asks as an operation does: uncounted, fifty streams would ask without end. None is lost."""
    rates, limits = RateSettings(cost_per_minute=6000, burst_cost=3), LimitSettings(cost=3)
    async with serving(rates=rates, limits=limits) as bff, bff.socket() as anns, bff.socket(BOB) as bobs:
        [anns_claim, *_], [bobs_claim, *_] = [claims_of(bff.sandbox.world, seller) for seller in (ANN, BOB)]
        for socket, claim in ((anns, anns_claim), (bobs, bobs_claim)):
            await socket.subscribe("1", CLAIM, ids=[claim_id(claim)])
            assert (await socket.event("1", "claimUpdated"))["sequence"] == 1  # 2 of 3 are used

        change(anns_claim, status="rejected")
        assert (await anns.event("1", "claimUpdated"))["claim"]["status"] == "REJECTED"  # nothing is left
        change(anns_claim, status="approved")
        assert await anns.silent("1", 0.5)
        change(anns_claim, status="paid")
        assert await anns.silent("1", 0.5)
        change(bobs_claim, status="paid")
        assert (await bobs.event("1", "claimUpdated"))["claim"]["status"] == "PAID"
        clock[0] += 0.01
        late = await anns.event("1", "claimUpdated")

    assert (late["sequence"], late["claim"]["status"], late["previousStatus"]) == (4, "PAID", "REJECTED")
