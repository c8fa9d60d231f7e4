"""The description of the routes, for `/openapi.json`: it follows from the table, the operations, the graph.

Nothing in it is written by hand but words: what an answer looks like follows from what its operation selects,
and the examples are answers of the sandbox (`examples.json`, made anew by `make examples`, held by a test).
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bff.operations import stored_operations
from bff.rest.row import Row
from bff.rest.shapes import Shape
from bff.rest.table import TABLE
from bff.schema import build_schema

EXAMPLES = Path(__file__).parent / "examples.json"
FAILURES = {
    400: "A value cannot be used; the message says what to give instead.",
    401: "No token, or one that proves nothing here.",
    403: "The token does not carry the scope that the message names.",
    404: "There is no such object, or none that is the caller's.",
    409: "It does not fit the present state; `userErrors` says why. Trying again does not help.",
    422: "The request is understood and cannot be done: too many rows, or no identity for payments.",
    429: "Too much was asked, or too many bad tokens were shown. `Retry-After` says when to come again.",
    502: "A service failed on the request, or answered in an unexpected way.",
    503: "A service cannot be reached, or is left alone for a moment. `Retry-After` says when to come again.",
    504: "A service did not answer in time.",
}
ASKING = (403, 422, 502, 503, 504)  # what can happen only where a service is asked
ERROR = {
    "type": "object",
    "description": "What is missing, why, and whether to try again: the graph's own form.",
    "required": ["message", "extensions"],
    "properties": {
        "message": {"type": "string", "description": "For people, in English."},
        "path": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "Which field, from the root of the stored operation's answer.",
        },
        "locations": {"type": "array", "items": {"type": "object"}},
        "extensions": {
            "type": "object",
            "required": ["code", "retryable", "retryAfterMs", "supportCode"],
            "properties": {
                "code": {"type": "string", "description": "For machines; the list is in docs/errors.md."},
                "service": {"type": "string", "description": "Who caused it; absent when no service did."},
                "retryable": {"type": "boolean"},
                "retryAfterMs": {"type": ["integer", "null"]},
                "supportCode": {"type": "string", "description": "Names the request in our log; quote it."},
            },
        },
    },
}
USER_ERROR = {
    "type": "object",
    "description": "Why a mutation did not do what was asked, for the person who asked.",
    "required": ["code", "message", "field"],
    "properties": {
        "code": {"type": "string", "description": "For machines; the list is in docs/mutations.md."},
        "message": {"type": "string", "description": "For people, in English."},
        "field": {"type": ["array", "null"], "items": {"type": "string"}},
    },
}
ERRORS = {"type": "array", "items": {"$ref": "#/components/schemas/Error"}}
HEADERS = {
    "Budget": {
        "in": "header",
        "name": "X-Request-Budget",
        "schema": {"type": "integer"},
        "description": "Longest time until the answer, in milliseconds, where less than the usual will do.",
    },
    "Upstreams": {
        "in": "header",
        "name": "X-Upstreams",
        "schema": {"type": "string"},
        "description": "`1` adds `extensions.upstreams`: what was asked of each service, and what it gave.",
    },
}


def api_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app with the routes of the table."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=(
            "REST over the stored operations of the graph, which itself is at `/graphql`. "
            "Every null that should not be one has its entry in `errors`."
        ),
        routes=app.routes,
    )
    document["paths"] = _paths() | document["paths"]
    document["components"] = _components()
    return document


@cache
def _examples() -> dict[str, Any]:
    examples: dict[str, Any] = orjson.loads(EXAMPLES.read_bytes())
    return examples


@cache
def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for (method, path), rows in groupby(TABLE, key=lambda row: (row.method, row.path)):
        paths.setdefault(path, {})[method.lower()] = _operation(list(rows))
    return paths


def _operation(rows: Sequence[Row]) -> dict[str, Any]:
    first = rows[0]
    parts = [part for part in first.path.split("/") if part not in ("", "api", "v1")]
    operation: dict[str, Any] = {
        "tags": [parts[0]],
        "summary": " ".join(_summaries(rows)),
        "description": "Runs " + " or ".join(f"`{row.operation}`" for row in rows) + ".",
        "operationId": f"{first.method}{first.path}".translate(str.maketrans("/-", "__", "{}")).lower(),
        "parameters": _parameters(rows),
        "security": [{"bearer": []}] if first.caller else [],
        "responses": {str(first.success): _success(rows)}
        | {str(status): {"$ref": f"#/components/responses/{status}"} for status in _failures(rows)},
    }
    if body := _body(rows):
        operation["requestBody"] = body
    return operation


def _summaries(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        others = [other.when for other in rows if other.when]
        if row.when:
            yield f"With `?{row.when}`: {row.says}"
        elif others:
            yield f"Without: {row.says}"
        else:
            yield row.says


def _parameters(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        for value in row.values:
            for source in value.sources:
                if source.place == "body":
                    continue
                schema = dict(value.schema)
                found[source.place, source.name] = {
                    "in": source.place,
                    "name": source.name,
                    "description": schema.pop("description"),
                    "schema": schema,
                    "required": source.place == "path" or (value.required and len(value.sources) == 1),
                }
    common = [{"$ref": f"#/components/parameters/{name}"} for name in HEADERS]
    return [*found.values(), *(common if rows[0].caller else [])]


def _body(rows: Sequence[Row]) -> dict[str, Any] | None:
    properties = {
        source.name: dict(value.schema)
        for row in rows
        for value in row.values
        for source in value.sources
        if source.place == "body"
    }
    if not properties:
        return None
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"content": {"application/json": {"schema": schema}}}


def _success(rows: Sequence[Row]) -> dict[str, Any]:
    shapes = [answer_schema(row) for row in rows]
    return {
        "description": "The answer; `errors`, where there is any, says which nulls inside it are missing.",
        "content": {
            "application/json": {
                "schema": shapes[0] if len(shapes) == 1 else {"anyOf": shapes},
                "examples": {row.operation: {"value": _examples()[row.name]} for row in rows},
            }
        },
    }


def answer_schema(row: Row) -> dict[str, Any]:
    """The JSON Schema of a row's successful answer."""
    shape = Shape(build_schema(), stored_operations()[row.operation])
    return {
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": shape.at(row.steps),
            "errors": ERRORS,
            "extensions": {"type": "object", "description": "`upstreams`, when asked for or worth telling."},
        },
        "additionalProperties": False,
    }


def failure_statuses(row: Row) -> list[int]:
    """How a request for a row can fail."""
    if not row.caller:
        return []
    shape = Shape(build_schema(), stored_operations()[row.operation])
    found = [400, 401, 429, *([404] if row.may_be_missing else []), *([409] if row.changes else [])]
    return sorted([*found, *(ASKING if row.asks and shape.asks_for(row.steps) else [])])


def _failures(rows: Sequence[Row]) -> list[int]:
    return sorted({status for row in rows for status in failure_statuses(row)})


def _components() -> dict[str, Any]:
    return {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "schemas": {
            "Error": ERROR,
            "Failure": {
                "type": "object",
                "required": ["data"],
                "properties": {
                    "data": {"type": "null"},
                    "errors": ERRORS,
                    "userErrors": {"type": "array", "items": USER_ERROR},
                    "extensions": {"type": "object"},
                },
                "additionalProperties": False,
            },
        },
        "parameters": HEADERS,
        "responses": {str(status): _failure(status, says) for status, says in FAILURES.items()},
    }


def _failure(status: int, says: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Failure"}
    described: dict[str, Any] = {
        "description": says,
        "content": {"application/json": {"schema": schema, "example": _examples()[str(status)]}},
    }
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
    return described
