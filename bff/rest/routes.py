"""The routes of the table: each runs its stored operation as `/graphql` would, for the same caller.

The same context, deadline, limits and account; a client that leaves takes its upstream requests with it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection

from bff.auth import NOBODY, Unauthenticated
from bff.graphql_http import CLIENT_LEFT, unless_left
from bff.operations import stored_operations
from bff.rest.answers import ADDRESS_STATUS, answered, nothing_there, refused
from bff.rest.row import Row
from bff.rest.table import TABLE
from bff.rest.values import Asked, NothingThere
from bff.schema import Schema
from bff.turns import Turns
from clients.caller import Viewer
from resolvers.context import Context
from resolvers.errors import BadUserInput, RequestError


def rest_routes(
    schema: Schema,
    context_of: Callable[[HTTPConnection], Context],
    context_for: Callable[[HTTPConnection, Viewer], Context],
    turns: Turns,
) -> APIRouter:
    """The routes of the table.

    Args:
        context_of: the context of the caller whom a request's token names.
        context_for: the context of a viewer, whoever sent the request.
        turns: whose operation begins next.
    """
    router = APIRouter()

    async def answer(row: Row, context: Context, variables: Mapping[str, Any]) -> Response:
        async with turns.turn(context.viewer):
            result = await schema.execute(
                stored_operations()[row.operation],
                variable_values=dict(variables),
                context_value=context,
                operation_name=row.operation,
            )
        return answered(row, result)

    def endpoint(rows: Sequence[Row]) -> Callable[[Request], Any]:
        async def route(request: Request) -> Response:
            try:
                row = _chosen(rows, request)
                context = context_of(request) if row.caller else context_for(request, NOBODY)
                variables = row.variables_of(_asked(request, await request.body()))
                response: Response = await unless_left(request, context, answer(row, context, variables))
                return response
            except ClientDisconnect:
                return Response(status_code=CLIENT_LEFT)
            except NothingThere:
                return nothing_there()
            except Unauthenticated as error:
                return refused(
                    error.code,
                    str(error),
                    request.state.support_code,
                    error.headers,
                    error.retry_after_ms,
                    error.status,
                )
            except RequestError as error:
                return refused(error.code, str(error), request.state.support_code)

        return route

    for (method, path), rows in groupby(TABLE, key=lambda row: (row.method, row.path)):
        same = list(rows)
        router.add_api_route(
            path,
            endpoint(same),
            methods=[method],
            include_in_schema=False,  # `openapi.py` describes them better
        )
    return router


def is_rest(path: str) -> bool:
    """Whether whoever asks there speaks REST, also where no row has that address."""
    return f"{path}/".startswith("/api/") or any(path == row.path for row in TABLE)


def astray(request: Request, error: HTTPException) -> Response:
    """The answer to a request for such an address that no row takes."""
    code, message = "NOT_FOUND", "There is no such address. Those that there are stand in docs/rest.md."
    if error.status_code == 405:
        allowed = Headers(error.headers).get("allow", "another method")
        code, message = "METHOD_NOT_ALLOWED", f"This address takes {allowed}."
    status = ADDRESS_STATUS[code]
    return refused(code, message, request.state.support_code, error.headers, status=status)


def _chosen(rows: Sequence[Row], request: Request) -> Row:
    return next(row for row in rows if row.when is None or request.query_params.get(row.when))


def _asked(request: Request, content: bytes) -> Asked:
    """What a request says.

    Raises:
        BadUserInput: a parameter is given twice, or the body is no JSON object.
    """
    query = request.query_params
    if twice := [name for name in query if len(query.getlist(name)) > 1]:
        raise BadUserInput(f"`{twice[0][:50]}` is given twice in the query.")
    body: Any = {}
    if request.method == "POST" and content:
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise BadUserInput("The body is not JSON.") from None
        if not isinstance(body, dict):
            raise BadUserInput("The body must be a JSON object.")
    return Asked(request.path_params, query, request.headers, body)
