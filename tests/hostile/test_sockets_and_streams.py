"""WebSockets that talk nonsense or without end, and streams whose clients never read."""

import asyncio
import contextlib
import json
import os
from functools import partial
from typing import Any

import pytest
from target import Target
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bff.operations import stored_operations

pytestmark = pytest.mark.slow

HEALTH = "subscription { serviceHealth { sequence health { status } } }"
GONE = (ConnectionClosed, InvalidHandshake, TimeoutError, OSError)
INIT: dict[str, Any] = {"type": "connection_init"}


def subscribe(nth: object, document: str = HEALTH, **more: Any) -> str:
    return json.dumps({"id": str(nth), "type": "subscribe", "payload": {"query": document, **more}})


async def say(
    target: Target, *messages: str | bytes, signed_in: bool = True, for_s: float = 1.0
) -> int | None:
    """Say it all on a socket of its own, and judge what comes back; the code it was closed with."""
    connection = None
    with contextlib.suppress(*GONE):
        async with asyncio.timeout(for_s), target.socket() if signed_in else target.opened() as connection:
            for message in messages:
                await connection.send(message)
            while True:
                said = await connection.recv()
                target.judge(101, said if isinstance(said, str) else said.decode("latin-1"))
    protocol = connection.protocol if connection else None
    closed = protocol.close_rcvd if protocol and protocol.close_rcvd_then_sent else None  # not by us
    code, reason = (closed.code, closed.reason) if closed else (None, "")
    target.judge(101, reason)
    if code == 1011:
        target.wrong.append(f"closed with 1011: {reason}")
    return code


GARBAGE: dict[str, str | bytes] = {
    "no JSON": "{",
    "a list": "[]",
    "lists 100,000 deep": "[" * 100_000,
    "null": "null",
    "a number of 100,000 digits": "9" * 100_000,
    "half a character": '{"type":"\\ud800"}',
    "bytes": os.urandom(5000),
    "no bytes": b"",
    "no text": "",
    "no type": "{}",
    "types": '{"type":["subscribe"]}',
    "ids": '{"type":"subscribe","id":{},"payload":{}}',
    "an id of 100,000 letters": subscribe("x" * 100_000),
    "an id of NUL": subscribe("\x00"),
    "payloads": '{"type":"subscribe","id":"1","payload":[1]}',
    "variables 900 deep": '{"type":"subscribe","id":"1","payload":{"query":"{__typename}","variables":'
    + '{"a":' * 900
    + "1"
    + "}" * 900
    + "}}",
    "900,000 letters": subscribe(1, "{" + "a" * 900_000 + "}"),
    "two megabytes": subscribe(1, "{" + "a" * 2_000_000 + "}"),
    "twenty megabytes": "x" * 20_000_000,
    "a mutation": subscribe(1, "mutation { cancelSync(input: {syncId: 1}) { userErrors { message } } }"),
    "the schema": subscribe(1, "{ __schema { types { name } } }"),
    "a strange type": '{"type":"start","id":"1","payload":{}}',
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "nobody"])
async def test_messages(target: Target, name: str, signed_in: bool):
    """Whatever is said on a socket, it is answered in our words, or the socket is closed with one."""
    await target.pressed(
        [partial(say, target, GARBAGE[name], signed_in=signed_in, for_s=0.3)], for_s=0.2, at_once=4
    )


INITS: dict[str, list[dict[str, Any]]] = {
    "twice": [INIT, INIT],
    "a token that is a list": [{**INIT, "payload": {"Authorization": ["Bearer x"]}}],
    "a token of 100,000 letters": [{**INIT, "payload": {"Authorization": "Bearer " + "x" * 100_000}}],
    "a token of NULs": [{**INIT, "payload": {"Authorization": "Bearer \x00"}}],
    "half a character": [{**INIT, "payload": {"Authorization": "Bearer \ud800"}}],
    "a hundred tokens": [{**INIT, "payload": {f"authorization{n}": "Bearer x" for n in range(100)}}],
    "a payload that is deep": [{**INIT, "payload": {"a": [[[[[[[[{}]]]]]]]]}}],
    "never": [],
    "a subscription first": [json.loads(subscribe(1))],
    "pings first": [{"type": "ping"}] * 2000,
}


@pytest.mark.parametrize("name", INITS)
async def test_inits(target: Target, name: str):
    """Nobody is served before they have shown who they are, and only once."""
    messages = [json.dumps(message) for message in INITS[name]]
    await target.pressed([partial(say, target, *messages, signed_in=False, for_s=0.3)], for_s=0.2)


async def test_ten_thousand_subscribes_on_one_socket(target: Target):
    """A socket runs a hundred operations; the rest are refused one by one, without a queue."""
    await say(target, *(subscribe(nth) for nth in range(10_000)), for_s=3)


async def test_the_same_id_again_and_again(target: Target):
    """Closed at the second: the first must not be lost and go on for ever."""
    await target.pressed([partial(say, target, *[subscribe(1)] * 50)], for_s=0.5)


async def test_subscriptions_that_are_completed_at_once(target: Target):
    """Begun and ended a thousand times: nothing of them may stay."""
    messages = [
        text
        for nth in range(1000)
        for text in (subscribe(nth), json.dumps({"id": str(nth), "type": "complete"}))
    ]
    await target.pressed([partial(say, target, *messages, for_s=3)] * 2, for_s=0, at_once=2)


async def test_a_flood_of_pings(target: Target):
    """Each is worth a pong, and no more."""
    await target.pressed([partial(say, target, *['{"type":"ping"}'] * 5000, for_s=3)] * 4, for_s=0, at_once=4)


async def test_sockets_that_come_and_go(target: Target):
    """Opened by the hundred, and dropped without a word."""

    async def drop() -> None:
        with contextlib.suppress(*GONE):
            async with target.opened(close_timeout=0.01) as connection:
                connection.transport.abort()
        target.judge(101, "")

    await target.pressed([drop] * 200, at_once=16, for_s=0)


async def test_sockets_of_strange_pages(target: Target):
    """Origins, subprotocols and addresses that are not ours."""

    async def knock(**options: Any) -> None:
        with contextlib.suppress(*GONE):
            async with target.opened(**options) as connection:
                await connection.recv()
        target.judge(101, "")

    odd: list[dict[str, Any]] = [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "\u202e"},
        {"subprotocols": ["graphql-ws"]},
        {"subprotocols": None},
        {"subprotocols": ["x" * 5000]},
        {"additional_headers": {"sec-websocket-extensions": "permessage-deflate; " + "a; " * 2000}},
    ]
    await target.pressed([partial(knock, **options) for options in odd], for_s=0)


async def test_sockets_that_never_read(target: Target):
    """Four sockets of five hundred queries each, whose answers nobody fetches: few at a time are made."""
    query = stored_operations()["RecoveriesList"]

    async def mute() -> None:
        with contextlib.suppress(*GONE):
            async with target.opened(max_queue=1, close_timeout=0.01, ping_interval=None) as connection:
                await connection.send(
                    json.dumps({**INIT, "payload": {"Authorization": f"Bearer {target.token}"}})
                )
                for nth in range(500):
                    await connection.send(subscribe(nth, query))
                await asyncio.sleep(2)
                connection.transport.abort()
        target.judge(101, "")

    await target.pressed([mute] * 4, for_s=0, at_once=4)


ACCEPTS = {"sse": "text/event-stream", "multipart": "multipart/mixed;subscriptionSpec=1.0"}


@pytest.mark.parametrize("name", ACCEPTS)
async def test_streams_that_nobody_reads(target: Target, name: str):
    """Fifty streams of one client, opened and left; when they are dropped, nothing of them stays."""
    body = json.dumps({"query": HEALTH}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: bff\r\nauthorization: Bearer {target.token}\r\n"
        f"accept: {ACCEPTS[name]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()

    async def mute() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1)
        writer.write(head + body)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(2)
        writer.transport.abort()
        target.judge(200, "")

    await target.pressed([mute] * 50, at_once=50, for_s=0)
    async with asyncio.timeout(30):
        while (await target.account())["streams"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ACCEPTS)
async def test_streams_of_nonsense(target: Target, name: str):
    """A stream answers 200 before it knows anything: what comes after must be in our words as well."""
    documents = [
        "{",
        "subscription { nothing }",
        HEALTH * 2,
        "{ __schema { types { name } } }",
        "",
        "x" * 60_000,
    ]
    documents += [f'subscription {{ syncProgress(syncId: "{key}") {{ sequence }} }}' for key in ("", "x")]
    documents += [
        f"subscription {{ claimUpdated(claimIds: [{'1,' * times}]) {{ sequence }} }}" for times in (0, 900)
    ]
    headers = target.headers | {"accept": ACCEPTS[name]}

    async def stream(document: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await target.send("POST", "/graphql", json={"query": document}, headers=headers)

    await target.pressed([partial(stream, document) for document in documents], for_s=0)

    assert target.statuses <= {200, 400}
