"""Requests that come slowly, or too large, over real sockets: they cost themselves and nobody else."""

import asyncio
from typing import Any

import anyio
import pytest
from late import WITHIN_S
from served import Answer, Connection, Served, serving
from structlog.testing import capture_logs

from bff.cli import dev_settings
from bff.http_guard import CorsSettings
from clients.store.audit_chain import AuditChain
from clients.store.audit_keys import AuditKeys

GET = b"GET /livez HTTP/1.1\r\nhost: bff\r\n"
SHORT = {"head_wait_s": 0.3, "body_wait_s": 0.3}
FAIR = {"head_wait_s": 1.5, "body_wait_s": 1.5}  # for those who are quick, on a busy machine
PAGE = "https://app.example"


def assert_ours(answer: Answer) -> None:
    """It has the headers of all other answers, whoever made it."""
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


async def written_down(bff: Served) -> list[dict[str, Any]]:
    """The audit log, what was counted in this minute included."""
    book, database = bff.app.state.book, bff.app.state.store.database
    book.write_counted()
    with anyio.fail_after(8):
        while book.audit.waiting:  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)
    return await AuditChain(database, AuditKeys(dev_settings().audit_secrets())).shown()


async def drip(connection: Connection, text: bytes, *, pause_s: float = 0.05) -> None:
    """Write byte by byte until the other side has enough."""
    for byte in text:
        if connection.reader.at_eof() or connection.writer.is_closing():
            return
        await connection.send(bytes([byte]))
        await asyncio.sleep(pause_s)


async def test_a_head_that_comes_byte_by_byte_is_cut():
    """uvicorn waits for ever: a few thousand such clients hold every connection there is."""
    async with serving(**SHORT) as bff:
        slow = await bff.connect()
        dripping = asyncio.create_task(drip(slow, GET * 20))

        answer = await slow.answer()

        assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
        assert_ours(answer)
        assert answer.headers["connection"] == "close"
        assert answer.body["errors"][0]["extensions"]["supportCode"].startswith("OP-")
        assert await slow.rest() == b""
        dripping.cancel()


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
async def test_a_connection_that_asks_nothing_is_closed_without_a_word(sent: bytes):
    """A browser opens connections ahead: an answer to no question would be taken for the next one's."""
    async with serving(**SHORT) as bff:
        silent = await bff.connect()
        await silent.send(sent)

        assert await silent.rest() == b""


async def test_the_second_head_on_a_connection_is_timed_as_well():
    """One good request must not buy a connection for ever."""
    async with serving(**FAIR) as bff:
        turned = await bff.connect()
        await turned.send(GET + b"\r\n")
        assert (await turned.answer()).status == 200

        await turned.send(b"\r\n")  # what is no head stops the clock of idle connections
        assert await turned.rest() == b""

        again = await bff.connect()
        await again.send(GET + b"\r\n")
        assert (await again.answer()).status == 200
        await again.send(GET)
        assert (await again.answer()).status == 408


async def test_a_slow_next_head_does_not_disturb_the_answer_before_it():
    """Two requests on one connection: the first is answered in full, whatever the second does."""
    async with serving(**FAIR) as bff:
        bff.sandbox.faults["refund-engine"] = "slow:2000"
        head, body = bff.request("RecoveryMetrics")
        piped = await bff.connect()
        await piped.send(head, body, GET)  # and never the end of that

        answer = await piped.answer()

        assert answer.status == 200
        assert "errors" not in answer.body
        assert await piped.rest() == b""


async def test_what_is_no_request_is_refused_and_no_answer_disturbed():
    """Garbage is told so in our words; behind a request it must not end up inside the answer."""
    async with serving() as bff:
        garbage = await (await bff.connect()).send(b"\x16\x03\x01 hello\r\n\r\n")
        refused = await garbage.answer()

        bff.sandbox.faults["refund-engine"] = "slow:300"
        head, body = bff.request("RecoveryMetrics")
        piped = await (await bff.connect()).send(head, body)
        await asyncio.sleep(0.05)
        await piped.send(b"\x16\x03\x01 hello\r\n\r\n", b"again")
        answer = await piped.answer()

        assert (refused.status, refused.code) == (400, "BAD_USER_INPUT")
        assert (answer.status, "errors" in answer.body) == (200, False)
        assert await piped.rest() == b""


async def test_an_idle_connection_is_kept_and_used_again():
    """What is slow between requests is a person reading."""
    async with serving(**FAIR) as bff:
        kept = await bff.connect()
        for _ in range(2):
            await kept.send(GET + b"\r\n")
            assert (await kept.answer()).status == 200
            await asyncio.sleep(1.6)  # longer than a head may take


LARGE = {
    "a path": b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n",
    "a value": b"GET / HTTP/1.1\r\ncookie: " + b"x" * 40_000 + b"\r\n\r\n",
    "many lines": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 65 + b"\r\n",
    "a value without an end": b"GET / HTTP/1.1\r\ncookie: " + b"x" * 40_000,
    "a path without an end": b"GET /" + b"x" * 40_000,
    "a WebSocket's": b"GET /graphql HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    + b"a: b\r\n" * 65
    + b"\r\n",
}


@pytest.mark.parametrize("head", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_large_head_is_refused(head: bytes, pieces: int):
    """httptools takes a megabyte of cookies; each connection would."""
    async with serving() as bff:
        large = await bff.connect()
        size = -(-len(head) // pieces)
        for start in range(0, len(head), size):
            await large.send(head[start : start + size])
            await asyncio.sleep(0.01)

        answer = await large.answer()

        assert (answer.status, answer.code) == (431, "HEAD_TOO_LARGE")
        assert_ours(answer)
        assert "32768 bytes and 64" in answer.body["errors"][0]["message"]


async def test_the_largest_head_that_is_allowed_is_served():
    """Tokens with many claims, and a proxy's own lines, are long."""
    lines = b"".join(b"x-%d: %s\r\n" % (number, b"v" * 500) for number in range(60))
    async with serving() as bff:
        allowed = await bff.connect()
        await allowed.send(GET + lines + b"\r\n")

        assert (await allowed.answer()).status == 200


async def test_a_body_that_comes_byte_by_byte_is_cut():
    """The time is of the whole body: each byte alone is quick enough."""
    async with serving(**SHORT) as bff:
        head, body = bff.request("Dashboard")
        slow = await bff.connect()
        with capture_logs() as events:
            await slow.send(head)
            dripping = asyncio.create_task(drip(slow, body))
            answer = await slow.answer()
            dripping.cancel()

        assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
        assert answer.body["errors"][0]["extensions"]["retryable"] is True
        assert await slow.rest() == b""
        assert [event["code"] for event in events if event["event"] == "request.refused"] == [
            "REQUEST_TIMEOUT"
        ]
        assert bff.sandbox.calls == [] or all(call.path == "/health" for call in bff.sandbox.calls)


async def test_a_body_in_time_leaves_the_answer_all_its_time():
    """Only the body is timed: an answer that takes longer, or a stream, is none of its business."""
    async with serving(**FAIR) as bff:
        bff.sandbox.faults["refund-engine"] = "slow:2000"
        head, body = bff.request("RecoveryMetrics")
        patient = await bff.connect()
        await patient.send(head, body[:10])
        await asyncio.sleep(0.1)
        await patient.send(body[10:])

        answer = await patient.answer()

        assert answer.status == 200
        assert "errors" not in answer.body


async def test_a_body_nobody_reads_does_not_keep_the_connection():
    """An answer that needs no body was given; what still drips in must end."""
    async with serving(**FAIR) as bff:
        dripping = await bff.connect()
        await dripping.send(b"GET /livez HTTP/1.1\r\nhost: bff\r\ncontent-length: 100000\r\n\r\n")
        assert (await dripping.answer()).status == 200

        writing = asyncio.create_task(drip(dripping, b"x" * 1000))
        assert await dripping.rest() == b""
        writing.cancel()


async def test_a_good_client_beside_two_hundred_slow_ones():
    """Slow connections fill the house: each new one takes the place of the one that has dawdled longest."""
    async with serving(connections=50, head_wait_s=30) as bff:
        for _ in range(200):
            await (await bff.connect()).send(b"GET / HT")
        await asyncio.sleep(0.1)

        head, body = bff.request("RecoveryMetrics")
        answers = []
        for _ in range(5):
            good = await bff.connect()
            await good.send(head, body)
            answers.append(await good.answer())

        assert [answer.status for answer in answers] == [200] * 5
        assert all("errors" not in answer.body for answer in answers)
        assert len(bff.server.server_state.connections) <= 51


async def test_one_too_many_is_told_when_to_come_again():
    """All connections at work: no place to take, so the new one is told; the probe of life is answered."""
    async with serving(connections=8, cors=CorsSettings(origins=(PAGE,))) as bff:
        bff.sandbox.faults["refund-engine"] = "slow:2000"
        head, body = bff.request("RecoveryMetrics")
        at_work = [await (await bff.connect()).send(head, body) for _ in range(8)]
        async with asyncio.timeout(WITHIN_S):
            while bff.app.state.drain.under_way < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        late = await bff.connect()
        more_head, body = bff.request("RecoveryMetrics", more={"origin": PAGE})
        await late.send(more_head, body)
        refused = await late.answer()
        probe = await bff.connect()
        await probe.send(GET + b"\r\n")

        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "SERVER_BUSY", "1")
        assert refused.body["errors"][0]["extensions"]["retryAfterMs"] == 1000
        assert_ours(refused)
        assert refused.headers["access-control-allow-origin"] == PAGE
        [row] = await written_down(bff)
        assert (row["kind"], row["action"], row["source"]) == ("refusal", "crowd", "127.0.0.1")
        assert (await probe.answer()).status == 200
        assert [(await connection.answer()).status for connection in at_work] == [200] * 8


async def test_who_we_are_is_not_told_and_nobody_else_is_believed():
    """No server's name; an address that a client claims is not taken for its own unless a proxy is named."""
    async with serving() as bff:
        asking = await bff.connect()
        await asking.send(GET + b"x-forwarded-for: 10.1.2.3\r\n\r\n")

        assert "server" not in (await asking.answer()).headers
        assert bff.server.config.proxy_headers is False
