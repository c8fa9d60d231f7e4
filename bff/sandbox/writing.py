"""How the services write: JSON answers, refusals, and the three ways in which they write a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response

NODE_JSON = "application/json; charset=utf-8"
PYTHON_JSON = "application/json"


def answer(
    body: Any, status: int = 200, *, media_type: str = NODE_JSON, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with ``body`` as JSON."""
    return Response(orjson.dumps(body), status, headers={"content-type": media_type, **(headers or {})})


def erroneous(status: int, error: str, message: str | None = None, **more: Any) -> Response:
    """Refuse as refund-engine and stripe do: a title, and usually a sentence."""
    return answer({"error": error, **({} if message is None else {"message": message}), **more}, status)


def unsuccessful(status: int, message: str) -> Response:
    """Refuse as integrations does on its older routes."""
    return answer({"success": False, "message": message}, status)


def now() -> datetime:
    """Tell the time; the services keep their own clocks, never the caller's."""
    return datetime.now(UTC)


def js_time(at: datetime) -> str:
    """Write as ``Date.toISOString`` does: milliseconds and Z. refund-engine, cost-docs, stripe."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def pg_time(at: datetime) -> str:
    """Write as PostgREST does: offset, up to six digits, zeros at the end left out. integrations."""
    fraction = f".{at.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"


def naive_time(at: datetime) -> str:
    """Write as ``datetime.utcnow().isoformat()`` does: no zone at all. mcde."""
    return at.replace(tzinfo=None).isoformat()


def to_ms(at: datetime) -> datetime:
    """Cut to milliseconds: what JavaScript knows of a time, whoever stores it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def js_number(value: float) -> float | int:
    """Write 225.0 as 225, as JavaScript does, and no more than two decimals."""
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded
