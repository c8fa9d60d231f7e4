"""Whose operation begins next: a viewer with hundreds of them does not make another viewer wait for all.

One process works on one thing at a time, and goes round all that can go on. While a round is short everybody
begins at once, also those who will wait for a slow service: waiting costs nobody anything. When rounds grow
long, each viewer has a few operations that are worked on; the others begin as these end, or, viewer after
viewer, in rounds that are short again. Nobody is refused: what waits here is nearer to its own deadline.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable

from clients.caller import Viewer

AT_ONCE = 2  # of one viewer, however long a round is
SHORT_ROUND_S = 0.001  # on the average: an operation takes twenty to forty rounds
ROUNDS = 10  # that the average is over, more or less: those in which an answer is put together are long
COUNTED_S = 0.25  # whatever takes longer waits for a service, or for its next event


class Turns:
    """The operations of one process that are worked on, and those that wait for their turn."""

    def __init__(self) -> None:
        self._at_work: Counter[str] = Counter()  # by the viewer's user id
        # Whose turn is next comes first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._going_round = False
        self._round_s = 0.0

    @contextlib.asynccontextmanager
    async def turn(self, viewer: Viewer) -> AsyncIterator[Callable[[], None]]:
        """Wait until an operation of the viewer may begin; it is counted while the block lasts.

        Yields what may be called before: from then on it is not counted.
        """
        whose = viewer.user_id
        if self._at_work[whose] >= AT_ONCE:
            await self._wait(whose)
        else:
            self._at_work[whose] += 1
        counted = True

        def ended() -> None:
            nonlocal counted
            if counted:
                counted = False
                forgetting.cancel()
                self._leave(whose)

        forgetting = asyncio.get_running_loop().call_later(COUNTED_S, ended)
        try:
            yield ended
        finally:
            ended()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def _wait(self, whose: str) -> None:
        begins = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(begins)
        if not self._going_round:
            self._going_round = True
            asyncio.get_running_loop().call_soon(self._gone_round, time.perf_counter(), True)
        try:
            await begins
        except asyncio.CancelledError:
            if not begins.cancelled():  # its turn had come
                self._leave(whose)
            raise

    def _leave(self, whose: str) -> None:
        self._at_work[whose] -= 1
        if self._at_work[whose] < AT_ONCE:
            self._begin_next(whose)
        if not self._at_work[whose]:
            del self._at_work[whose]

    def _gone_round(self, began_s: float, first: bool = False) -> None:
        now_s = time.perf_counter()
        took_s = now_s - began_s
        self._round_s = took_s if first else self._round_s + (took_s - self._round_s) / ROUNDS
        if self._waiting and self._round_s < SHORT_ROUND_S:
            self._begin_next(next(iter(self._waiting)))
        self._going_round = bool(self._waiting)
        if self._going_round:
            asyncio.get_running_loop().call_soon(self._gone_round, now_s)

    def _begin_next(self, whose: str) -> None:
        crowd = self._waiting.get(whose)
        while crowd:
            begins = crowd.popleft()
            if not begins.done():  # its client has not left
                self._at_work[whose] += 1
                begins.set_result(None)
                break
        if crowd:
            self._waiting.move_to_end(whose)
        else:
            self._waiting.pop(whose, None)
