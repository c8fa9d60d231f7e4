"""The protocol graphql-transport-ws over a real socket: who gets in, what closes it, what does not."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from late import WITHIN_S
from streamed import Served, Socket, serving
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bff.sandbox.seed import SELLERS

EXPIRED_S = -3600.0
LEEWAY_S = 30.0


@pytest.fixture
async def bff() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def init(token: str, name: str = "Authorization") -> dict[str, object]:
    return {"type": "connection_init", "payload": {name: f"Bearer {token}"}}


async def said(connection: object) -> dict[str, object]:
    """What the server says next."""
    async with asyncio.timeout(WITHIN_S):
        message: dict[str, object] = json.loads(await connection.recv())  # type: ignore[attr-defined]
        return message


# ---- who gets in


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_the_token_comes_with_connection_init(bff: Served, name: str):
    """Browsers cannot set headers on a WebSocket."""
    async with bff.opened() as connection:
        await connection.send(json.dumps(init(bff.token(), name)))
        assert await said(connection) == {"type": "connection_ack"}


async def test_the_token_may_come_with_the_request(bff: Served):
    """Servers and tests set headers."""
    async with bff.opened(additional_headers=bff.headers()) as connection:
        await connection.send(json.dumps({"type": "connection_init"}))
        assert await said(connection) == {"type": "connection_ack"}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (None, 4401),
        ({}, 4401),
        ({"Authorization": "Bearer nonsense"}, 4401),
        ({"Authorization": 5}, 4401),
        ({"Authorization": "Basic abc"}, 4401),
    ],
)
async def test_without_a_good_token_the_socket_is_closed(bff: Served, payload: object, code: int):
    """4401 is final to graphql-ws: it must not come back every second with the same token."""
    async with bff.opened() as connection:
        await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert (await Socket(connection).closed())[0] == code


async def test_an_expired_token_is_another_matter(bff: Served):
    """4403 has graphql-ws ask for a new token and connect again."""
    async with bff.opened() as connection:
        await connection.send(json.dumps(init(bff.token(expires_in_s=EXPIRED_S))))
        code, reason = await Socket(connection).closed()

    assert (code, reason) == (4403, "The token has expired. Sign in again.")


async def test_a_socket_does_not_outlive_its_token(bff: Served):
    """Who was signed out an hour ago must not watch on."""
    async with bff.socket(expires_in_s=3 - LEEWAY_S) as socket:
        await socket.subscribe("1", "ServiceHealthChanged")
        await socket.event("1", "serviceHealth")
        code, _ = await socket.closed()

    assert code == 4403
    async with bff.socket() as again:
        await again.subscribe("1", "ServiceHealthChanged")
        assert (await again.event("1", "serviceHealth"))["sequence"] == 1


async def test_a_silent_socket_ends_with_its_token_by_our_clock_and_the_leeway_in_settings():
    """Nothing happens and nobody speaks: it is closed all the same, and not half a minute late."""
    async with serving(jwt_leeway_s=0.0) as bff, bff.socket(expires_in_s=1.5) as socket:
        assert (await socket.closed())[0] == 4403


async def test_nothing_is_served_before_the_token(bff: Served):
    """A subscription that comes first is answered by the end of the socket."""
    async with bff.opened() as connection:
        socket = Socket(connection)
        await socket.subscribe("1", "ServiceHealthChanged")
        assert (await socket.closed())[0] == 4401


async def test_who_says_nothing_is_not_waited_for():
    """A socket that was opened and forgotten costs memory for as long as it is kept."""
    async with serving(init_wait_s=0.1) as bff, bff.opened() as connection:
        assert (await Socket(connection).closed())[0] == 4408


async def test_a_page_of_another_origin_is_refused(bff: Served):
    """Browsers ask nobody before they open a WebSocket: the Origin is all that tells whose page it is."""
    with pytest.raises(InvalidStatus) as refused:
        async with bff.opened(origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    counted = {name: times for name, times in (await bff.metrics()).items() if 'reason="origin"' in name}
    assert list(counted.values()) == [1]

    async with bff.opened(origin=f"http://127.0.0.1:{bff.port}") as connection:
        await connection.send(json.dumps(init(bff.token())))
        assert (await said(connection))["type"] == "connection_ack"


@pytest.mark.parametrize("subprotocols", [["graphql-ws"], None])
async def test_the_legacy_protocol_is_off(bff: Served, subprotocols: list[str] | None):
    """It let operations in without a token once (CVE-2026-35526), and nobody maintains it."""
    async with bff.opened(subprotocols=subprotocols) as connection:
        assert (await Socket(connection).closed())[0] == 4406


async def test_what_is_told_is_not_compressed(bff: Served):
    """Browsers offer it always; a compressor for each socket doubles what a subscriber costs in memory."""
    async with bff.opened(compression="deflate") as connection:
        assert "permessage-deflate" in connection.request.headers["sec-websocket-extensions"]
        assert "sec-websocket-extensions" not in connection.response.headers


# ---- what closes it


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "5",
        '"x"',
        "[]",
        "[{}]",
        "{}",
        '{"type":5}',
        '{"type":null}',
        "no JSON",
        "NaN",
        "[" * 100_000,
        '{"type":"subscribe"}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":[],"payload":{"query":"{__typename}"}}',
        '{"type":"subscribe","id":"","payload":{"query":"{__typename}"}}',
        '{"type":"subscribe","id":"1","payload":"x"}',
        '{"type":"subscribe","id":"1","payload":{"query":5}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{__typename}","variables":[]}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{__typename}","operationName":{}}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{__typename}","extensions":"x"}}',
        '{"type":"complete"}',
        '{"type":"complete","id":{}}',
        '{"type":"ping","payload":"x"}',
        '{"type":"' + "é" * 5000 + '"}',
        b"\x00\x01",
    ],
)
async def test_what_is_no_message_closes_its_socket_with_a_word(bff: Served, text: str | bytes):
    """1006 tells a client nothing, and the log gets a traceback for whatever a stranger sends."""
    with capture_logs() as events:
        async with bff.socket() as socket:
            await socket.connection.send(text)
            code, reason = await socket.closed()

    assert code == 4400
    assert reason
    assert len(reason.encode()) <= 123
    assert [event for event in events if event["log_level"] == "error"] == []
    async with bff.socket() as neighbour:
        await neighbour.subscribe("1", "{ viewer { userId } }")
        assert (await neighbour.received("1"))["type"] == "next"


async def test_a_second_init_and_a_second_id_close_the_socket(bff: Served):
    """As the protocol says: the client is confused about its own state."""
    async with bff.socket() as socket:
        await socket.send(init(bff.token()))
        assert (await socket.closed())[0] == 4429
    async with bff.socket() as socket:
        await socket.subscribe("1", "ServiceHealthChanged")
        await socket.event("1", "serviceHealth")
        await socket.subscribe("1", "ServiceHealthChanged")
        assert (await socket.closed())[0] == 4409


# ---- what does not


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"query": "{ nope }"}, "Cannot query field"),
        ({"query": "{ nope "}, "Syntax Error"),
        ({"query": "{ " + "viewer { " * 500}, "Syntax Error"),
        ({"query": ""}, "Send an operation"),
        ({}, "Send an operation"),
        ({"query": "query A { viewer { userId } } query B { viewer { userId } }"}, "several operations"),
        ({"query": "query A { viewer { userId } }", "operationName": "B"}, '"B"'),
        ({"query": "fragment F on Query { viewer { userId } }"}, "no such operation"),
        ({"query": "subscription ($id: ID!) { syncProgress(syncId: $id) { sequence } }"}, "$id"),
    ],
)
async def test_a_bad_document_is_an_error_of_its_own_operation(bff: Served, payload: object, says: str):
    """Strawberry closes the socket for a syntax error: every other stream of the page would end with it."""
    async with bff.socket() as socket:
        await socket.subscribe("stays", "ServiceHealthChanged")
        await socket.event("stays", "serviceHealth")
        await socket.send({"id": "bad", "type": "subscribe", "payload": payload})
        refused = await socket.received("bad")
        await socket.subscribe("2", "{ viewer { userId } }")
        neighbour = [await socket.received("2"), await socket.received("2")]

    assert refused["type"] == "error"
    assert says in refused["payload"][0]["message"]
    assert set(refused["payload"][0]["extensions"]) >= {"code", "retryable", "retryAfterMs", "supportCode"}
    assert refused["payload"][0]["extensions"]["code"] != "INTERNAL_SERVER_ERROR"
    assert neighbour == [
        {"id": "2", "type": "next", "payload": {"data": {"viewer": {"userId": SELLERS[0].user_id}}}},
        {"id": "2", "type": "complete"},
    ]


async def test_queries_over_a_socket_have_each_their_own_loaders(bff: Served):
    """A socket lives for hours: what one query has loaded must not answer the next."""
    document = "{ claims(first: 1) { totalCount } }"
    async with bff.socket() as socket:
        for operation_id in ("1", "2"):
            await socket.subscribe(operation_id, document)
            payload = (await socket.received(operation_id))["payload"]
            assert payload["data"]["claims"]["totalCount"] == 10
            await socket.received(operation_id)
        bff.sandbox.down.add("refund-engine")
        await socket.subscribe("3", "{ claimMetrics: dashboard { claimMetrics { totalCount } } }")
        failed = (await socket.received("3"))["payload"]

    assert bff.calls().count("/api/v1/claims") == 2
    [error] = failed["errors"]
    assert (error["extensions"]["code"], error["extensions"]["service"]) == (
        "SERVICE_UNAVAILABLE",
        "refund-engine",
    )


async def test_two_sellers_on_two_sockets_stay_apart(bff: Served):
    """The viewer is the socket's, on every operation of it."""
    async with bff.socket(SELLERS[0]) as ann, bff.socket(SELLERS[1]) as bob:
        for socket in (ann, bob):
            await socket.subscribe("1", "{ viewer { userId } }")
        users = [(await socket.received("1"))["payload"]["data"]["viewer"]["userId"] for socket in (ann, bob)]

    assert users == [SELLERS[0].user_id, SELLERS[1].user_id]


async def test_a_socket_runs_so_many_operations_and_no_more():
    """One client must not hold what was meant for a thousand."""
    async with serving(operations=2) as bff, bff.socket() as socket:
        for operation_id in ("1", "2"):
            await socket.subscribe(operation_id, "ServiceHealthChanged")
            await socket.event(operation_id, "serviceHealth")
        await socket.subscribe("3", "ServiceHealthChanged")
        refused = await socket.received("3")
        await socket.send({"id": "1", "type": "complete"})
        await socket.subscribe("4", "ServiceHealthChanged")
        assert (await socket.event("4", "serviceHealth"))["sequence"] == 1

    [error] = refused["payload"]
    assert (refused["type"], error["extensions"]["code"]) == ("error", "RATE_LIMITED")


async def test_a_silent_socket_is_kept_alive():
    """Proxies end what is silent for a minute."""
    async with serving(heartbeat_s=0.05) as bff, bff.socket() as socket:
        await socket.subscribe("1", "ServiceHealthChanged")
        await socket.event("1", "serviceHealth")
        while socket.pings < 2:
            await socket.silent("1", 0.1)
        await socket.send({"type": "ping"})
        assert (await socket.received())["type"] == "pong"


async def test_when_the_process_leaves_sockets_are_told_to_go_elsewhere(bff: Served):
    """1001 has clients connect again; a dropped connection leaves them guessing."""
    async with bff.socket() as socket:
        await socket.subscribe("1", "ServiceHealthChanged")
        await socket.event("1", "serviceHealth")
        await bff.app.state.streams.close_all()
        code, reason = await socket.closed()
    assert (code, reason) == (1001, "The server is restarting. Connect again.")
    assert bff.app.state.watchers.polls == 0

    async with bff.opened() as late:
        with pytest.raises(ConnectionClosed):
            await said(late)
        assert late.close_code == 1001
