"""The endpoint with streams: subscriptions over WebSocket, server-sent events and multipart.

Sockets are in `graphql_ws.py`. A stream over HTTP is an answer that does not end: its token is checked before
it begins, comment lines or empty parts keep proxies from ending it, and it ends with its client.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
from fastapi import Request, Response
from graphql import GraphQLError, OperationType, get_operation_ast, parse
from starlette.requests import HTTPConnection
from starlette.responses import StreamingResponse
from strawberry.http import GraphQLRequestData
from strawberry.schema import BaseSchema
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types import ExecutionResult

from bff.drain import Drain
from bff.errors import too_many
from bff.graphql_http import GraphQLEndpoint, needs_post
from bff.graphql_ws import Door, Socket, SocketHandler
from bff.limits import LimitSettings
from bff.rates import RateLimited
from bff.settings.connections import StreamSettings
from bff.streams import Streams, until_the_end
from bff.turns import Turns
from resolvers.context import Context
from resolvers.errors import RequestError

PROTOCOLS = (GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL)
TRANSPORTS = {"sse": "sse", "multipart-subscription": "multipart"}  # Strawberry's word → ours
UNBUFFERED = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}


class LiveEndpoint(GraphQLEndpoint):
    """The endpoint of queries, which serves subscriptions as well."""

    graphql_transport_ws_handler_class = SocketHandler
    websocket_adapter_class = Socket  # type: ignore[assignment]  # as in Strawberry's own

    def __init__(
        self,
        schema: BaseSchema,
        path: str,
        *,
        context_of: Callable[[HTTPConnection], Context],
        door: Door,
        streams: Streams,
        drain: Drain,
        turns: Turns,
        settings: StreamSettings,
        limits: LimitSettings,
        origin_allowed: Callable[[str], bool],
        on_foreign: Callable[[HTTPConnection], None],
    ) -> None:
        """
        Args:
            context_of: of a request over HTTP; a WebSocket's token may come in its first message.
            door: lets the operations of WebSockets in.
            drain: waits for their queries and mutations before it closes streams.
            turns: whose operation begins next.
            limits: of documents that are read before a stream begins.
            origin_allowed: whether a page of an origin that is not ours may open a WebSocket.
            on_foreign: told of a page that may not.
        """
        super().__init__(
            schema,
            path,
            graphql_ide=None,
            subscription_protocols=PROTOCOLS,
            connection_init_wait_timeout=timedelta(seconds=settings.init_wait_s),
            max_subscriptions_per_connection=settings.operations,
        )
        self.take_requests(path, context_of)
        self.door = door
        self.origin_allowed = origin_allowed
        self.on_foreign = on_foreign
        self.streams = streams
        self.drain = drain
        self.turns = turns
        self.limits = limits
        self.heartbeat_s = settings.heartbeat_s
        for transport in self._stream_transport_map.values():
            transport.heartbeat_interval = settings.heartbeat_s

    async def execute_operation(self, *args: Any, **given: Any) -> Any:
        context: Context = given["context"]
        if given["request_data"].protocol in TRANSPORTS:
            try:
                self.streams.check(context.viewer)
                if given["request_adapter"].method == "GET" and await self._is_mutation(
                    given["request_data"], context
                ):
                    await context.admission.begin()
                    raise needs_post()
            except RateLimited as exc:
                raise too_many(exc) from None
        results: Any = await super().execute_operation(*args, **given)
        if isinstance(results, AsyncGenerator):
            context.transport = TRANSPORTS[given["request_data"].protocol]
            return until_the_end(results, context, self.streams, self.turns)
        return results

    async def execute_single(self, *args: Any, **given: Any) -> ExecutionResult:
        context: Context = given["context"]
        async with self.turns.turn(context.viewer):
            return await super().execute_single(*args, **given)

    async def _is_mutation(self, given: GraphQLRequestData, context: Context) -> bool:
        """Whether an operation changes something; once its stream has begun no status can refuse it.

        False for what cannot be read, too: the stream says so.
        """
        with contextlib.suppress(RequestError, GraphQLError, RecursionError):
            asked = await context.documents.asked(given.query, given.extensions)
            document = parse(asked.document or "", no_location=True, **self.limits.of_the_parser)
            operation = get_operation_ast(document, given.operation_name)
            return operation is not None and operation.operation is OperationType.MUTATION
        return False

    def is_websocket_origin_allowed(self, request: Any, origin: str) -> bool:
        allowed = self.origin_allowed(origin)
        if not allowed:
            self.on_foreign(request)
        return allowed

    async def create_streaming_response(
        self,
        request: Request,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        told = {name.lower(): value for name, value in headers.items()}
        return StreamingResponse(stream(), headers={**told, **UNBUFFERED})

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()  # text: bytes would become binary frames
