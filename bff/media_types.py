"""In which media type a request is read, and in which its answer is written.

An answer is `application/graphql-response+json` where the client's `Accept` prefers it, and
`application/json`, the older type, where it does not care. Statuses differ; `docs/http.md` has the table.
A stream is what goes on: subscriptions, and every operation of a client that would rather have one.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import NamedTuple

from starlette.datastructures import Headers

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
MULTIPART = "multipart/mixed"
BOUNDARY = "graphql"  # of the parts of a stream
UTF_8 = "utf-8"
KEPT = 100  # headers whose meaning is remembered: clients send few, and the same ones again

_EXACT, _SUBTYPES, _ANY = 2, 1, 0  # how closely a range of `Accept` names a type; the closest counts
_RANGES = {GRAPHQL_RESPONSE: _EXACT, JSON: _EXACT, "application/*": _SUBTYPES, "*/*": _ANY}


class Accepted(NamedTuple):
    """In which types a client takes an answer."""

    answer: str | None  # of one result; None when it takes none of ours
    stream: str | None  # of one result after the other; None when it takes none of ours
    rather_stream: bool  # whether it wants a stream where one result is all there is


def accepted(headers: Headers) -> Accepted:
    """What the `Accept` of a request says: of one result and of streams the type with the highest `q`.

    Of the two types of one result that are wanted alike, the closer name wins. Of two named alike, the newer
    type is given; where only a wildcard covers them, the older one, for who names neither may know but that.
    A stream has to be named: a wildcard does not mean it. Of two wanted alike, the first is given.
    """
    return _accepted(", ".join(headers.getlist("accept")))


def answer_type(headers: Headers) -> str | None:
    """The media type that a client wants one result in; None when it accepts none of ours."""
    return accepted(headers).answer


@functools.lru_cache(maxsize=KEPT)
def _accepted(accept: str) -> Accepted:
    ranges = list(_ranges(accept))
    if not ranges:
        return Accepted(JSON, None, rather_stream=False)
    wanted: dict[str, tuple[float, int]] = {}
    for media_type in (JSON, GRAPHQL_RESPONSE):
        covering = [
            (_RANGES[name], quality)
            for name, _, quality in ranges
            if name == media_type or _RANGES.get(name, _EXACT) != _EXACT
        ]
        closeness, quality = max(covering, default=(_ANY, 0.0))
        if quality > 0:
            wanted[media_type] = (quality, closeness)
    answer = max(wanted, key=lambda name: (*wanted[name], _preferred(name, wanted[name][1])), default=None)
    streams = [(quality, name) for name, told, quality in ranges if quality > 0 and _is_stream(name, told)]
    stream_quality, stream = max(streams, key=lambda each: each[0], default=(0.0, None))
    answer_quality = wanted[answer][0] if answer else 0.0
    return Accepted(answer, stream, rather_stream=stream_quality > answer_quality)


def with_charset(media_type: str) -> str:
    """The value of `Content-Type` for an answer of ours."""
    return f"{media_type}; charset={UTF_8}"


@functools.lru_cache(maxsize=KEPT)
def is_json(content_type: str | None) -> bool:
    """Whether a body says that it is JSON in UTF-8: exactly `application/json`, with whatever parameters."""
    media_type, parameters = _parsed(content_type or "")
    return media_type == JSON and _is_ours(parameters)


def _preferred(media_type: str, closeness: int) -> bool:
    return (media_type == GRAPHQL_RESPONSE) == (closeness == _EXACT)


def _is_stream(name: str, parameters: Mapping[str, str]) -> bool:
    if name == MULTIPART:  # Apollo's; bare, it is that of `@defer`
        told = parameters.get("subscriptionspec"), parameters.get("boundary", BOUNDARY)
        return told == ("1.0", BOUNDARY)
    return name == EVENT_STREAM


def _ranges(accept: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Each range of an `Accept`: its name, its parameters, and how much it is wanted."""
    for part in filter(None, map(str.strip, accept.split(","))):
        name, parameters = _parsed(part)
        yield name if _is_ours(parameters) else part, parameters, _quality(parameters.get("q", "1"))


def _is_ours(parameters: Mapping[str, str]) -> bool:
    return parameters.get("charset", UTF_8).lower() in (
        UTF_8,
        "utf8",
    )  # the second is no name, and widely used


def _quality(text: str) -> float:
    with contextlib.suppress(ValueError):
        return min(max(float(text), 0.0), 1.0)
    return 1.0  # what cannot be read is as if it were not there


def _parsed(header: str) -> tuple[str, dict[str, str]]:
    message = Message()
    message["content-type"] = header
    [(media_type, _), *parameters] = message.get_params([("", "")])
    return media_type.lower(), {name.lower(): str(value) for name, value in parameters}
