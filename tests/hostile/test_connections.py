"""Bytes that are no request, or come too slowly, or are two requests to some and one to others."""

import asyncio
import contextlib
import json
from functools import partial

import pytest
from target import Target

from bff.operations import stored_operations

pytestmark = pytest.mark.slow

HEAD = b"POST /graphql HTTP/1.1\r\nhost: bff\r\ncontent-type: application/json\r\n"
BODY = b'{"query":"{__typename}"}'
SMUGGLED = b"GET /livez HTTP/1.1\r\nhost: smuggled\r\n\r\n"
UPGRADE = b"GET /graphql HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"


def told(length: object) -> bytes:
    return f"content-length: {length}\r\n".encode()


AMBIGUOUS: dict[str, bytes] = {
    "two lengths": HEAD + told(len(BODY)) + told(0) + b"\r\n" + BODY + SMUGGLED,
    "two equal lengths": HEAD + told(len(BODY)) * 2 + b"\r\n" + BODY,
    "two lengths in one line": HEAD + told("24, 0") + b"\r\n" + BODY + SMUGGLED,
    "a length and chunks": HEAD + told(6) + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and a length": HEAD + CHUNKED + told(6) + b"\r\n0\r\n\r\n" + SMUGGLED,
    "chunks that are not the last": HEAD
    + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunks in disguise": HEAD + b"transfer-encoding: xchunked\r\n" + told(4) + b"\r\n0\r\n\r\n" + SMUGGLED,
    "chunks after a tab": HEAD + b"transfer-encoding:\tchunked\r\n" + told(4) + b"\r\n0\r\n\r\n" + SMUGGLED,
    "chunks with a space": HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks twice": HEAD + CHUNKED * 2 + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a length below zero": HEAD + told(-1) + b"\r\n" + BODY,
    "a length with a plus": HEAD + told("+24") + b"\r\n" + BODY,
    "a length in hexadecimals": HEAD + told("0x18") + b"\r\n" + BODY,
    "a length of many digits": HEAD + told("9" * 300) + b"\r\n" + BODY,
    "a length of 2^64": HEAD + told(2**64 + 24) + b"\r\n" + BODY,
    "no length": HEAD + b"\r\n" + BODY + SMUGGLED,
    "a chunk below zero": HEAD + CHUNKED + b"\r\n-1\r\nx\r\n0\r\n\r\n",
    "a chunk of 2^64": HEAD + CHUNKED + b"\r\nfffffffffffffffff\r\nx",
    "a chunk that never ends": HEAD + CHUNKED + b"\r\n5;" + b"x" * 60_000,
    "a chunk's end without CR": HEAD + CHUNKED + b"\r\n2\nab\n0\n\n" + SMUGGLED,
    "trailers": HEAD + CHUNKED + b"\r\n0\r\nauthorization: x\r\ncontent-length: 5\r\n\r\n" + SMUGGLED,
    "a GET with a body": b"GET /livez HTTP/1.1\r\nhost: bff\r\n" + told(len(SMUGGLED)) + b"\r\n" + SMUGGLED,
    "line ends without CR": b"GET /livez HTTP/1.1\nhost: bff\n\n" + SMUGGLED,
    "CR alone": b"GET /livez HTTP/1.1\rhost: bff\r\r" + SMUGGLED,
    "a folded line": b"GET /livez HTTP/1.1\r\nhost: bff\r\n x: y\r\n\r\n",
    "a first line with a space": b" GET /livez HTTP/1.1\r\nhost: bff\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n",
    "HTTP/1.0": b"GET /livez HTTP/1.0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /livez HTTP/9.9\r\nhost: bff\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "a whole address": b"GET http://evil.example/livez HTTP/1.1\r\nhost: bff\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\nhost: bff\r\nauthorization: Bearer secret\r\n\r\n",
    "a method of 20,000 letters": b"X" * 20_000 + b" / HTTP/1.1\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nhost: bff\r\n\r\n",
    "expect": HEAD + b"expect: 100-continue\r\n" + told(24) + b"\r\n" + BODY,
    "an upgrade to nothing": UPGRADE + b"upgrade: h2c\r\n\r\n",
    "half a WebSocket": UPGRADE + b"upgrade: websocket\r\n\r\n",
    "a WebSocket's bad key": UPGRADE
    + b"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "NULs": b"\x00" * 5000,
    "new lines": b"\r\n" * 20_000,
    "a line of NUL in a header": b"GET /livez HTTP/1.1\r\nhost: bff\r\nx: a\x00b\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\nhost: bff\r\n: x\r\n\r\n",
    "sixty-four headers of 500 letters": b"GET /livez HTTP/1.1\r\n"
    + b"x: " * 1
    + b"y" * 32_000
    + b"\r\n\r\n",
    "a thousand headers": b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    "a megabyte of one header": b"GET /livez HTTP/1.1\r\ncookie: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a thousand requests at once": b"GET /livez HTTP/1.1\r\nhost: bff\r\n\r\n" * 1000,
}
SERVED_ONCE = {"two lengths", "two lengths in one line", "a length and chunks", "chunks and a length"}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_bytes(target: Target, name: str):
    """Two readers of one connection must never disagree about where a request ends."""
    said: list[bytes] = []

    async def send() -> None:
        said.append(await target.raw(AMBIGUOUS[name], for_s=0.3))

    await target.pressed([send], for_s=0.2, at_once=4)

    assert target.statuses <= {0, 101, 200, 400, 401, 403, 404, 405, 411, 413, 415, 426, 431, 408}
    if name in SERVED_ONCE:
        assert {each.count(b"HTTP/1.1 200") for each in said} == {0}, "the smuggled request was answered"


async def test_slow_heads(target: Target):
    """Three hundred clients that say a letter now and then."""
    slow = partial(target.raw, *[bytes([letter]) for letter in b"GET /livez HTT"], pause_s=0.2, for_s=5)
    await target.pressed([slow] * 300, at_once=300, for_s=0)

    assert target.statuses <= {0, 408}


async def test_slow_bodies(target: Target):
    """Three hundred clients whose bodies do not come."""
    head = HEAD + b"authorization: Bearer " + target.token.encode() + b"\r\n" + told(1000) + b"\r\n"
    slow = partial(target.raw, head, *[b"x"] * 14, pause_s=0.2, for_s=5)
    await target.pressed([slow] * 300, at_once=300, for_s=0)

    assert target.statuses <= {0, 408}


async def test_connections_that_say_nothing(target: Target):
    """They take places until somebody who asks needs one."""
    await target.pressed([partial(target.raw, for_s=3)] * 500, at_once=500, for_s=0)

    assert target.statuses <= {0}


async def test_connections_that_come_and_go(target: Target):
    """Opened and dropped, with half a request in them."""
    await target.pressed([partial(target.raw, HEAD[:40], for_s=0.001)] * 500, at_once=50, for_s=1)

    assert target.statuses <= {0}


def list_of_claims(target: Target) -> bytes:
    body = json.dumps({"query": stored_operations()["RecoveriesList"]}).encode()
    signed_in = HEAD + b"authorization: Bearer " + target.token.encode() + b"\r\n"
    return signed_in + told(len(body)) + b"\r\n" + body


async def test_answers_that_nobody_reads(target: Target):
    """Four connections of five hundred requests each, whose answers are left lying: one at a time is made."""
    request = list_of_claims(target)

    async def mute() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(3):
                for _ in range(50):
                    writer.write(request * 10)
                    await writer.drain()
                await asyncio.sleep(2)
        writer.transport.abort()
        target.judge(0, "")

    await target.pressed([mute] * 4, for_s=0, at_once=4)


async def test_requests_in_a_row(target: Target):
    """The same, and somebody reads: so many may wait, and the connection is closed behind them."""
    request = list_of_claims(target)
    await target.pressed([partial(target.raw, request * 500, for_s=5)] * 4, for_s=0, at_once=4)

    assert target.statuses <= {0, 200}
    assert target.tried <= 4 * 66
