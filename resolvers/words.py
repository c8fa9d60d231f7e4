"""How a service's words become the graph's enum values, each of them described.

A word that nobody told us of becomes UNKNOWN, so that it never fails a list, and is logged once an hour.
"""

import time
from collections.abc import Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

import strawberry
import structlog

from resolvers.errors import BadUserInput

E = TypeVar("E", bound=Enum)
log = structlog.get_logger()

LOGGED_AGAIN_AFTER_S = 3600
WORDS_REMEMBERED = 1000  # a service that sends free text must not fill our memory
_logged_at_s: dict[tuple[str, str], float] = {}


def described(value: Any, *, description: str, name: str | None = None) -> Any:
    """An enum value with its description: `strawberry.enum_value`, typed so that members keep their type."""
    return strawberry.enum_value(value, name=name, description=description)


class Words(Generic[E]):
    """The words of one upstream column, in lower case, and what they mean."""

    def __init__(self, column: str, meanings: Mapping[str, E], *, unknown: E) -> None:
        """
        Args:
            column: service and column, for the log: `refund-engine claim.status`.
            meanings: each known word and its value; the first word of a value is the one sent in filters.
            unknown: what any other word means.
        """
        self._column = column
        self._meanings = meanings
        self._unknown = unknown
        self._words: dict[E, str] = {value: word for word, value in reversed(list(meanings.items()))}

    def value(self, word: str) -> E:
        """What a word means."""
        try:
            return self._meanings[word]
        except KeyError:
            self._log_unknown(word)
            return self._unknown

    def word(self, value: E, *, argument: str) -> str:
        """The word to send for a value in a filter.

        Raises:
            BadUserInput: the value is UNKNOWN, which no service can look for.
        """
        if value is self._unknown:
            raise BadUserInput(f"`{argument}` cannot be UNKNOWN: no service can look for it.")
        return self._words[value]

    def _log_unknown(self, word: str) -> None:
        now_s = time.monotonic()
        key = (self._column, word[:100])
        if now_s - _logged_at_s.get(key, float("-inf")) < LOGGED_AGAIN_AFTER_S:
            return
        if len(_logged_at_s) >= WORDS_REMEMBERED:
            _logged_at_s.clear()
        _logged_at_s[key] = now_s
        log.warning("word.unknown", column=self._column, word=key[1])
