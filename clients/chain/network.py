"""The last link in production: aiohttp's pool behind httpx's interface, which remembers no cookies.

aiohttp's pool and requests are used without `ClientSession` before them: what that adds (cookies, redirects,
authentication, proxies, tracing) is not wanted here, and costs a third of the request. Its parts have no
promised interface, hence the narrow range of aiohttp's versions in `pyproject.toml`.
"""

import asyncio
import functools
from collections.abc import AsyncIterator
from weakref import WeakSet

import aiohttp
import httpx
from yarl import URL

from clients.chain.request import address_of
from clients.failures import AnswerTooLarge

DNS_KEPT_S = 30
CHUNK_BYTES = 16 * 1024  # of a body that is read piece by piece
BODY_BYTES_AT_MOST = 8 * 1024 * 1024  # 500 rows, the longest page, have half a megabyte
ASKED_ANEW = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, section 9.2.2
ANEW = "asked_anew"  # the request extension that is there once it was: a question is asked anew once


class Network(httpx.AsyncBaseTransport):
    """Sends over aiohttp, and builds of httpx's objects what is read of them.

    No cookie jar: with one, one seller's cookies travel with the next seller's call. No redirects either.
    """

    def __init__(self, *, connections: int) -> None:
        """
        Args:
            connections: open ones at most, to all hosts.
        """
        self._connections = connections
        self._pool: aiohttp.TCPConnector | None = None
        self._used: WeakSet[asyncio.Protocol] = WeakSet()  # connections that have carried a request

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the head of the answer; `aread` or `aiter_bytes` reads its body.

        Raises:
            httpx.RequestError: see `error_of`.
        """
        try:
            answer = await self._send(request)
        except aiohttp.ClientError as exc:
            raise error_of(exc) from exc
        except OSError as exc:
            if isinstance(exc, TimeoutError) and exc.errno is None:  # of whoever waits, not of a socket
                raise
            raise httpx.ReadError(type(exc).__name__) from exc
        return _Answer(answer, request)

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse:
        loop = asyncio.get_running_loop()
        if self._pool is None:  # not earlier: it belongs to the loop that runs
            self._pool = aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=DNS_KEPT_S)
        asked = aiohttp.ClientRequest(
            request.method,
            URL(address_of(request)),
            headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
            data=request.content or None,
            loop=loop,
            response_class=aiohttp.ClientResponse,
        )
        waits: dict[str, float] = request.extensions.get("timeout", {})
        timeout = _timeout(waits.get("connect"), waits.get("read"), waits.get("pool"))
        try:
            connection = await self._pool.connect(asked, traces=[], timeout=timeout)
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError from exc
        protocol, answer = connection.protocol, None
        assert protocol is not None, "until it is closed"
        lay_idle = protocol in self._used
        self._used.add(protocol)
        try:
            protocol.set_response_params(
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,  # httpx does, and by the headers that it sees
                read_timeout=timeout.sock_read,
            )
            answer = await asked.send(connection)
            return await answer.start(connection)
        except BaseException as exc:
            if answer is not None:
                answer.close()
            asked.terminate()
            connection.close()
            # The service may have closed an idle connection at the moment we took it: RFC 9112, 9.3.1.
            gone = lay_idle and isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
            if not gone or request.method not in ASKED_ANEW or ANEW in request.extensions:
                raise
        request.extensions[ANEW] = True
        return await self._send(request)


class _Answer(httpx.Response):
    """An answer whose body is taken in one piece where its length is told and nothing has to be decoded."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        super().__init__(answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request)
        self._answer = answer
        self._whole: bytes | None = None

    @property
    def content(self) -> bytes:
        return super().content if self._whole is None else self._whole

    async def aread(self) -> bytes:
        """The body, whole.

        Raises:
            AnswerTooLarge: it is longer than `BODY_BYTES_AT_MOST`, as it came or unpacked.
        """
        if self._whole is None:
            length = self._answer.content_length
            if length is not None and length > BODY_BYTES_AT_MOST:
                raise AnswerTooLarge
            if length is None or "content-encoding" in self.headers:
                self._whole = await self._piece_by_piece()
            else:
                self._whole = await self._in_one_piece()
        return self._whole

    async def _in_one_piece(self) -> bytes:
        try:
            whole = await self._answer.read()
        except aiohttp.ClientError as exc:
            raise error_of(exc) from exc
        self.is_closed = True  # at its end the connection went back to the pool
        return whole

    async def _piece_by_piece(self) -> bytes:
        whole = bytearray()
        async for piece in self.aiter_bytes():
            whole += piece
            if len(whole) > BODY_BYTES_AT_MOST:
                raise AnswerTooLarge
        return bytes(whole)


class _Body(httpx.AsyncByteStream):
    """The same body piece by piece, as it comes over the wire."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_chunked(CHUNK_BYTES):
                yield chunk
        except aiohttp.ClientError as exc:
            raise error_of(exc) from exc

    async def aclose(self) -> None:
        self._answer.release()  # a body that was not read to its end takes its connection with it
        await self._answer.wait_for_close()


@functools.lru_cache(maxsize=64)
def _timeout(connect_s: float | None, read_s: float | None, pool_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect_s, sock_read=read_s, connect=pool_s)


def error_of(exc: aiohttp.ClientError) -> httpx.RequestError:
    """The error in httpx's words.

    aiohttp                     httpx
    connection not in time      ConnectTimeout        surely nothing was sent
    refused, no such name       ConnectError          surely nothing was sent
    no word in time             ReadTimeout
    reset, cut short            ReadError
    closed without an answer    RemoteProtocolError
    no HTTP                     RemoteProtocolError
    no HTTP address             UnsupportedProtocol   surely nothing was sent
    """
    kinds: tuple[tuple[type[aiohttp.ClientError], type[httpx.RequestError]], ...] = (
        (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
        (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
        (aiohttp.ClientConnectorError, httpx.ConnectError),
        (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
        (aiohttp.ClientConnectionError, httpx.ReadError),
        (aiohttp.ClientPayloadError, httpx.ReadError),
        (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
        (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    )
    kind = next((kind for known, kind in kinds if isinstance(exc, known)), httpx.RemoteProtocolError)
    return kind(type(exc).__name__)  # its text can name an address, and an address a seller
