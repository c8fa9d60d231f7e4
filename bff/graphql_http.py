"""GraphQL over HTTP: one endpoint whose every answer is JSON, refusals included.

A client that leaves before its answer takes its upstream requests with it: nobody would read what they bring.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import orjson
import structlog
from cross_web import HTTPException
from fastapi import Request, Response, WebSocket
from starlette.requests import ClientDisconnect
from strawberry.fastapi import GraphQLRouter
from strawberry.http import GraphQLHTTPResponse
from strawberry.types.unset import UNSET

from bff.errors import refusal
from resolvers.context import Context

# What Strawberry says to a request that carries no operation, in words that help.
HINTS = {
    "No GraphQL query found in the request": (
        'Send an operation: {"query": "…"} as application/json, or ?query= with GET.'
    ),
    "Unsupported content type": "Send the operation as application/json.",
    "Unable to parse request body as JSON": "The body is not JSON.",
    "Not Found": "Send an operation with POST, or ?query= with GET. GraphiQL, where on, is at /graphiql/.",
}
CLIENT_LEFT = 499  # nginx's word for it in access logs; nobody receives it

log = structlog.get_logger()


class GraphQLEndpoint(GraphQLRouter[Context, None]):
    """Strawberry's router, answering in bytes and never in plain text."""

    async def run(self, request: Request | WebSocket, context: Any = UNSET, root_value: Any = UNSET) -> Any:
        try:
            if isinstance(request, WebSocket):
                return await super().run(request, context, root_value)
            await request.body()  # keeps it: what is received from now on is the client's leaving
            return await unless_left(request, context, super().run(request, context, root_value))
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except HTTPException as exc:
            message = HINTS.get(exc.reason, exc.reason)
            return refusal("BAD_USER_INPUT", message, exc.status_code, request.state.support_code)

    def decode_json(self, data: str | bytes) -> object:
        decoded = orjson.loads(data)  # an error of its own is a json.JSONDecodeError, as callers expect
        if not isinstance(decoded, dict | list):
            raise HTTPException(400, "The body must be a JSON object.")
        return decoded

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        return Response(
            orjson.dumps(response_data),
            media_type="application/json",
            status_code=sub_response.status_code or 200,
            headers=dict(sub_response.headers) | {"cache-control": "no-store"},
        )


async def unless_left(request: Request, context: Context, answering: Coroutine[Any, Any, Any]) -> Any:
    """The answer; when the client leaves before it, the end of all that was asked for it.

    The request's body must have been received: what is received from now on is the client's leaving.
    """
    answer = asyncio.create_task(answering)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait([answer, leaving], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        log.info("request.abandoned", viewer_id=context.viewer.user_id)
        return Response(status_code=CLIENT_LEFT)
    finally:
        leaving.cancel()
        if not answer.done():
            context.caller.leave()
            answer.cancel()
            await asyncio.wait([answer])


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
