"""Subscriptions over WebSocket, in the protocol graphql-transport-ws: who may open one, and what ends it.

closed with   because
1001          the process leaves, and the queries and mutations of the socket have ended: connect again,
              elsewhere
4400          a message is not of the protocol
4401          no token, or one that proves nothing: connecting again is no use
4403          the token has expired: connect again with a new one
1013          not now: the token cannot be checked, too many came that prove nothing, or the viewer has as
              many sockets as they may; connect again later
4406          the subprotocol is not graphql-transport-ws
4408          no `connection_init` in time
4409          an operation id is in use already
4429          a second `connection_init`

The token is the `Authorization` of the `connection_init` payload, or of the request that opened the socket.
What is wrong with one operation ends that operation, with an `error` message.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from graphql import GraphQLError
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect, WebSocketState
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)

from bff.auth import Unauthenticated
from bff.rates import RateLimited
from bff.streams import Streams, told
from clients.caller import Viewer
from resolvers.context import Context
from resolvers.errors import RequestError

log = structlog.get_logger()

REASON_BYTES_AT_MOST = 120  # a close frame has room for 123
GOING_AWAY = 1001


@dataclass(frozen=True, slots=True)
class Door:
    """Lets in whoever has a token."""

    viewer: Callable[[HTTPConnection, str | None], Awaitable[Viewer]]  # of an `Authorization`, or refused
    context_for: Callable[[HTTPConnection, Viewer], Context]  # of one operation


class TooManyOperations(RequestError):
    """The socket runs as many operations as it may."""

    code = "RATE_LIMITED"


class Socket(ASGIWebSocketAdapter):
    """A WebSocket that carries JSON, one message after the other."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._saying = asyncio.Lock()

    async def send_json(self, message: Mapping[str, object]) -> None:
        async with self._saying:
            await super().send_json(message)

    async def all_said(self) -> None:
        """Wait until what there was to say is said: a client that does not read is told nothing more."""
        async with self._saying:
            pass

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        try:
            while self.ws.application_state != WebSocketState.DISCONNECTED:
                try:
                    yield orjson.loads(await self.ws.receive_text())
                except orjson.JSONDecodeError as exc:
                    raise NonJsonMessageReceived from exc
        except KeyError as exc:
            raise NonTextMessageReceived from exc
        except WebSocketDisconnect:
            pass

    async def close(self, code: int, reason: str) -> None:
        reason = reason.encode()[:REASON_BYTES_AT_MOST].decode(errors="ignore")
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # closed already
            await self.ws.close(code=code, reason=reason)


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket, and the operations on it."""

    view: Any  # the LiveEndpoint
    websocket: Any  # a Socket
    _viewer: Viewer | None = None
    _held: contextlib.ExitStack  # the viewer's seat
    _keeping: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        streams: Streams = self.view.streams
        if streams.closing:
            await self._leave()
            return
        with streams.open(self._leave), contextlib.ExitStack() as self._held:
            await super().handle()

    async def shutdown(self) -> None:
        if self._keeping:
            self._keeping.cancel()
        await super().shutdown()

    async def handle_message(self, message: Any) -> None:
        if _is_message(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("This is no message of graphql-transport-ws")

    async def handle_connection_init(self, message: Any) -> None:
        if not self.connection_init_received and not self.connection_timed_out:
            try:
                shown = self._authorization(message.get("payload") or {})
                self._viewer = await self._door.viewer(self._connection, shown)
                self._held.enter_context(self.view.streams.seat(self._viewer))
            except (Unauthenticated, RateLimited) as exc:
                if self.connection_init_timeout_task:
                    self.connection_init_timeout_task.cancel()
                await self.websocket.close(_close_code(exc), str(exc))
                return
            self._keeping = asyncio.create_task(self._keep(self._viewer))
        await super().handle_connection_init({"type": "connection_init"})

    async def handle_subscribe(self, message: Any) -> None:
        operation_id, payload = message["id"], message["payload"]
        if not self.connection_acknowledged:
            await self.websocket.close(4401, "Send connection_init first")
        elif operation_id in self.operations:
            await self.websocket.close(4409, f"Subscriber for {operation_id} already exists")
        elif len(self.operations) >= (self.max_subscriptions_per_connection or 0):
            error = TooManyOperations(
                f"This socket runs {len(self.operations)} operations already: complete one, or open another."
            )
            shown = told(error, self._connection.state.support_code)
            await self.send_message({"id": operation_id, "type": "error", "payload": [shown.formatted]})
        else:
            operation = Operation(
                self,
                operation_id,
                payload.get("query"),
                payload.get("variables"),
                payload.get("operationName"),
            )
            self.operations[operation_id] = operation
            operation.task = asyncio.create_task(self._run(operation, payload.get("extensions")))
            operation.task.add_done_callback(self._task_done)

    async def _run(self, operation: Operation[Any, None], extensions: dict[str, Any] | None) -> None:
        assert self._viewer, "acknowledged"
        context = self._door.context_for(self._connection, self._viewer)
        context.transport = "websocket"
        context.support_code = f"OP-{secrets.token_hex(4).upper()}"  # the socket's names no operation
        try:
            with (
                structlog.contextvars.bound_contextvars(support_code=context.support_code),
                self.view.drain.counting() as ended,
            ):
                async with self.view.turns.turn(context.viewer) as left:

                    def on_event() -> None:  # a subscription does not end
                        ended()  # a leaving process need not wait for it
                        left()

                    context.on_event = on_event
                    await self.websocket.all_said()
                    results = await self.schema.stream(
                        operation.query,
                        variable_values=operation.variables,
                        context_value=context,
                        operation_name=operation.operation_name,
                        operation_extensions=extensions,
                    )
                    async with contextlib.aclosing(results):
                        await self._send_result_stream(operation, results)
                    await operation.send_operation_message({"id": operation.id, "type": "complete"})
        except GraphQLError as exc:  # nothing could be executed
            with contextlib.suppress(WebSocketDisconnected):
                await operation.send_initial_errors([exc])
        except WebSocketDisconnected:
            pass
        except Exception as exc:  # the client is told, whatever broke: else it would wait for ever
            log.error("socket.broken", exc_info=exc)
            with contextlib.suppress(Exception):
                await operation.send_operation_message({"id": operation.id, "type": "complete"})
        finally:
            context.caller.leave()
            if self.operations.get(operation.id) is operation:
                del self.operations[operation.id]

    @staticmethod
    def _get_pre_execution_close_reason(error: Any) -> None:
        """Never: a document that cannot be read ends its own operation, not its neighbours."""

    async def _keep(self, viewer: Viewer) -> None:
        """Keep the socket alive through proxies, until the token has expired."""
        streams: Streams = self.view.streams
        while (left_s := streams.valid_for_s(viewer)) > 0:
            await asyncio.sleep(min(left_s, self.view.heartbeat_s))
            if streams.valid_for_s(viewer) > 0:
                with contextlib.suppress(WebSocketDisconnected):  # `shutdown` is on its way
                    await self.send_message({"type": "ping"})
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)  # a client that reads slowly must not be told more
        await self.websocket.close(4403, "The token has expired. Connect again with a new one.")

    async def _leave(self) -> None:
        await self.websocket.close(GOING_AWAY, "The server is restarting. Connect again.")

    @property
    def _door(self) -> Door:
        door: Door = self.view.door
        return door

    @property
    def _connection(self) -> HTTPConnection:
        connection: HTTPConnection = self.websocket.ws
        return connection

    def _authorization(self, payload: Mapping[str, Any]) -> str | None:
        for name, value in payload.items():
            if name.lower() == "authorization" and isinstance(value, str):
                return value
        return self._connection.headers.get("authorization")


def _is_message(message: Any) -> bool:
    """Whether a message has the shape that the protocol gives to its type; an unknown type is told apart."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    payload = message.get("payload")
    if message["type"] in ("subscribe", "complete") and not (
        isinstance(message.get("id"), str) and message["id"]
    ):
        return False
    if message["type"] == "subscribe":
        return isinstance(payload, dict) and (
            _is(payload, "query", str)
            and _is(payload, "operationName", str)
            and _is(payload, "variables", dict)
            and _is(payload, "extensions", dict)
        )
    return payload is None or isinstance(payload, dict)


def _is(payload: dict[str, Any], name: str, kind: type) -> bool:
    """Whether a part of a payload is absent, null or of its kind."""
    return payload.get(name) is None or isinstance(payload[name], kind)


def _close_code(refusal: Unauthenticated | RateLimited) -> int:
    """As clients of the protocol understand it: 4401 is final, the others are worth another try."""
    if refusal.retry_after_ms is not None:
        return 1013
    return 4403 if isinstance(refusal, Unauthenticated) and refusal.reason == "expired" else 4401
