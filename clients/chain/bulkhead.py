"""The bulkhead: one slow service must not hold every connection and every seller's request."""

import anyio
import httpx

from clients.failures import BulkheadFull

IN_FLIGHT_AT_MOST = 25
QUEUE_S = 0.5  # far below a service's limit; shorter, and our own busy loop would look like an outage


class Bulkhead(httpx.AsyncBaseTransport):
    """Lets so many requests through at once; the next waits a moment, and then gives up."""

    def __init__(self, inner: httpx.AsyncBaseTransport, in_flight_at_most: int = IN_FLIGHT_AT_MOST) -> None:
        self._inner = inner
        self._places = anyio.Semaphore(in_flight_at_most)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            self._places.acquire_nowait()  # without waiting where there is room: we may be slow to come back
        except anyio.WouldBlock:
            await self._queue()
        try:
            return await self._inner.handle_async_request(request)
        finally:
            self._places.release()

    async def _queue(self) -> None:
        try:
            with anyio.fail_after(QUEUE_S):
                await self._places.acquire()
        except TimeoutError as exc:
            raise BulkheadFull() from exc

    async def aclose(self) -> None:
        await self._inner.aclose()
