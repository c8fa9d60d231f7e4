"""What a client may learn of an error: the one place that decides.

extensions      meaning
code            what went wrong, for machines; the table is in docs/errors.md
service         slug of the service that caused it; absent when none did
retryable       whether the same request may succeed later
retryAfterMs    how long to wait before; null when not known
supportCode     names the operation in the log, which holds the rest

No text of a service, of Python or of a database ever leaves: messages are written here, or by ourselves in a
`RequestError`, or by graphql-core about the document it was sent.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import structlog
from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.responses import Response

from bff.media_types import JSON, answer_type, with_charset
from bff.rates import RateLimited
from clients.directory import SERVICES
from clients.errors import StoreError, UpstreamError
from resolvers.errors import RequestError

# `bff/refusals.py` tells of them: whoever is turned away at the door comes in floods.
TOLD_AT_A_PACE = {
    "UNAUTHENTICATED",
    "ISSUER_UNAVAILABLE",
    "ORIGIN_NOT_ALLOWED",
    "HOST_NOT_SERVED",
    "SERVER_BUSY",
}

log = structlog.get_logger()

MESSAGE_CHARS_AT_MOST = 300  # graphql-core quotes the document, and a document may be long

_JSON_WORDS = {"None": "null", "True": "true", "False": "false"}  # graphql-core quotes values as Python does
_PYTHON_WORDS = re.compile(rf"\b({'|'.join(_JSON_WORDS)})\b")

DISPLAY_NAMES = {service.name: service.display_name for service in SERVICES}
MESSAGES = {
    "SERVICE_UNAVAILABLE": "{service} cannot be reached right now. Try again in a moment.",
    "SERVICE_TIMEOUT": "{service} did not answer in time. Try again in a moment.",
    "CIRCUIT_OPEN": "{service} failed too often just now and is left alone for a moment. Try again shortly.",
    "RATE_LIMITED": "{service} is asked too often right now. Try again later.",
    "SERVICE_FAILED": "{service} failed on this request. Try again; if it stays, quote the support code.",
    "SERVICE_REJECTED": "{service} did not accept this request. Quote the support code.",
    "SERVICE_AUTH_FAILED": "{service} did not accept our credentials. Quote the support code.",
    "SERVICE_CONTRACT_BROKEN": "{service} answered in an unexpected way. Quote the support code.",
    "RESULT_TOO_LARGE": "{service} holds more rows than one request may read, and what was asked for may lie "
    "beyond them. Asking again does not help; an earlier page may, where there is one.",
    "PAYMENTS_IDENTITY_MISSING": "This sign-in carries no payment identity, so payments cannot be shown.",
}
STORE_MESSAGES = {
    "STORE_UNAVAILABLE": "Our own records cannot be reached right now. Try again in a moment.",
    "STRIPE_IDS_NOT_SET_UP": "Commissions cannot be charged here yet: our payment numbers are not set up. "
    "Quote the support code.",
    "STRIPE_IDS_USED_UP": "Commissions cannot be charged any more: our payment numbers are used up. "
    "Quote the support code.",
}


def explained(error: GraphQLError, support_code: str) -> GraphQLError:
    """The error as a client may see it: same path and place, our words, our extensions."""
    cause = cause_of(error)
    extensions: dict[str, Any]
    if isinstance(cause, UpstreamError):
        message = MESSAGES[cause.code].format(service=DISPLAY_NAMES[cause.upstream])
        extensions = {
            "code": cause.code,
            "service": cause.upstream,
            "retryable": cause.retryable,
            "retryAfterMs": cause.retry_after_ms,
        }
    else:
        code, message = _own(error, cause)
        retry_after_ms = cause.retry_after_ms if isinstance(cause, RequestError) else None
        retryable = retry_after_ms is not None or (isinstance(cause, StoreError) and cause.retryable)
        extensions = {"code": code, "retryable": retryable, "retryAfterMs": retry_after_ms}
    return GraphQLError(
        message[:MESSAGE_CHARS_AT_MOST],
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        original_error=cause,
        extensions=extensions | {"supportCode": support_code},
    )


def log_unexpected(errors: Iterable[GraphQLError]) -> None:
    """Log what is nobody's fault but ours, with its traceback, once however many fields it took."""
    causes = {id(cause): (cause, error) for error in errors if (cause := cause_of(error))}
    for cause, error in causes.values():
        if not isinstance(cause, (UpstreamError, RequestError, StoreError)):
            log.error("operation.broken", path=error.path, exc_info=cause)


def let_go(errors: Iterable[GraphQLError]) -> None:
    """Let go of the frames that errors were raised in, once they are logged.

    A frame holds the operation, and that holds its errors: until garbage is collected, hundreds of refused
    requests would stay in memory with their bodies.
    """
    held: list[BaseException | None] = list(errors)
    while held:
        error = held.pop()
        if error is not None and error.__traceback__ is not None:
            error.__traceback__ = None
            held += [error.__cause__, error.__context__]
        if isinstance(error, GraphQLError):
            held.append(error.original_error)


def _own(error: GraphQLError, cause: Exception | None) -> tuple[str, str]:
    if isinstance(cause, RequestError):
        return cause.code, str(cause)
    if isinstance(cause, StoreError):  # logged where it happened
        return cause.code, STORE_MESSAGES[cause.code]
    if cause is None:  # graphql-core's own word on a document or a value
        return "BAD_USER_INPUT", _PYTHON_WORDS.sub(lambda word: _JSON_WORDS[word[0]], error.message)
    return "INTERNAL_SERVER_ERROR", "Something went wrong on our side. Quote the support code."


def cause_of(error: GraphQLError) -> Exception | None:
    """The exception behind a located error; None when graphql-core itself found fault with the request."""
    cause: Exception | None = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


class Refused(Exception):
    """A request that is refused before anything is executed. The message is for the client, as it stands.

    Args:
        code: what is wrong, of the table in docs/errors.md.
        status: the HTTP status, the same for each media type of the answer.
        headers: what the status asks for: `Allow` with a 405.
        retry_after_ms: when the same request may succeed; None when it will not.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "BAD_USER_INPUT",
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.headers = headers
        self.retry_after_ms = retry_after_ms


def too_many(error: RateLimited) -> Refused:
    """The refusal of a request whose viewer asks more than their share."""
    wait_s = math.ceil(error.retry_after_ms / 1000)
    return Refused(
        str(error),
        code=error.code,
        status=429,
        headers={"retry-after": str(wait_s)},
        retry_after_ms=error.retry_after_ms,
    )


def refused(connection: HTTPConnection, refusal_: Refused) -> Response:
    """The answer to a refused request, in the media type that its client wants."""
    return refusal(
        refusal_.code,
        str(refusal_),
        refusal_.status,
        connection.state.support_code,
        headers=refusal_.headers,
        retryable=refusal_.retry_after_ms is not None,
        retry_after_ms=refusal_.retry_after_ms,
        media_type=answer_type(connection.headers) or JSON,
    )


def refusal(
    code: str,
    message: str,
    status: int,
    support_code: str,
    *,
    headers: Mapping[str, str] | None = None,
    retryable: bool = False,
    retry_after_ms: int | None = None,
    media_type: str = JSON,
) -> Response:
    """The answer to a request that is refused before anything is executed: GraphQL errors, without data."""
    extensions = {
        "code": code,
        "retryable": retryable,
        "retryAfterMs": retry_after_ms,
        "supportCode": support_code,
    }
    if code not in TOLD_AT_A_PACE:
        log.info("request.refused", code=code, status=status)
    return Response(
        orjson.dumps({"errors": [{"message": message, "extensions": extensions}]}),
        status_code=status,
        media_type=with_charset(media_type),
        headers={"cache-control": "no-store", **(headers or {})},
    )
