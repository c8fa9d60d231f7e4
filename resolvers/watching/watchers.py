"""Watchers: who listens to what, in this process; and what other replicas have seen.

kind     read by        feeds
claim    ClaimReader    claimUpdated
sync     SyncReader     syncProgress, detectionProgress
health   the monitor    serviceHealth; no service is asked

A poll belongs to one viewer: two viewers never share one. Its pace is the setting's, slower as the owner's
quota shrinks; when little is left of that, only rounds that somebody waits for are run.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from clients.bus import Bus
from clients.caller import Viewer
from clients.directory import Directory
from clients.health import HealthMonitor, ServiceState
from clients.quota import Quota
from resolvers.watching.claims import Begin, ClaimReader
from resolvers.watching.listener import Listener, Told
from resolvers.watching.poll import Poll
from resolvers.watching.syncs import SyncReader

Kind = Literal["claim", "sync"]
Health = dict[str, tuple[ServiceState, str]]  # service → what the monitor sees, and its circuit
T = TypeVar("T")
Admit = Callable[[], Awaitable[None]]  # waits until the viewer may be told of one more change


class Stream(NamedTuple):
    """What kind of stream it is, for whoever counts."""

    transport: str  # websocket, sse, multipart
    subscription: str  # its field


class Counts(Protocol):
    """Counts streams and their events; `bff/metrics.py`."""

    def stream_opened(self, stream: Stream) -> None: ...

    def stream_closed(self, stream: Stream) -> None: ...

    def event_sent(self, stream: Stream) -> None: ...

    def event_skipped(self, stream: Stream) -> None: ...


CHANNEL = "opside:changes"
JITTER = 0.1  # of the pace, so that replicas and viewers do not ask in step
SLOWEST_SHARE = 0.2  # of a quota, at which polls are five times slower; below it they are spared
HEALTH_EVERY_S = 0.25  # looks at what is in memory
HEALTH = "health"  # the one object of its kind


class Watchers:
    """All polls of one process."""

    def __init__(
        self,
        begin: Begin,
        directory: Directory,
        monitor: HealthMonitor,
        bus: Bus,
        *,
        every_s: float,
        counts: Counts,
    ) -> None:
        """
        Args:
            begin: makes the caller and loaders of one round.
            bus: tells other replicas of what was seen here, and this one of theirs.
            every_s: pace of a poll whose owner's quota is untouched.
            counts: told of each stream and event.
        """
        self._directory = directory
        self._monitor = monitor
        self._bus = bus
        self._every_s = every_s
        self._counts = counts
        self._replica = uuid.uuid4().hex  # to know our own messages by
        self._telling: set[asyncio.Task[None]] = set()
        self._polls: dict[tuple[str, str], Poll[Any]] = {}  # kind, viewer
        self._readers: dict[str, Callable[[], Any]] = {
            "claim": lambda: ClaimReader(begin),
            "sync": lambda: SyncReader(begin),
        }
        self._paces = {
            "claim": QuotaPace(every_s, lambda: directory.quota("refund-engine")),
            "sync": QuotaPace(every_s, lambda: directory.quota("integrations")),
        }

    async def watch(
        self,
        kind: Kind,
        viewer: Viewer,
        keys: Iterable[str],
        *,
        moved: Callable[[Any, Any], bool],
        stream: Stream,
        admit: Admit,
    ) -> AsyncGenerator[Told[Any], None]:
        """The events of one stream: a snapshot of each object, then each change, until it is closed.

        Args:
            admit: awaited before each change, which is then told as it is by then.

        Raises:
            NothingThere: one of the objects is not there, or is not the viewer's.
            UpstreamError: the owner did not answer the first round.
        """
        poll = self._poll(kind, viewer)
        return await self._events(poll, viewer, keys, moved=moved, stream=stream, admit=admit)

    async def watch_health(
        self, viewer: Viewer, *, stream: Stream, admit: Admit
    ) -> AsyncGenerator[Told[Health], None]:
        """The same of all services. Nobody is asked; the monitor knows."""
        key = (HEALTH, "")
        poll = self._polls.get(key)
        if poll is None:
            poll = self._polls[key] = Poll(
                self._health, _Steady(), on_change=lambda *_: None, on_idle=lambda: self._forget(key)
            )
        return await self._events(poll, viewer, [HEALTH], moved=_health_moved, stream=stream, admit=admit)

    def changed(self, viewer: Viewer, kind: Kind, key: str) -> None:
        """Something of the viewer's was just changed here: whoever watches it, on any replica, looks at once.

        Args:
            key: of the claim (UUID) or the sync.
        """
        if poll := self._polls.get((kind, viewer.user_id)):
            poll.wake()
        self._tell(kind, viewer.user_id, key, time.time())

    async def run(self) -> None:
        """Heed what other replicas see, until cancelled."""
        async for message in self._bus.listen(CHANNEL):
            replica, kind, user_id, _key, seen_at_ms = [
                *message.decode("ascii", "replace").split(" "),
                *[""] * 4,
            ][:5]
            poll = self._polls.get((kind, user_id))
            if poll and replica != self._replica and seen_at_ms.isdigit():
                poll.told(int(seen_at_ms) / 1000)

    def close(self) -> None:
        """End every poll."""
        for poll in list(self._polls.values()):
            poll.stop()
        self._polls.clear()

    @property
    def polls(self) -> int:
        """How many polls run."""
        return len(self._polls)

    async def _events(
        self,
        poll: Poll[T],
        viewer: Viewer,
        keys: Iterable[str],
        *,
        moved: Callable[[T, T], bool],
        stream: Stream,
        admit: Admit,
    ) -> AsyncGenerator[Told[T], None]:
        listener = Listener[T](keys, moved=moved, on_skipped=lambda: self._counts.event_skipped(stream))
        await poll.join(viewer, listener)

        async def events() -> AsyncGenerator[Told[T], None]:
            self._counts.stream_opened(stream)
            try:
                while True:
                    if await listener.ready():
                        await admit()
                    told = await listener.next()
                    self._counts.event_sent(stream)
                    yield told
            finally:
                self._counts.stream_closed(stream)
                poll.leave(listener)

        return events()

    def _poll(self, kind: Kind, viewer: Viewer) -> Poll[Any]:
        key = (kind, viewer.user_id)
        poll = self._polls.get(key)
        if poll is None:
            poll = self._polls[key] = Poll(
                self._readers[kind](),
                self._paces[kind],
                on_change=lambda object_key, at_s: self._tell(kind, viewer.user_id, object_key, at_s),
                on_idle=lambda: self._forget(key),
            )
        return poll

    def _forget(self, key: tuple[str, str]) -> None:
        self._polls.pop(key, None)

    def _tell(self, kind: Kind, user_id: str, key: str, seen_at_s: float) -> None:
        said = f"{self._replica} {kind} {user_id} {key} {seen_at_s * 1000:.0f}"
        telling = asyncio.create_task(self._bus.say(CHANNEL, said.encode()))
        self._telling.add(telling)  # a task that nobody holds may vanish
        telling.add_done_callback(self._telling.discard)

    async def _health(
        self, viewer: Viewer, known: Collection[str], new: Collection[str]
    ) -> Mapping[str, Health]:
        return {
            HEALTH: {
                state.service.name: (state, self._directory.circuit(state.service.name).name)
                for state in self._monitor.states()
            }
        }


class QuotaPace:
    """A poll's pace by what is left of its owner's quota."""

    def __init__(self, every_s: float, quota: Callable[[], Quota]) -> None:
        self._every_s = every_s
        self._quota = quota

    def pause_s(self) -> float:
        jittered_s = self._every_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        return jittered_s / max(self._quota().share_left, SLOWEST_SHARE)

    def spared(self) -> bool:
        return self._quota().scarce


class _Steady:
    """The pace of what is read from memory."""

    def pause_s(self) -> float:
        return HEALTH_EVERY_S

    def spared(self) -> bool:
        return False


def _health_moved(before: Health, now: Health) -> bool:
    return bool(moved_services(before, now))


def moved_services(before: Health, now: Health) -> list[str]:
    """The services whose status, reason or circuit differs, in the order of screens."""
    return [name for name, seen in now.items() if _signs(seen) != _signs(before[name])]


def _signs(seen: tuple[ServiceState, str]) -> tuple[Any, ...]:
    state, circuit = seen
    return state.status, state.reason, circuit
