"""How the two FastAPI services check a body: pydantic 1, with its words for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from bff.sandbox.writing import PYTHON_JSON, answer

Kind: TypeAlias = Literal["text", "float", "integer", "object"]
Problem: TypeAlias = dict[str, Any]

_PYDANTIC_WORDS: dict[Kind, str] = {"text": "str", "float": "float", "integer": "integer", "object": "dict"}


def fastapi(routes: Sequence[BaseRoute]) -> Starlette:
    """Route as FastAPI does: 404 and 405, each with a ``detail``."""

    async def lost(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        return answer({"detail": exc.detail}, exc.status_code, media_type=PYTHON_JSON, headers=exc.headers)

    return Starlette(routes=routes, exception_handlers={404: lost, 405: lost})


def unprocessable(problems: Sequence[Problem]) -> Response:
    """Answer 422 with every problem at once."""
    return answer({"detail": problems}, 422, media_type=PYTHON_JSON)


async def body_of(request: Request) -> tuple[dict[str, Any], list[Problem]]:
    """Read a JSON object, or say why there is none."""
    raw = await request.body()
    if not raw:
        return {}, [_problem(["body"], "field required", "value_error.missing")]
    try:
        body = json.loads(raw)
    except json.JSONDecodeError as exc:
        problem = {
            "type": "json_invalid",
            "loc": ["body", exc.pos],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": exc.msg},
        }
        return {}, [problem]
    if not isinstance(body, dict):
        return {}, [_problem(["body"], "value is not a valid dict", "type_error.dict")]
    return body, []


def problems_of(body: Any, fields: Mapping[str, Kind], loc: Sequence[str | int] = ("body",)) -> list[Problem]:
    """Check that ``fields`` are there and can be read as what they should be; numbers may be text."""
    if not isinstance(body, dict):
        return [_problem(loc, "value is not a valid dict", "type_error.dict")]
    problems = []
    for name, kind in fields.items():
        value = body.get(name)
        if value is None:
            problems.append(_problem([*loc, name], "field required", "value_error.missing"))
        elif not _readable(value, kind):
            word = _PYDANTIC_WORDS[kind]
            problems.append(_problem([*loc, name], f"value is not a valid {word}", f"type_error.{word}"))
    return problems


def _readable(value: object, kind: Kind) -> bool:
    if kind == "object":
        return isinstance(value, dict)
    if kind == "text":
        return isinstance(value, str | int | float)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return kind == "float" or number == int(number)


def _problem(loc: Sequence[str | int], message: str, kind: str) -> Problem:
    return {"loc": list(loc), "msg": message, "type": kind}
