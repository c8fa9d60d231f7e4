"""How the services read: tokens, numbers in a query, pages, bodies, JSON that is none."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import jwt
import orjson
from starlette.requests import Request
from starlette.responses import Response

T = TypeVar("T")
Claims: TypeAlias = dict[str, Any]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
SignedIn: TypeAlias = Callable[[Request, Claims], Awaitable[Response]]

_LEADING_INT = re.compile(r"\s*([+-]?\d+)")


def bearer(request: Request) -> str | None:
    """Return the second word of the Authorization header, as the Express services do."""
    words = request.headers.get("authorization", "").split(" ")
    return words[1] if len(words) > 1 and words[1] else None


def guarded(
    handler: SignedIn,
    secret: str,
    *,
    missing: Callable[[], Response],
    bad: Callable[[], Response],
    token_of: Callable[[Request], str | None] = bearer,
) -> Endpoint:
    """Let only a valid token through to ``handler``, which gets what the token claims."""

    async def endpoint(request: Request) -> Response:
        token = token_of(request)
        if token is None:
            return missing()
        claims = claims_of(token, secret)
        return bad() if claims is None else await handler(request, claims)

    return endpoint


def claims_of(token: str, secret: str) -> Claims | None:
    """Return what a token claims, or None when it is forged, malformed or expired.

    Only the signature, ``exp`` and ``nbf`` count: jsonwebtoken looks at nothing else unless told to.
    """
    lenient = {"verify_aud": False, "verify_iss": False, "verify_iat": False, "verify_sub": False}
    try:
        claims: Claims = jwt.decode(token, secret, algorithms=["HS256"], options=lenient)  # type: ignore[arg-type]
    except jwt.PyJWTError:
        return None
    return claims


def leading_int(text: str) -> int | None:
    """Read as ``parseInt(text, 10)`` does: '12abc' is 12, 'abc' is no number (None)."""
    match = _LEADING_INT.match(text)
    return int(match[1]) if match else None


def query_int(request: Request, name: str, default: int) -> int | None:
    """Read a number of the query; None where JavaScript would have NaN."""
    return leading_int(request.query_params.get(name, str(default)))


async def json_of(request: Request) -> dict[str, Any]:
    """Read a body as ``express.json`` leaves it: {} where none was sent, or something that has no fields.

    What does not parse has been refused before, at the door.
    """
    raw = await request.body()
    if not raw or not request.headers.get("content-type", "").startswith("application/json"):
        return {}
    body = orjson.loads(raw)
    return body if isinstance(body, dict) else {}


def is_uuid(text: object) -> bool:
    """Tell whether PostgreSQL would take ``text`` for a uuid."""
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


def window(rows: Sequence[T], limit: int | None, offset: int | None) -> Sequence[T] | None:
    """Cut as LIMIT and OFFSET do; None where PostgreSQL refuses (not a number, or negative)."""
    if limit is None or offset is None or limit < 0 or offset < 0:
        return None
    return rows[offset : offset + limit]


def prisma_page(rows: Sequence[T], page: int, limit: int) -> Sequence[T] | None:
    """Cut as Prisma's skip and take do; a negative take counts from the end, a negative skip is None."""
    skip = (page - 1) * limit
    if skip < 0:
        return None
    if limit >= 0:
        return rows[skip : skip + limit]
    end = len(rows) - skip
    return rows[max(0, end + limit) : max(0, end)]


def date_of(text: str) -> datetime | None:
    """Read a date as PostgreSQL would read ISO 8601; None where it would refuse."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def v8_complaint(body: bytes) -> str:
    """Say what V8 says about JSON that does not parse; the services pass it on word for word."""
    text = body.decode("utf-8", "replace").lstrip()
    if text.startswith("{"):
        return "Expected property name or '}' in JSON at position 1"
    return f"Unexpected token '{text[:1]}', \"{text[:20]}\" is not valid JSON"
