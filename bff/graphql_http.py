"""GraphQL over HTTP: one endpoint whose every answer is JSON, refusals included; rules in docs/http.md.

A client that leaves before its answer takes its upstream requests with it: nobody would read what they bring.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter
from cross_web import HTTPException as StrawberryRefusal
from fastapi import Request, Response, WebSocket
from fastapi.routing import APIWebSocketRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.routing import Route
from strawberry.exceptions import MissingQueryError
from strawberry.fastapi import GraphQLRouter
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, process_result
from strawberry.http.base import BaseRequestProtocol
from strawberry.http.streaming import HTTPStreamTransport
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET

from bff.errors import Refused, refused
from bff.media_types import (
    EVENT_STREAM,
    GRAPHQL_RESPONSE,
    JSON,
    MULTIPART,
    accepted,
    answer_type,
    is_json,
    with_charset,
)
from resolvers.context import Context

ENDPOINT = "/graphql"
METHODS = ("GET", "POST")
NO_DOCUMENT = 'Send an operation: {"query": "…"} as application/json, or ?query= with GET.'
CLIENT_LEFT = 499  # nginx's word for it in access logs; nobody receives it

# What a plain answer can carry: one result. A stream may carry more.
OPERATIONS = {"GET": {OperationType.QUERY}, "POST": {OperationType.QUERY, OperationType.MUTATION}}
TRANSPORTS = {
    "graphql-transport-ws": "WebSocket with the subprotocol graphql-transport-ws",
    "graphql-sse": "server-sent events (`Accept: text/event-stream`)",
    "multipart-subscription": "multipart (`Accept: multipart/mixed;subscriptionSpec=1.0`)",
}
STREAMED_AS = {EVENT_STREAM: "sse", MULTIPART: "multipart-subscription"}  # media type → Strawberry's word
BAD_WHATEVER_THE_TYPE = {"PERSISTED_QUERY_BROKEN", "PERSISTED_QUERY_HASH_MISMATCH"}

log = structlog.get_logger()

Given = TypeVar("Given")


class NeedsStream(Refused):
    """A subscription, which has more to tell than a plain answer can carry."""


class GraphQLEndpoint(GraphQLRouter[Context, None]):
    """Strawberry's router, held to the letter of GraphQL over HTTP."""

    def take_requests(self, path: str, context_of: Callable[[HTTPConnection], Context]) -> None:
        """Serve queries and mutations at `path`, without FastAPI's injection of what we make in one call.

        Strawberry's own routes ask for the context and the root value as dependencies, which costs as much as
        the execution of a small operation.

        Args:
            context_of: raises what `bff/app.py` has answers for.
        """

        async def answer(request: Request) -> Any:
            if request.method not in METHODS:
                raise HTTPException(405)  # HEAD, which Starlette adds to GET
            return await self.run(request, context_of(request), None)

        route = Route(path, answer, methods=METHODS)
        sockets = [each for each in self.routes if isinstance(each, APIWebSocketRoute)]
        self.routes[:] = [route, *sockets]

    async def run(self, request: Request | WebSocket, context: Any = UNSET, root_value: Any = UNSET) -> Any:
        if isinstance(request, WebSocket):
            return await super().run(request, context, root_value)
        try:
            streamed = self._get_stream_transport_from_headers(request.headers)
            if not streamed and not answer_type(request.headers):
                raise Refused(
                    f"Answers are {GRAPHQL_RESPONSE} or {JSON}: accept one of them.",
                    code="NOT_ACCEPTABLE",
                    status=406,
                )
            await request.body()  # keeps it: what is received from now on is the client's leaving
            return await unless_left(request, context, super().run(request, context, root_value))
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except StrawberryRefusal as exc:
            return refused(request, Refused(exc.reason, status=exc.status_code))

    def _get_stream_transport_from_headers(self, headers: Mapping[str, str]) -> HTTPStreamTransport | None:
        # Strawberry's own takes any mention of a stream for the wish for one, whatever its `q`.
        assert isinstance(headers, Headers), "Starlette's, as it made the request"
        return self._get_stream_transport(STREAMED_AS.get(accepted(headers).stream or "", "http"))

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        return False  # GraphiQL has its own address

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        if request.method == "GET":
            # What is empty is absent: forms and query builders write out every name they know.
            filled = {name: value for name, value in request.query_params.items() if value}
            given = self.parse_query_params(filled)
        else:
            packed = request.headers.get("content-encoding", "identity").lower() != "identity"
            if packed or not is_json(request.content_type):
                raise Refused(
                    f"Send the operation as {JSON} in UTF-8, uncompressed.",
                    code="UNSUPPORTED_MEDIA_TYPE",
                    status=415,
                )
            given = self.parse_json(await request.get_body())
            if isinstance(given, list):
                raise Refused("Batches are not served: send one operation in a request.")
            if not isinstance(given, dict):
                raise Refused("The body must be a JSON object.")
        transport = self._get_stream_transport_from_headers(request.headers)
        return GraphQLRequestData(
            query=_given(given, "query", str),
            variables=_given(given, "variables", dict),
            operation_name=_given(given, "operationName", str),
            extensions=_given(given, "extensions", dict),
            protocol=transport.protocol if transport else "http",
        )

    def parse_json(self, data: str | bytes) -> Any:
        try:
            return self.decode_json(data)
        except json.JSONDecodeError:
            raise Refused("The body, `variables` or `extensions` cannot be read as JSON.") from None

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)  # an error of its own is a json.JSONDecodeError, as callers expect

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        try:
            return await self.schema.execute(
                request_data.query,
                variable_values=request_data.variables,
                context_value=context,
                root_value=root_value,
                operation_name=request_data.operation_name,
                allowed_operation_types=OPERATIONS[request_adapter.method],
                operation_extensions=request_data.extensions,
            )
        except MissingQueryError:
            raise Refused(NO_DOCUMENT) from None
        except CannotGetOperationTypeError as exc:
            raise Refused(exc.as_http_error_reason()) from None
        except InvalidOperationTypeError as exc:
            raise self._of_another_kind(exc.operation_type) from None

    def _of_another_kind(self, operation_type: OperationType) -> Refused:
        if operation_type is OperationType.MUTATION:
            return needs_post()
        served = [TRANSPORTS[protocol] for protocol in self.protocols if protocol in TRANSPORTS]
        return NeedsStream(
            f"A subscription needs a stream: {', or '.join(served)}."
            if served
            else "This server has no transport for subscriptions."
        )

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        processed = process_result(result)
        if result.data is None and (isinstance(result, PreExecutionError) or _unlocated(result)):
            del processed["data"]  # nothing was executed
        return processed

    async def get_sub_response(self, request: Request) -> Response:
        return Response(media_type=answer_type(request.headers) or JSON)

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        assert isinstance(response_data, dict), "batches are refused"
        media_type = sub_response.media_type or JSON
        return Response(
            orjson.dumps(response_data),
            media_type=with_charset(media_type),
            status_code=_status(response_data, media_type),
            headers={"cache-control": "no-store"},
        )


def needs_post() -> Refused:
    """The refusal of a mutation that came by GET."""
    return Refused("A mutation needs POST.", code="METHOD_NOT_ALLOWED", status=405, headers={"allow": "POST"})


def astray(request: Request, error: HTTPException) -> Refused:
    """What to say to a request that no route takes."""
    if request.url.path == ENDPOINT and error.status_code == 405:
        allow = ", ".join(METHODS)
        return Refused(
            "Send an operation with POST, or a query with GET.",
            code="METHOD_NOT_ALLOWED",
            status=405,
            headers={"allow": allow},
        )
    codes = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
    return Refused(
        f"{error.detail}: the graph is at {ENDPOINT}.",
        code=codes.get(error.status_code, "BAD_USER_INPUT"),
        status=error.status_code,
        headers=error.headers,
    )


def _given(parameters: Mapping[str, Any], name: str, kind: type[Given]) -> Given | None:
    """A parameter of the request; None when it is absent or null."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, kind):
        raise Refused(f"`{name}` must be {'a string' if kind is str else 'an object'}, or be left out.")
    return value


def _unlocated(result: ExecutionResult) -> bool:
    """Whether all errors are of the request as a whole: a variable that cannot be used."""
    return bool(result.errors) and not any(error.path for error in result.errors or ())


def _status(body: GraphQLHTTPResponse, media_type: str) -> int:
    if "data" in body:
        return 200
    errors: list[Any] = body["errors"] or []
    codes = {error.get("extensions", {}).get("code") for error in errors}
    if "INTERNAL_SERVER_ERROR" in codes:
        return 500
    if "RATE_LIMITED" in codes:  # by us: no service was asked
        return 429
    return 400 if media_type == GRAPHQL_RESPONSE or codes & BAD_WHATEVER_THE_TYPE else 200


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
