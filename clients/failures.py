"""Which error a failed request stands for: from a status, a body or a broken connection to `errors.py`."""

import httpx
import orjson
from httpx_retries import Retry

from clients.errors import (
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamFailed,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

SAID_KEPT_CHARS = 300  # of a service's error text, for the log
RETRY_AFTER_TRUSTED_S = 86_400  # the services' windows are 15 minutes; more than a day is nonsense


def error_of_transport(upstream: str, operation: str, exc: Exception) -> UpstreamError:
    """The error that a request without an answer stands for."""
    # A refused connection reaches us as httpx.ConnectTimeout; aiohttp's own error below it knows better.
    timed_out = isinstance(exc, TimeoutError) or isinstance(exc.__cause__, TimeoutError)
    return (UpstreamTimeout if timed_out else UpstreamUnavailable)(upstream, operation)


def error_of_answer(upstream: str, operation: str, response: httpx.Response, content: bytes) -> UpstreamError:
    """The error that an answer outside 2xx stands for, before any disguise is looked through."""
    status = response.status_code
    return _kind(status)(
        upstream,
        operation,
        status=status,
        retry_after_ms=_retry_after_ms(response) if status in (429, 503) else None,
        said=said_in(content),
    )


def _kind(status: int) -> type[UpstreamError]:
    if status == 429:
        return UpstreamRateLimited
    if status in (502, 503, 504):
        return UpstreamUnavailable
    if status == 404:
        return UpstreamNotFound
    if status in (401, 403):
        return UpstreamAuthFailed
    return UpstreamRejected if 400 <= status < 500 else UpstreamFailed


def _retry_after_ms(response: httpx.Response) -> int | None:
    try:
        wait_s = Retry().parse_retry_after(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return int(wait_s * 1000) if wait_s <= RETRY_AFTER_TRUSTED_S else None


def said_in(content: bytes) -> str | None:
    """The text in any of the ten error shapes, or None. Compared by client methods, never shown."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict):
        return None
    # `message` first: where both are there, `error` is only its title.
    for found in (body.get("message"), body.get("error"), body.get("detail")):
        text = found.get("message") if isinstance(found, dict) else found
        if isinstance(text, str) and text:
            return text[:SAID_KEPT_CHARS]
    return None
