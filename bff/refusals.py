"""Who was turned away: every one counted, and told to the log at a pace that no flood can quicken."""

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from starlette.requests import HTTPConnection

log = structlog.get_logger()

AGAIN_AFTER_S = 60.0  # between two events of one kind about one source
EVENTS_PER_MINUTE = 120  # about all sources: addresses are cheap
SOURCES_KEPT = 4096


class Refusals:
    """Tells what security looks for: failed sign-ins, missing scopes, wrong keys, foreign pages, crowds."""

    def __init__(
        self,
        count: Callable[[str, str], None],
        record: Callable[[HTTPConnection, str, str, str | None], None],
    ) -> None:
        """
        Args:
            count: told of each refusal: its kind (sign_in, scope, key, guard, crowd) and its reason.
            record: told the same for the audit log: the request, kind, reason, and the viewer if known.
        """
        self._count = count
        self._record = record
        self._pace = Pace()

    def sign_in(self, connection: HTTPConnection, reason: str) -> None:
        """A request proved nobody: its token is missing, expired, invalid, or cannot be checked now."""
        self._tell(connection, "sign_in", reason)

    def scope(self, connection: HTTPConnection, scope: str, viewer_id: str) -> None:
        """A viewer asked for what the token does not open."""
        self._tell(connection, "scope", scope, viewer_id=viewer_id)

    def key(self, connection: HTTPConnection, door: str) -> None:
        """A program showed no key that is known."""
        self._tell(connection, "key", door)

    def guard(self, connection: HTTPConnection, reason: str) -> None:
        """A request came from a page that may not ask (origin), or called us by another's name (host)."""
        self._tell(connection, "guard", reason)

    def crowd(self, connection: HTTPConnection) -> None:
        """There was no place for a connection."""
        self._tell(connection, "crowd", "connections")

    def _tell(self, connection: HTTPConnection, kind: str, reason: str, **facts: str) -> None:
        self._count(kind, reason)
        self._record(connection, kind, reason, facts.get("viewer_id"))
        source = connection.client.host if connection.client else "unknown"
        untold = self._pace.admits((source, kind))
        if untold is not None:
            event = f"{kind}.refused"
            log.warning(event, source=source, reason=reason, untold=untold, **facts)


class Pace:
    """One event a minute about each source, and a bounded number about all."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()  # when last, silent since
        self._minute = 0
        self._in_this_minute = 0

    def admits(self, about: tuple[str, str]) -> int | None:
        """Whether to tell of it: how many were kept silent since the last time; None keeps silent."""
        now_s = time.monotonic()
        told_at_s, silent = self._told.pop(about, (float("-inf"), 0))
        if now_s - told_at_s < AGAIN_AFTER_S or not self._room(now_s):
            self._keep(about, told_at_s, silent + 1)
            return None
        self._keep(about, now_s, 0)
        return silent

    def _room(self, now_s: float) -> bool:
        minute = int(now_s // 60)
        if minute != self._minute:
            self._minute, self._in_this_minute = minute, 0
        self._in_this_minute += 1
        return self._in_this_minute <= EVENTS_PER_MINUTE

    def _keep(self, about: tuple[str, str], told_at_s: float, silent: int) -> None:
        self._told[about] = told_at_s, silent
        if len(self._told) > SOURCES_KEPT:
            self._told.popitem(last=False)
