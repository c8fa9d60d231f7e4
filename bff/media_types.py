"""In which media type a request is read, and in which its answer is written.

An answer is `application/graphql-response+json` where the client's `Accept` prefers it, and
`application/json`, the older type, where it does not care. Statuses differ; `docs/http.md` has the table.
"""

import contextlib
import functools
from collections.abc import Iterator
from email.message import Message

from starlette.datastructures import Headers

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
UTF_8 = "utf-8"
KEPT = 100  # headers whose meaning is remembered: clients send few, and the same ones again

_EXACT, _SUBTYPES, _ANY = 2, 1, 0  # how closely a range of `Accept` names a type; the closest counts
_RANGES = {GRAPHQL_RESPONSE: _EXACT, JSON: _EXACT, "application/*": _SUBTYPES, "*/*": _ANY}


def answer_type(headers: Headers) -> str | None:
    """The media type that a client wants its answer in; None when it accepts none of ours.

    The higher `q` wins, then the closer name. Of two named alike, the newer type is given; where only a
    wildcard covers them, the older one, for who names neither may know but that.
    """
    return _answer_type(", ".join(headers.getlist("accept")))


@functools.lru_cache(maxsize=KEPT)
def _answer_type(accept: str) -> str | None:
    ranges = list(_accepted(accept))
    if not ranges:
        return JSON
    wanted: dict[str, tuple[float, int]] = {}
    for media_type in (JSON, GRAPHQL_RESPONSE):
        covering = [
            (_RANGES[name], quality)
            for name, quality in ranges
            if name == media_type or _RANGES.get(name, _EXACT) != _EXACT
        ]
        closeness, quality = max(covering, default=(_ANY, 0.0))
        if quality > 0:
            wanted[media_type] = (quality, closeness)
    return max(wanted, key=lambda name: (*wanted[name], _preferred(name, wanted[name][1])), default=None)


def with_charset(media_type: str) -> str:
    """The value of `Content-Type` for an answer of ours."""
    return f"{media_type}; charset={UTF_8}"


@functools.lru_cache(maxsize=KEPT)
def is_json(content_type: str | None) -> bool:
    """Whether a body says that it is JSON in UTF-8: exactly `application/json`, with whatever parameters."""
    media_type, parameters = _parsed(content_type or "")
    return media_type == JSON and parameters.get("charset", UTF_8).lower() == UTF_8


def _preferred(media_type: str, closeness: int) -> bool:
    return (media_type == GRAPHQL_RESPONSE) == (closeness == _EXACT)


def _accepted(accept: str) -> Iterator[tuple[str, float]]:
    for part in filter(None, map(str.strip, accept.split(","))):
        name, parameters = _parsed(part)
        ours = parameters.get("charset", UTF_8).lower() == UTF_8
        yield name if ours else part, _quality(parameters.get("q", "1"))


def _quality(text: str) -> float:
    with contextlib.suppress(ValueError):
        return min(max(float(text), 0.0), 1.0)
    return 1.0  # what cannot be read is as if it were not there


def _parsed(header: str) -> tuple[str, dict[str, str]]:
    message = Message()
    message["content-type"] = header
    [(media_type, _), *parameters] = message.get_params([("", "")])
    return media_type.lower(), {name.lower(): str(value) for name, value in parameters}
