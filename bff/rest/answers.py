"""From what an operation gave to a REST answer: the value at the row's place, and an honest status.

A value is 200 (or the row's own success), with `errors` beside it where nulls lie deeper inside: partial
answers stay partial. A null with an error is that error's status; without one it is 404. What a person did
wrong (`userErrors`) is the status of the first.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import Response
from strawberry.types.execution import ExecutionResult

from bff.media_types import JSON, with_charset
from bff.rest.row import Row

STATUS = {
    "UNAUTHENTICATED": 401,
    "ISSUER_UNAVAILABLE": 503,
    "FORBIDDEN": 403,
    "BAD_USER_INPUT": 400,
    "SERVICE_UNAVAILABLE": 503,
    "CIRCUIT_OPEN": 503,
    "RATE_LIMITED": 503,  # by a service; 429 when it is the caller who is asked to wait
    "SERVICE_TIMEOUT": 504,
    "SERVICE_FAILED": 502,
    "SERVICE_REJECTED": 502,
    "SERVICE_CONTRACT_BROKEN": 502,
    "SERVICE_AUTH_FAILED": 502,
    "RESULT_TOO_LARGE": 422,
    "PAYMENTS_IDENTITY_MISSING": 422,
    "STORE_UNAVAILABLE": 503,
    "STRIPE_IDS_NOT_SET_UP": 503,
    "STRIPE_IDS_USED_UP": 503,
    "QUERY_TOO_COMPLEX": 400,
    "INTERNAL_SERVER_ERROR": 500,
}
ADDRESS_STATUS = {"NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405}  # of an address that no row has
USER_ERROR_STATUS = {
    "INVALID_INPUT": 422,
    "NOT_FOUND": 404,
    "CLAIM_NOT_SUBMITTABLE": 409,
    "CASE_NUMBER_TAKEN": 409,
    "SYNC_NOT_RUNNING": 409,
    "ALREADY_CONNECTED": 409,
    "PAYMENT_ACCOUNT_MISSING": 409,
    "IDEMPOTENCY_KEY_REUSED": 409,
    "REFUSED": 409,
    "SERVICE_UNAVAILABLE": 503,
    "OUTCOME_UNKNOWN": 504,
}
LATER = (429, 503)  # say when to come again
RETRY_AFTER_S = 5  # where nobody knows: as long as a circuit breaker stays open at first

log = structlog.get_logger()


def answered(row: Row, result: ExecutionResult) -> Response:
    """The answer to a request that was executed."""
    data: Any = result.data
    errors = [dict(error.formatted) for error in result.errors or ()]
    value = _at(data, row.steps)
    status, retry_after_ms = row.success, None
    payload = _at(data, [row.root])
    user_errors = payload.get("userErrors") if isinstance(payload, dict) else None
    body: dict[str, Any] = {"data": value}
    if user_errors:
        first = user_errors[0]
        status, retry_after_ms = USER_ERROR_STATUS.get(first["code"], 409), first.get("retryAfterMs")
        body = {"data": None, "userErrors": user_errors}
    elif value is None:
        status, retry_after_ms = _of_null(row, errors)
    if errors:
        body["errors"] = errors
    if result.extensions:
        body["extensions"] = result.extensions
    return _json_response(body, status, retry_after_ms)


def refused(
    code: str,
    message: str,
    support_code: str,
    headers: Mapping[str, str] | None = None,
    retry_after_ms: int | None = None,
    status: int | None = None,
) -> Response:
    """The answer to a request that is refused before anything is executed.

    Args:
        status: where it is not that of the code.
    """
    status = status or STATUS[code]
    extensions = {
        "code": code,
        "retryable": retry_after_ms is not None,
        "retryAfterMs": retry_after_ms,
        "supportCode": support_code,
    }
    if code not in ("UNAUTHENTICATED", "ISSUER_UNAVAILABLE"):  # `bff/refusals.py` tells of them
        log.info("request.refused", code=code, status=status)
    body = {"data": None, "errors": [{"message": message, "extensions": extensions}]}
    response = _json_response(body, status)
    response.headers.update(headers or {})
    return response


def nothing_there() -> Response:
    """The answer to a path that names nothing."""
    return _json_response({"data": None}, 404)


def _json_response(body: Mapping[str, Any], status: int, retry_after_ms: int | None = None) -> Response:
    headers = {"cache-control": "no-store"}
    if status in LATER:
        wait_s = RETRY_AFTER_S if retry_after_ms is None else math.ceil(retry_after_ms / 1000)
        headers["retry-after"] = str(wait_s)
    return Response(orjson.dumps(body), status, headers, with_charset(JSON))


def _of_null(row: Row, errors: Sequence[Mapping[str, Any]]) -> tuple[int, int | None]:
    """The status of a null, and when to come again, in milliseconds."""
    for error in errors:
        path = error.get("path") or ()
        if all(step == at for step, at in zip(row.steps, path, strict=False)):  # above, at or below the value
            extensions = error["extensions"]
            by_us = extensions["code"] == "RATE_LIMITED" and "service" not in extensions
            return 429 if by_us else STATUS.get(extensions["code"], 500), extensions["retryAfterMs"]
    return 404, None


def _at(data: Any, steps: Sequence[str | int]) -> Any:
    """What lies there; None when something on the way is null, or when a list ends before."""
    for step in steps:
        if isinstance(data, dict) and isinstance(step, str):
            data = data.get(step)
        else:
            data = data[step] if data and isinstance(step, int) and step < len(data) else None
    return data
