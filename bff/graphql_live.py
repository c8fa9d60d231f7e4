"""The endpoint with streams: subscriptions over WebSocket, server-sent events and multipart.

Sockets are in `graphql_ws.py`. A stream over HTTP is an answer that does not end: its token is checked before
it begins, comment lines or empty parts keep proxies from ending it, and it ends with its client.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
from fastapi import Request, Response
from graphql import GraphQLError, OperationType, get_operation_ast, parse
from starlette.requests import HTTPConnection
from starlette.responses import StreamingResponse
from strawberry.http import GraphQLRequestData
from strawberry.http.streaming import HTTPStreamTransport, MultipartSubscriptionTransport, SSETransport
from strawberry.schema import BaseSchema
from strawberry.subscriptions import (
    GRAPHQL_SSE_PROTOCOL,
    GRAPHQL_TRANSPORT_WS_PROTOCOL,
    MULTIPART_SUBSCRIPTION_PROTOCOL,
)
from strawberry.types import ExecutionResult

from bff.drain import Drain
from bff.errors import too_many
from bff.graphql_http import GraphQLEndpoint, NeedsStream, needs_post
from bff.graphql_ws import Door, Socket, SocketHandler
from bff.limits import LimitSettings
from bff.media_types import accepted
from bff.rates import RateLimited
from bff.settings.connections import StreamSettings
from bff.streams import Streams, until_the_end
from bff.turns import Turns
from resolvers.context import Context
from resolvers.errors import RequestError

PROTOCOLS = (GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL)
TRANSPORTS = {"sse": "sse", "multipart-subscription": "multipart"}  # Strawberry's word → ours
UNBUFFERED = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}


class EventStream(SSETransport):
    """Server-sent events whose lines end as urql looks for it: it hears nothing that ends with CRLF."""

    def encode_event(self, event: str, data: str | None = None) -> str:
        return super().encode_event(event, data).replace("\r\n", "\n")

    def encode_comment(self, comment: str) -> str:
        return super().encode_comment(comment).replace("\r\n", "\n")


STREAMS: dict[str, type[HTTPStreamTransport]] = {
    GRAPHQL_SSE_PROTOCOL: EventStream,
    MULTIPART_SUBSCRIPTION_PROTOCOL: MultipartSubscriptionTransport,
}


class LiveEndpoint(GraphQLEndpoint):
    """The endpoint of queries, which serves subscriptions as well."""

    stream_transport_classes_by_protocol = STREAMS
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
        request: Request = given["request"]
        asked: GraphQLRequestData = given["request_data"]
        if asked.protocol not in TRANSPORTS:
            return await super().execute_operation(*args, **given)
        rather_stream = accepted(request.headers).rather_stream
        if not rather_stream:
            # Of one result a plain answer tells more: it has a status. What needs a stream is known only now.
            with contextlib.suppress(NeedsStream):
                return await self.execute_single(*args, **given)
        try:
            self.streams.check(context.viewer)
            if rather_stream and request.method == "GET" and await self._is_mutation(asked, context):
                await context.admission.begin()
                raise needs_post()
        except RateLimited as exc:
            raise too_many(exc) from None
        context.transport = TRANSPORTS[asked.protocol]
        context.on_event = request.state.never_ends  # a leaving process waits for a query or a mutation
        results: Any = await super().execute_operation(*args, **given)
        return until_the_end(results, context, self.streams, self.turns)

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

    async def create_streaming_response(  # type: ignore[override]  # a generator, as Strawberry's base has it
        self,
        request: Request,
        stream: Callable[[], AsyncGenerator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        told = {name.lower(): value for name, value in headers.items()}
        return StreamingResponse(self._until_closing(stream()), headers={**told, **UNBUFFERED})

    async def _until_closing(self, texts: AsyncGenerator[str]) -> AsyncGenerator[str]:
        """What a stream says, without its closing words where the process leaves.

        They mean that there is nothing more to tell. A client that misses them asks again.
        """
        async with contextlib.aclosing(texts):
            async for text in texts:
                if self.streams.closing:
                    return
                yield text

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()  # text: bytes would become binary frames
