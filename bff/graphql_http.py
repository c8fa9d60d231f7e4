"""GraphQL over HTTP: one endpoint whose every answer is JSON, refusals included."""

from typing import Any

import orjson
from cross_web import HTTPException
from fastapi import Request, Response, WebSocket
from strawberry.fastapi import GraphQLRouter
from strawberry.http import GraphQLHTTPResponse

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


class GraphQLEndpoint(GraphQLRouter[Context, None]):
    """Strawberry's router, answering in bytes and never in plain text."""

    async def run(self, request: Request | WebSocket, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().run(request, *args, **kwargs)
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
