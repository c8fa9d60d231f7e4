"""Clients that ask without pause: raw HTTP/1.1 over kept connections, one request at a time on each."""

import asyncio
import time
from functools import partial
from itertools import cycle, islice
from typing import cast

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_ERRORS = b'"errors":['


class Refused(Exception):
    """A server answered otherwise than with data."""


class Client(asyncio.Protocol):
    """One connection: sends the request again as soon as the answer has come, until the time is over."""

    transport: asyncio.Transport

    def __init__(self, request: bytes, ends_at_s: float) -> None:
        self._request, self._ends_at_s = request, ends_at_s
        self._received = bytearray()
        self._needed = 0
        self._sent_at_s = 0.0
        self.latencies_s: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its bases
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._needed:
            end = self._received.find(_END)
            if end < 0:
                return
            head = bytes(self._received[:end])
            at = head.lower().find(_LENGTH)
            if at < 0 or not head.startswith(b"HTTP/1.1 200"):
                self._fail()
                return
            self._needed = end + len(_END) + int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._received) < self._needed:
            return
        now_s = time.perf_counter()
        self.latencies_s.append(now_s - self._sent_at_s)
        if _ERRORS in self._received:
            self._fail()
        elif now_s < self._ends_at_s:
            self._send()
        else:
            self.transport.close()
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or Refused("the connection was closed"))

    def _send(self) -> None:
        self._received.clear()
        self._needed = 0
        self._sent_at_s = time.perf_counter()
        self.transport.write(self._request)

    def _fail(self) -> None:
        self.transport.abort()
        told = bytes(self._received)
        self.ended.set_exception(Refused(told[max(0, told.find(_ERRORS)) :][:2000].decode(errors="replace")))


async def load(port: int, requests: list[bytes], *, clients: int, seconds: float) -> list[float]:
    """Let clients ask at once; each ends with the first answer after `seconds`, or its first when later.

    Args:
        requests: the bytes of a request for each client, taken in turn.

    Returns:
        How long each request took, in seconds.

    Raises:
        Refused: an answer was not 200, or carried errors.
    """
    loop, began_s = asyncio.get_running_loop(), time.perf_counter()
    asking = []
    for request in islice(cycle(requests), clients):
        _, client = await loop.create_connection(
            partial(Client, request, began_s + seconds), "127.0.0.1", port
        )
        asking.append(client)
    await asyncio.gather(*(client.ended for client in asking))
    return [latency_s for client in asking for latency_s in client.latencies_s]
