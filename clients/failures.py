"""Which error a failed request stands for: from a status, a body or a broken connection to `errors.py`.

NotSent              our own chain kept the request back
├── QuotaUsedUp      the service said that it takes no more for a while
├── CircuitOpened    it failed too often just now
└── BulkheadFull     too many requests wait for it already

AnswerTooLarge       it sent more than any of its answers has: nobody reads on
"""

import httpx
import orjson
from httpx_retries import Retry

from clients.errors import (
    CircuitOpen,
    ContractBroken,
    UpstreamAuthFailed,
    UpstreamConflict,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

SAID_KEPT_CHARS = 300  # of a service's error text, for the log
# What a proxy, a platform's edge or a router says for a service that it has lost, as it does by a redirect. A
# service's own "none" is known by its words (`Disguise`): every framework answers an unknown route in JSON.
SOMEBODY_ELSES = frozenset({404, 408, 421, 425, 502, 503, 504})
RETRY_AFTER_TRUSTED_S = 86_400  # the services' windows are 15 minutes; more than a day is nonsense


class NotSent(httpx.TransportError):
    """The request was kept back: nothing was asked, nothing was done."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__(type(self).__name__)
        self.retry_after_s = retry_after_s


class QuotaUsedUp(NotSent):
    """The service said that it takes no more for a while."""


class CircuitOpened(NotSent):
    """The service failed too often just now."""


class BulkheadFull(NotSent):
    """Too many requests wait for this service already."""


class AnswerTooLarge(httpx.TransportError):
    """The service sends more than any of its answers has; one such answer could take all of our memory."""

    def __init__(self) -> None:
        super().__init__(type(self).__name__)


def error_of_transport(upstream: str, operation: str, exc: Exception) -> UpstreamError:
    """The error that a request without a whole answer stands for."""
    if isinstance(exc, AnswerTooLarge):
        return ContractBroken(upstream, operation)
    if isinstance(exc, NotSent):
        kind = CircuitOpen if isinstance(exc, CircuitOpened) else UpstreamRateLimited
        wait_s = exc.retry_after_s
        return kind(upstream, operation, retry_after_ms=None if wait_s is None else int(wait_s * 1000))
    timed_out = isinstance(exc, TimeoutError | httpx.TimeoutException)
    return (UpstreamTimeout if timed_out else UpstreamUnavailable)(upstream, operation)


def never_left(exc: httpx.RequestError) -> bool:
    """Whether a request surely reached nobody: refused, name not resolved, no connection in time."""
    kept_back = NotSent | httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    return isinstance(exc, kept_back | httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def error_of_answer(upstream: str, operation: str, response: httpx.Response) -> UpstreamError:
    """The error that the status of an answer outside 2xx stands for; disguises are not looked through."""
    status, said = response.status_code, said_in(response.content)
    wait_s = retry_after_s(response) if status in (429, 503) else None
    return _kind(status)(
        upstream,
        operation,
        status=status,
        retry_after_ms=None if wait_s is None else int(wait_s * 1000),
        said=said,
    )


def retry_after_s(response: httpx.Response) -> float | None:
    """What `Retry-After` asks for, in seconds; None when it is absent or makes no sense."""
    try:
        wait_s = Retry().parse_retry_after(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return wait_s if wait_s <= RETRY_AFTER_TRUSTED_S else None


def said_in(content: bytes) -> str | None:
    """The text in any of the ten error shapes, cut for the log, or None."""
    text = text_in(content)
    return text[:SAID_KEPT_CHARS] if text else None


def text_in(content: bytes) -> str | None:
    """The same, whole: compared where a service disguises an answer, never shown."""
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
            return text
    return None


def _kind(status: int) -> type[UpstreamError]:
    if status == 429:
        return UpstreamRateLimited
    if status < 400 or status in SOMEBODY_ELSES:
        return UpstreamUnavailable
    if status == 409:
        return UpstreamConflict
    if status in (401, 403):
        return UpstreamAuthFailed
    return UpstreamRejected if 400 <= status < 500 else UpstreamFailed
