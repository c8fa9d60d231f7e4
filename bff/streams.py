"""What is open: every stream of this process, how it ends, and how all of them end at once.

ends because          WebSocket       server-sent events, multipart
told a terminal state complete        complete
the token expired     closed 4403     an error UNAUTHENTICATED, then complete
the process leaves    closed 1001     the answer ends, without complete

Over HTTP `complete` means that there is no more to tell. A client that misses it connects again.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any

from graphql import GraphQLError
from strawberry.types.execution import ExecutionResult, PreExecutionError

from bff.errors import explained
from bff.rates import RateLimited
from bff.turns import Turns
from clients.caller import Viewer
from resolvers.context import Context
from resolvers.errors import RequestError

CLOSE_WITHIN_S = 2.0
CLOCK_READ_EVERY_S = 60.0  # it may be set while a stream lives


class SignInAgain(RequestError):
    """The stream outlived the token."""

    code = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("The token has expired. Sign in again, and subscribe with the new one.")


class Streams:
    """The open streams of one process."""

    def __init__(self, may_open: Callable[[Viewer, int], None], *, leeway_s: float) -> None:
        """
        Args:
            leeway_s: how long a token is accepted after its end, in seconds; as when it was shown.
            may_open: told a viewer and how many sockets and HTTP streams of theirs are open; raises
                `RateLimited` when there may not be one more.
        """
        self._may_open = may_open
        self._leeway_s = leeway_s
        self._seats: Counter[str] = Counter()  # by the viewer's user id
        self._closes: dict[object, Callable[[], Awaitable[None]]] = {}
        self.closing = False  # from then on no stream is opened

    @contextlib.contextmanager
    def open(self, close: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Have a stream known while the block lasts; `close` ends it politely."""
        stream = object()
        self._closes[stream] = close
        try:
            yield
        finally:
            del self._closes[stream]

    def check(self, viewer: Viewer) -> None:
        """See that the viewer may open one more.

        Raises:
            RateLimited: they have as many as they may.
        """
        self._may_open(viewer, self._seats[viewer.user_id])

    @contextlib.contextmanager
    def seat(self, viewer: Viewer) -> Iterator[None]:
        """Count one socket or HTTP stream of the viewer while the block lasts.

        Raises:
            RateLimited: they have as many as they may.
        """
        self.check(viewer)
        self._seats[viewer.user_id] += 1
        try:
            yield
        finally:
            self._seats[viewer.user_id] -= 1
            if not self._seats[viewer.user_id]:
                del self._seats[viewer.user_id]

    def valid_for_s(self, viewer: Viewer) -> float:
        """Seconds until the viewer's token is one that nobody accepts."""
        return viewer.expires_at.timestamp() + self._leeway_s - time.time()

    async def close_all(self) -> None:
        """End every stream so that its client connects elsewhere, and open no other."""
        self.closing = True
        with contextlib.suppress(TimeoutError):  # a client that reads nothing is dropped by the server
            async with asyncio.timeout(CLOSE_WITHIN_S):
                closing = (close() for close in list(self._closes.values()))
                await asyncio.gather(*closing, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._closes)


def told(error: RequestError, support_code: str) -> GraphQLError:
    """An error as a client may see it, of the operation as a whole."""
    return explained(GraphQLError(str(error), original_error=error), support_code)


async def until_the_end(
    results: AsyncGenerator[Any, None], context: Context, streams: Streams, turns: Turns
) -> AsyncGenerator[Any, None]:
    """The results of one operation, until it is over, its token has expired or the process leaves.

    The first waits for its turn. Whatever the operation holds is let go in the end, also when a client left.
    """
    leaving = asyncio.Event()
    if streams.closing:
        leaving.set()

    async def leave() -> None:
        leaving.set()

    async with contextlib.aclosing(results), contextlib.AsyncExitStack() as held:
        try:
            held.enter_context(streams.seat(context.viewer))
        except RateLimited as exc:  # others came between, since it was let in
            yield PreExecutionError(data=None, errors=[told(exc, context.support_code)])
            return
        ended = asyncio.create_task(_ended(leaving, context.viewer, streams))
        coming = asyncio.create_task(_in_turn(results, context.viewer, turns))
        try:
            with streams.open(leave):
                while True:
                    await asyncio.wait([coming, ended], return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        if not leaving.is_set():
                            yield ExecutionResult(
                                data=None, errors=[told(SignInAgain(), context.support_code)]
                            )
                        return
                    try:
                        result = coming.result()
                    except StopAsyncIteration:
                        return
                    except GraphQLError as exc:  # nothing could be executed
                        yield PreExecutionError(data=None, errors=[exc])
                        return
                    yield result
                    coming = asyncio.create_task(anext(results))
        finally:
            ended.cancel()
            if not coming.done():
                coming.cancel()
                await asyncio.wait([coming])
            context.caller.leave()


async def _in_turn(results: AsyncGenerator[Any, None], viewer: Viewer, turns: Turns) -> Any:
    async with turns.turn(viewer):
        return await anext(results)


async def _ended(leaving: asyncio.Event, viewer: Viewer, streams: Streams) -> None:
    """Wait until the process leaves or the token has expired."""
    while not leaving.is_set() and (left_s := streams.valid_for_s(viewer)) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, CLOCK_READ_EVERY_S)):
                await leaving.wait()
