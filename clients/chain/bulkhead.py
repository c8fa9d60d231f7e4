"""The bulkhead: one slow service must not hold every connection, and one seller not every place.

So many requests are under way at once; the others wait a moment, and then give up. A place that comes free
goes to the viewers who wait, in turn, however many requests each of them has waiting. Whoever holds more than
half of the places gets none while somebody else waits. Nobody is held back where nobody else waits.
"""

import asyncio
from collections import Counter, OrderedDict

import httpx

from clients.caller import Viewer
from clients.chain.question import question_of
from clients.failures import BulkheadFull

IN_FLIGHT_AT_MOST = 25
QUEUE_S = 0.5  # far below a service's limit; shorter, and our own busy loop would look like an outage

Who = str | None  # None: we ourselves, as the health monitor does
Waiting = OrderedDict[asyncio.Future[None], None]


class Bulkhead(httpx.AsyncBaseTransport):
    """Gives out the places of one service. Each step takes the same time however many wait."""

    def __init__(self, inner: httpx.AsyncBaseTransport, in_flight_at_most: int = IN_FLIGHT_AT_MOST) -> None:
        self._inner = inner
        self._free = in_flight_at_most
        self._half = in_flight_at_most // 2 + 1  # one viewer at most holds so many: one is passed over
        self._held: Counter[Who] = Counter()
        self._turns: OrderedDict[Who, Waiting] = OrderedDict()  # who waits, the next in turn first

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        who = _who(question_of(request).caller.viewer)
        if self._free:  # without waiting where there is room: we may be slow to come back
            self._take(who)
        else:
            await self._queue(who)
        try:
            return await self._inner.handle_async_request(request)
        finally:
            self._give_back(who)

    async def aclose(self) -> None:
        await self._inner.aclose()

    @property
    def taken(self) -> int:
        """Places that are taken just now."""
        return self._held.total()

    async def _queue(self, who: Who) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.setdefault(who, OrderedDict())[place] = None
        try:
            async with asyncio.timeout(QUEUE_S):
                await place
        except BaseException as exc:
            if place.done() and not place.cancelled():  # it was given in the same moment
                self._give_back(who)
            else:
                self._leave(who, place)
            if isinstance(exc, TimeoutError):
                raise BulkheadFull() from exc
            raise

    def _take(self, who: Who) -> None:
        self._free -= 1
        self._held[who] += 1

    def _give_back(self, who: Who) -> None:
        self._free += 1
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
        while self._turns and self._free:
            self._serve(self._next())

    def _next(self) -> Who:
        first = next(iter(self._turns))
        if len(self._turns) > 1 and self._held[first] >= self._half:
            self._turns.move_to_end(first)
            return next(iter(self._turns))
        return first

    def _serve(self, who: Who) -> None:
        place, _ = self._turns[who].popitem(last=False)
        self._turns.move_to_end(who)
        if not self._turns[who]:
            del self._turns[who]
        if not place.done():  # else whoever waited is leaving
            self._take(who)
            place.set_result(None)

    def _leave(self, who: Who, place: asyncio.Future[None]) -> None:
        waiting = self._turns.get(who)
        if waiting and place in waiting:  # it may have been passed over already
            del waiting[place]
            if not waiting:
                del self._turns[who]


def _who(viewer: Viewer | None) -> Who:
    return viewer.user_id if viewer else None
