"""The last link of production over real sockets, and the requests that it sends."""

import asyncio
import gzip
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat

import aiohttp
import httpx
import pytest

from clients.chain.network import BODY_BYTES_AT_MOST, Network, error_of
from clients.chain.request import Asked
from clients.failures import AnswerTooLarge, never_left

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None] | None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network(connections=1)
    yield network
    await network.aclose()


@asynccontextmanager
async def server_that(answer: Answer) -> AsyncIterator[str]:
    """A bare server; `answer` is given each request, head and body."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(dict(fields(head)).get("content-length", "0"))
                waiting = answer(head + await reader.readexactly(length), writer)
                if waiting:
                    await waiting
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has left, or the test has ended
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def fields(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode().split("\r\n\r\n")[0].split("\r\n")[1:]
    return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]


def asked(address: str, method: str = "GET", content: bytes = b"", **headers: str) -> Asked:
    return Asked(
        method,
        address,
        headers={"host": httpx.URL(address).netloc.decode(), **headers},
        content=content,
        extensions={"timeout": {"connect": 0.5}},
    )


@pytest.mark.parametrize("params", [{}, {"limit": 20, "status": "a b&c=d/ü+"}, {"q": "", "on": "true"}])
@pytest.mark.parametrize("path", ["/api/v1/claims", "/a/..%2Fx/%3F", "/a/%C3%BC%2520"])
def test_an_address_means_what_httpx_makes_of_it(path, params):
    """It is put together as text: nothing in it may come to mean another thing than httpx's own would."""
    own = httpx.Request("GET", f"https://a.test:8443{path}", params=params or None)
    query = f"?{httpx.QueryParams(params)}" if params else ""

    request = asked(f"https://a.test:8443{path}{query}")

    assert request.url.raw_path == own.url.raw_path
    assert dict(request.url.params) == dict(own.url.params)
    assert dict(request.headers) == dict(own.headers)


@pytest.mark.parametrize(("method", "content"), [("GET", b""), ("POST", b'{"a":"\xc3\xbc"}'), ("PUT", b"")])
async def test_what_is_sent_is_what_the_request_says(network, method, content):
    """Each header once, the body whole, and nothing of the session's that a service could take offence at."""
    heard: list[bytes] = []

    def answer(request, writer):
        heard.append(request)
        writer.write(HEAD % 2 + b"{}")

    async with server_that(answer) as address:
        headers = {"x-request-deadline-ms": "1999"}
        if method != "GET":
            headers |= {"content-length": str(len(content))}
        request = asked(address, method, content, accept="application/json", **headers)
        response = await network.handle_async_request(request)
        await response.aread()
        await response.aclose()

    [request_heard] = heard
    assert request_heard.startswith(f"{method} /a HTTP/1.1\r\n".encode())
    assert request_heard.endswith(b"\r\n\r\n" + content)
    told = fields(request_heard)
    assert len(dict(told)) == len(told)
    assert set(dict(request.headers).items()) <= set(told)
    assert dict(told).keys() - request.headers.keys() <= {"accept-encoding", "user-agent", "content-type"}


async def test_an_answer_that_is_packed_is_unpacked_once(network):
    """Services behind a proxy answer gzip: read as it came, each would be a broken contract."""
    packed = gzip.compress(b'{"a":1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with server_that(lambda _, writer: writer.write(head + packed)) as address:
        response = await network.handle_async_request(asked(address))

        assert (await response.aread(), response.content, response.json()) == (
            b'{"a":1}',
            b'{"a":1}',
            {"a": 1},
        )
        await response.aclose()


async def test_a_body_can_be_left_before_its_end(network):
    """Who bounds what it reads, as the issuer's keys are read, must not wait for the rest of it."""

    async def never_end(_, writer):
        writer.write(HEAD % 10**9)
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()

    async with server_that(never_end) as address:
        response = await network.handle_async_request(asked(address))
        async for chunk in response.aiter_bytes():
            assert chunk.startswith(b"x")
            break
        await response.aclose()
        again = await network.handle_async_request(asked(address))  # the only connection is free again
        await again.aclose()


def told_too_long() -> Iterator[bytes]:
    yield HEAD % (BODY_BYTES_AT_MOST + 1)
    yield from repeat(b"x" * 2**16)


def without_an_end() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from repeat(b"10000\r\n" + b"x" * 2**16 + b"\r\n")


def packed_too_long() -> Iterator[bytes]:
    packed = gzip.compress(b" " * (BODY_BYTES_AT_MOST + 1))
    yield b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    yield packed


@pytest.mark.parametrize("too_long", [told_too_long, without_an_end, packed_too_long])
async def test_nobody_reads_on_where_an_answer_is_too_long(network, too_long):
    """One service that has lost its mind could take the memory of all the others' answers."""
    sent_bytes, answers = 0, 0

    async def answer(_, writer):
        nonlocal sent_bytes, answers
        answers += 1
        if answers > 1:
            writer.write(HEAD % 2 + b"{}")
            return
        for piece in too_long():
            writer.write(piece)
            await writer.drain()
            sent_bytes += len(piece)

    async with server_that(answer) as address:
        response = await network.handle_async_request(asked(address))
        with pytest.raises(AnswerTooLarge):
            await response.aread()
        await response.aclose()
        again = await network.handle_async_request(asked(address))  # the only connection is free again

        assert await again.aread() == b"{}"
        await again.aclose()
    assert sent_bytes < 2 * BODY_BYTES_AT_MOST  # what the sockets' buffers hold comes on top


async def test_a_long_answer_is_read_to_its_end(network):
    """The bound must not cut what is merely long, with its length told or without."""
    half = b"x" * (BODY_BYTES_AT_MOST // 2)
    chunk = b"%x\r\n%b\r\n" % (len(half), half)
    answers = iter(
        [
            HEAD % (2 * len(half)) + half + half,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + b"0\r\n\r\n",
        ]
    )
    async with server_that(lambda _, writer: writer.write(next(answers))) as address:
        for _ in range(2):
            response = await network.handle_async_request(asked(address))
            assert await response.aread() == response.content == half + half
            await response.aclose()


async def test_a_redirect_is_an_answer(network):
    """A service that sends a seller's token elsewhere has no business doing so."""
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    heard: list[bytes] = []

    def answer(request, writer):
        heard.append(request)
        writer.write(moved)

    async with server_that(answer) as address:
        response = await network.handle_async_request(asked(address))
        await response.aread()
        await response.aclose()

    assert (response.status_code, response.headers["location"], len(heard)) == (307, "/b", 1)


@pytest.mark.parametrize(("method", "requests"), [("GET", 3), ("POST", 2)])
async def test_a_connection_that_was_closed_as_it_was_taken(network, method, requests):
    """Idle connections that a service closes cost no error where asking anew is safe, and no second write."""
    heard: list[bytes] = []

    def answer(request, writer):
        heard.append(request)
        if len(heard) == 2:
            writer.close()
        else:
            writer.write(HEAD % 2 + b"{}")

    async def ask(address):
        response = await network.handle_async_request(asked(address, method, **{"content-length": "0"}))
        await response.aread()
        await response.aclose()

    async with server_that(answer) as address:
        await ask(address)
        if method == "GET":
            await ask(address)
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                await ask(address)

    assert len(heard) == requests


async def test_a_new_connection_that_dies_is_no_idle_one(network):
    """A service that takes requests and closes is failing: whether to ask twice is a matter of its budget."""
    heard: list[bytes] = []

    def hang_up(request, writer):
        heard.append(request)
        writer.close()

    async with server_that(hang_up) as address:
        with pytest.raises(httpx.RemoteProtocolError):
            await network.handle_async_request(asked(address))

    assert len(heard) == 1


async def test_a_question_is_asked_anew_once(network):
    """Where each second request on a connection dies, the attempts of one question would be doubled."""
    heard: list[bytes] = []

    def answer(request, writer):
        heard.append(request)
        if len(heard) % 2:
            writer.write(HEAD % 2 + b"{}")
        else:
            writer.close()

    async def ask(request):
        await (await network.handle_async_request(request)).aread()

    async with server_that(answer) as address:
        question = asked(address)
        await ask(asked(address))
        await ask(question)
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(question)

    assert len(heard) == 4


async def test_whoever_leaves_takes_the_connection_along(network):
    """An abandoned request must end at the service too, and must not hold a place in the pool."""
    heard, gone = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        heard.set()
        await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        asking = asyncio.create_task(network.handle_async_request(asked(f"http://127.0.0.1:{port}/")))
        async with asyncio.timeout(5):
            await heard.wait()
            asking.cancel()
            await gone.wait()
        assert asking.cancelled()


async def test_four_hundred_who_leave_hold_no_connection():
    """At whatever moment a client leaves: in the queue, while connecting, sending, waiting or reading."""

    async def answer_in_pieces(_, writer):
        for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 4\r\n\r\n", b"ab", b"cd"):
            writer.write(piece)
            await asyncio.sleep(0.001)

    async def ask(address, nth):
        body = b"x" * 100_000 if nth % 3 == 0 else b""
        method, told = ("POST", {"content-length": str(len(body))}) if body else ("GET", {})
        response = await network.handle_async_request(asked(address, method, body, **told))
        try:
            return await response.aread()
        finally:
            await response.aclose()

    network, dice = Network(connections=5), random.Random(1)
    async with server_that(answer_in_pieces) as address:
        for _ in range(20):
            leaving = [asyncio.create_task(ask(address, nth)) for nth in range(20)]
            for task in leaving:
                await asyncio.sleep(dice.choice([0, 0, 0.001, 0.003]))
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(ask(address, nth) for nth in range(20)))
        await network.aclose()

    assert answers == [b"abcd"] * 20


async def test_a_second_request_waits_for_the_only_connection(network):
    """The pool is bounded: more requests than connections are asked one after the other."""
    under_way, most = 0, 0

    async def answer(_, writer):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        writer.write(HEAD % 2 + b"{}")

    async def ask(address):
        response = await network.handle_async_request(asked(address))
        await response.aread()
        await response.aclose()

    async with server_that(answer) as address:
        await asyncio.gather(*(ask(address) for _ in range(5)))

    assert most == 1


async def test_errors_of_the_socket_have_httpx_names(network):
    """The chain decides by them what is tried again, and what a write may have done."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/"

    async def read(address: str) -> None:
        response = await network.handle_async_request(asked(address))
        try:
            await response.aread()
        finally:
            await response.aclose()

    async def error(address: str) -> type[Exception]:
        with pytest.raises(httpx.RequestError) as raised:
            await read(address)
        return raised.type

    def say(answer: bytes) -> Answer:
        def say(_, writer):
            writer.write(answer)
            writer.close()

        return say

    assert await error(nobody) is httpx.ConnectError
    async with server_that(say(b"")) as address:
        assert await error(address) is httpx.RemoteProtocolError
    async with server_that(say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as address:
        assert await error(address) is httpx.RemoteProtocolError
    async with server_that(say(HEAD % 99 + b"{")) as address:
        assert await error(address) is httpx.ReadError


@pytest.mark.parametrize(
    ("exc", "kind", "reached_nobody"),
    [
        (aiohttp.ClientConnectorError(None, OSError(111, "refused")), httpx.ConnectError, True),
        (aiohttp.ClientConnectorDNSError(None, OSError(-2, "not known")), httpx.ConnectError, True),
        (aiohttp.ConnectionTimeoutError(), httpx.ConnectTimeout, True),
        (aiohttp.InvalidURL("a"), httpx.UnsupportedProtocol, True),
        (aiohttp.NonHttpUrlClientError("ftp://a"), httpx.UnsupportedProtocol, True),
        (aiohttp.SocketTimeoutError(), httpx.ReadTimeout, False),
        (aiohttp.ClientOSError(104, "reset by peer"), httpx.ReadError, False),
        (aiohttp.ClientConnectionResetError(), httpx.ReadError, False),
        (aiohttp.ClientPayloadError(), httpx.ReadError, False),
        (aiohttp.ServerDisconnectedError(), httpx.RemoteProtocolError, False),
        (aiohttp.ClientResponseError(None, ()), httpx.RemoteProtocolError, False),
        (aiohttp.ClientError(), httpx.RemoteProtocolError, False),
    ],
)
def test_only_what_never_left_is_told_as_that(exc, kind, reached_nobody):
    """A refusal reached nobody; a reset may have come after the work: a seller is charged twice, or not."""
    error = error_of(exc)

    assert (type(error), never_left(error)) == (kind, reached_nobody)
