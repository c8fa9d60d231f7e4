"""What is left of a service's patience: most allow 100 requests per 15 minutes, all sellers together.

Read from the headers of every answer. When it is used up nothing is sent, because a 429 only makes the wait
longer; when little is left, probes slow down, optional fields are not asked for, and each viewer may take a
fair share of it: what was left, divided by the viewers of this window and one who may still come.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Mapping

SCARCE_SHARE = 0.2  # of the limit: below it only what a screen cannot do without is asked for
VIEWERS_COUNTED = 1000  # of a window; with more the share is one request each, anyway
RESET_TRUSTED_S = 3600.0  # the services' windows are 15 minutes; more than an hour is nonsense
SAME_WINDOW_S = 5.0  # between two ends that are one: told in whole seconds, by answers that were on their way


class Quota:
    """One service's quota, as its latest answers tell it. Nothing is known until a header came."""

    def __init__(self) -> None:
        self._limit: int | None = None
        self._remaining: int | None = None
        self._resets_at_s = 0.0  # monotonic
        self._viewers: OrderedDict[str, None] = OrderedDict()  # of this window
        self._under_way = 0  # requests that no header tells of yet
        self._to_share = 0  # requests that were left when it became scarce
        self._taken: Counter[str] = Counter()  # since then, by viewer

    def observe(self, headers: Mapping[str, str], *, retry_after_s: float | None = None) -> None:
        """Take note of an answer's headers.

        Args:
            headers: their names in lower case.
            retry_after_s: when it was a 429.
        """
        # Once through all of them: to look for each of five costs httpx as much as all else of an answer.
        told = {name: text for name, text in headers.items() if "ratelimit" in name}
        limit = _count(told.get("x-ratelimit-limit") or told.get("ratelimit-limit"))
        remaining = _count(told.get("x-ratelimit-remaining") or told.get("ratelimit-remaining"))
        resets_in_s = _resets_in_s(told)
        if retry_after_s is not None:
            limit, remaining, resets_in_s = limit or self._limit or 1, 0, retry_after_s
        if limit and remaining is not None and resets_in_s is not None:
            resets_at_s = time.monotonic() + min(resets_in_s, RESET_TRUSTED_S)
            same = self.resets_in_s and abs(resets_at_s - self._resets_at_s) < SAME_WINDOW_S
            if same and self._remaining is not None:
                remaining = min(remaining, self._remaining)  # an older answer may come after a newer one
            else:
                self._resets_at_s = resets_at_s
            self._limit, self._remaining = limit, remaining

    def take(self, viewer: str | None) -> bool:
        """Whether one more request may leave; call `give_back` when its answer has come, or will not.

        Args:
            viewer: whose it is, by the user id; None for our own, which grow rarer as the quota shrinks.
        """
        if not self._has_room_for(viewer):
            return False
        self._under_way += 1
        return True

    def give_back(self) -> None:
        """The answer of a request was observed, or there is none."""
        self._under_way -= 1

    def _has_room_for(self, viewer: str | None) -> bool:
        if self._limit is None or self._remaining is None or self.resets_in_s <= 0:
            self._viewers.clear()  # of the window that has passed
            left = limit = 1
        else:
            left, limit = self._remaining - self._under_way, self._limit
        if viewer is None or left <= 0:
            return left > 0
        self._viewers[viewer] = None
        if len(self._viewers) > VIEWERS_COUNTED:
            self._viewers.popitem(last=False)
        if left >= limit * SCARCE_SHARE:
            self._to_share = 0
            return True
        if not self._to_share:
            self._to_share = left
            self._taken.clear()
        if self._taken[viewer] >= max(1, self._to_share // (len(self._viewers) + 1)):
            return False
        self._taken[viewer] += 1
        return True

    @property
    def share_left(self) -> float:
        """From 0 to 1; 1 when nothing is known or the window has passed."""
        if self._limit is None or self._remaining is None or self.resets_in_s <= 0:
            return 1.0
        return min(1.0, self._remaining / self._limit)

    @property
    def resets_in_s(self) -> float:
        """Seconds until the window ends; 0 when it has."""
        return max(0.0, self._resets_at_s - time.monotonic())

    @property
    def used_up(self) -> bool:
        """Whether asking now can only bring a 429."""
        return self._remaining == 0 and self.resets_in_s > 0

    @property
    def scarce(self) -> bool:
        """Whether only what a screen cannot do without should be asked for."""
        return self.share_left < SCARCE_SHARE


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _resets_in_s(headers: Mapping[str, str]) -> float | None:
    at = headers.get("x-ratelimit-reset")  # epoch seconds
    if at is not None and at.isascii() and at.isdigit() and len(at) < 12:
        return max(0.0, int(at) - time.time())
    return _count(headers.get("ratelimit-reset"))  # seconds
