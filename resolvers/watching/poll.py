"""Poll: one viewer's objects of one kind, read in rounds while somebody listens."""

import asyncio
import contextlib
import contextvars
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, Protocol, TypeVar

import structlog

from clients.caller import Viewer
from clients.errors import UpstreamError
from resolvers.watching.listener import Listener

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
log = structlog.get_logger()

SHARED_FOR_S = 1.0  # an older round would show a client less than a query told it just before


class NothingThere(Exception):
    """There is no such object, or it is not the viewer's."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class NotYet(Exception):
    """A reader has not come to this object: one of its next rounds will."""


NOT_YET = NotYet()


class Reader(Protocol[T_co]):
    """Asks the owner what the watched objects of one viewer are like now."""

    async def __call__(
        self, viewer: Viewer, known: Collection[str], new: Collection[str]
    ) -> Mapping[str, T_co | BaseException | None]:
        """One round.

        Args:
            known: objects that were read before; those that cannot have changed may be left out.
            new: objects that were not, all of which must be read, or said to be `NOT_YET`.

        Returns:
            States by key; None where there is no such object, the error where it could not be read. Others
            than those asked for may be among them.

        Raises:
            UpstreamError: nothing could be read at all.
        """


class Pace(Protocol):
    """When the next round is due."""

    def pause_s(self) -> float:
        """From the end of one round to the next, in seconds."""

    def spared(self) -> bool:
        """Whether a round that nobody asked for must not take what is left of the quota."""


class Poll(Generic[T]):
    """Runs from its first listener to its last."""

    def __init__(
        self,
        read: Reader[T],
        pace: Pace,
        *,
        on_change: Callable[[str, float], None],
        on_idle: Callable[[], None],
    ) -> None:
        """
        Args:
            on_change: told of an object that changed, and when that was read (epoch seconds).
            on_idle: told when the last listener has left.
        """
        self._read = read
        self._pace = pace
        self._on_change = on_change
        self._on_idle = on_idle
        self._listeners: dict[Listener[T], Viewer] = {}
        self._listening: defaultdict[str, dict[Listener[T], None]] = defaultdict(dict)  # by object
        self._joining: dict[Listener[T], asyncio.Future[None]] = {}
        self._known: dict[str, T] = {}
        self._read_at_s = 0.0  # epoch; when the latest round that brought something began
        self._due = asyncio.Event()
        self._was_told = False
        self._running: asyncio.Task[None] | None = None

    async def join(self, viewer: Viewer, listener: Listener[T]) -> None:
        """Have a listener told of its objects: their states now, then every change, until it leaves.

        Whoever joins within a second of a round's begin shares what it read; else one more round serves all
        who wait for it.

        Raises:
            NothingThere: one of the objects is not there.
            UpstreamError: the owner did not answer.
        """
        self._listeners[listener] = viewer
        for key in listener.keys:
            self._listening[key][listener] = None
        if self._running is None:
            # Not in the first listener's context: what is asked for all is nobody's request.
            self._running = asyncio.create_task(self._run(), context=contextvars.Context())
        try:
            fresh = time.time() - self._read_at_s < min(SHARED_FOR_S, self._pace.pause_s())
            if not (fresh and all(key in self._known for key in listener.keys)):
                self._joining[listener] = asyncio.get_running_loop().create_future()
                self._due.set()
                await self._joining[listener]
            for key in listener.keys:
                listener.offer(key, self._known[key])
        except BaseException:
            self.leave(listener)
            raise
        finally:
            self._joining.pop(listener, None)

    def leave(self, listener: Listener[T]) -> None:
        """Forget a listener, and all that was known for it alone."""
        if self._listeners.pop(listener, None) is None:
            return
        for key in listener.keys:
            del self._listening[key][listener]
            if not self._listening[key]:
                del self._listening[key]
                self._known.pop(key, None)
        if not self._listeners:
            self.stop()
            self._on_idle()

    def stop(self) -> None:
        """Ask no more."""
        if self._running:
            self._running.cancel()

    def wake(self) -> None:
        """Look now: something was changed here, which other replicas are told by whoever calls this."""
        self._was_told = True
        self._due.set()

    def told(self, seen_at_s: float) -> None:
        """Look now, unless that was done since: another replica saw a change then (epoch seconds)."""
        if seen_at_s > self._read_at_s:
            self._was_told = True
            self._due.set()

    async def _run(self) -> None:
        structlog.contextvars.bind_contextvars(correlation_id=uuid.uuid4().hex)
        while True:
            self._due.clear()
            await self._round()
            while not await self._is_due(within_s=self._pace.pause_s()) and self._pace.spared():
                pass

    async def _is_due(self, *, within_s: float) -> bool:
        """Wait; whether somebody asked for a round before the time was over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._due.wait()
        return self._due.is_set()

    async def _round(self) -> None:
        was_told, self._was_told = self._was_told, False
        joining = dict(self._joining)
        watched = list(self._listening)
        began_at_s, viewer = time.time(), next(reversed(self._listeners.values()))
        try:
            new = [key for key in watched if key not in self._known]
            found = await self._read(viewer, [key for key in watched if key in self._known], new)
        except Exception as error:  # the next round tries again; whoever waits for a first state cannot
            if not isinstance(error, UpstreamError):
                log.exception("watch.broken")
            for waiting in joining.values():
                _settle(waiting, error)
            return
        self._read_at_s = began_at_s
        for key, state in found.items():
            if key in self._listening and state is not None and not isinstance(state, BaseException):
                heard = self._offer(key, state)
                if heard and not was_told:  # whoever was told does not tell: it would go round for ever
                    self._on_change(key, began_at_s)
        for listener, waiting in joining.items():
            why_not = self._why_not(listener, found)
            if why_not is NOT_YET:
                self._due.set()  # the next round, at once: it waits for its snapshot
            else:
                _settle(waiting, why_not)

    def _offer(self, key: str, state: T) -> bool:
        before = self._known.get(key)
        self._known[key] = state
        verdicts: dict[Callable[[T, T], bool], bool] = {}  # thousands may listen, and see in few ways
        heard = False
        for listener in self._listening[key]:
            if listener in self._joining:
                continue
            moved = verdicts.get(listener.moved)
            if moved is None:
                moved = verdicts[listener.moved] = before is None or listener.moved(before, state)
            heard |= moved and listener.offer(key, state)
        return heard

    def _why_not(
        self, listener: Listener[T], found: Mapping[str, T | BaseException | None]
    ) -> BaseException | None:
        for key in listener.keys:
            if key not in self._known:
                state: Any = found.get(key)
                return state if isinstance(state, BaseException) else NothingThere(key)
        return None


def _settle(waiting: asyncio.Future[None], error: BaseException | None) -> None:
    if waiting.done():
        return
    if error:
        waiting.set_exception(error)
    else:
        waiting.set_result(None)
