"""The graph that this process serves: the nouns of `resolvers/`, put together as one federated schema."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any, Literal

import strawberry
import structlog
from graphql import GraphQLError, OperationDefinitionNode
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import PreExecutionError

from bff.account import note_missing, upstreams_of
from bff.errors import cause_of, explained, let_go, log_unexpected
from bff.execution.executor import LevelExecutor
from bff.federation import DEFINITIONS, RouterQueries, entities_of
from bff.introspection import SchemaGate, without_suggestion
from bff.kept_documents import KeptDocuments, ReadOnce
from bff.limits import LimitSettings, OperationLimits
from bff.per_event import PerEvent
from resolvers.claims.queries import ClaimQueries
from resolvers.claims.updates import ClaimSubscriptions
from resolvers.context import Context, Info
from resolvers.dashboard import DashboardQueries
from resolvers.detections import DetectionQueries
from resolvers.documents import DocumentQueries
from resolvers.errors import Forbidden, RequestError
from resolvers.integrations import IntegrationQueries
from resolvers.mutations.claims.create import CreateClaim
from resolvers.mutations.claims.submit import SubmitClaim
from resolvers.mutations.claims.update import UpdateClaim
from resolvers.mutations.documents import DocumentMutations
from resolvers.mutations.integrations import IntegrationMutations
from resolvers.mutations.payments import PaymentMutations
from resolvers.mutations.syncs import SyncMutations
from resolvers.mutations.user_errors import USER_ERROR_TYPES
from resolvers.node import NODE_TYPES, NodeQueries
from resolvers.payments import PaymentQueries
from resolvers.scalars import SCALARS
from resolvers.service_health import ServiceHealthQueries, ServiceHealthSubscriptions
from resolvers.sync_progress import SyncSubscriptions
from resolvers.syncs import SyncQueries
from resolvers.viewer import ViewerQueries

log = structlog.get_logger()


@strawberry.type(description="Reading.")
class Query(
    NodeQueries,
    ViewerQueries,
    DashboardQueries,
    ClaimQueries,
    DocumentQueries,
    DetectionQueries,
    PaymentQueries,
    IntegrationQueries,
    SyncQueries,
    ServiceHealthQueries,
    RouterQueries,
):
    """Every query field of every noun, in this order."""


@strawberry.type(
    description=(
        "Changing. What a person can mend is in `userErrors`; a null payload means the BFF itself failed."
    )
)
class Mutation(
    CreateClaim,
    UpdateClaim,
    SubmitClaim,
    SyncMutations,
    DocumentMutations,
    PaymentMutations,
    IntegrationMutations,
):
    """Every mutation of every noun, in this order."""


@strawberry.type(
    description=(
        "Watching. Every stream begins with a snapshot and sends whole objects. When an owner stops "
        "answering the stream stays open and silent; `serviceHealth` says why."
    )
)
class Subscription(ServiceHealthSubscriptions, ClaimSubscriptions, SyncSubscriptions):
    """Every subscription field of every noun, in this order."""


# The request holds no operation that could be run; the endpoint refuses it.
NO_OPERATION = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)


class OperationEnd(SchemaExtension):
    """When an operation has ended: its errors in our words, and one log event."""

    def on_operation(self) -> Iterator[None]:
        started_s = time.perf_counter()
        try:
            yield
        except NO_OPERATION:
            raise
        except Exception as exc:  # a syntax error, an operation that nobody named: nothing was executed
            error = exc if isinstance(exc, GraphQLError) else GraphQLError(str(exc), original_error=exc)
            [refusal] = self._ended([error], started_s)
            raise refusal from None
        if self.execution_context.context.transport != "http":
            return  # each result of a stream ends by itself, in `on_stream_result`
        result: Any = self.execution_context.result  # graphql-core's; Strawberry's when nothing was executed
        errors = self._ended((result and result.errors) or [], started_s)
        if errors:
            result.errors = errors

    def on_stream_result(self, result: Any) -> Iterator[None]:
        context: Context = self.execution_context.context
        if errors := self._ended([_in_words(error) for error in result.errors or []], context.event_began_s):
            result.errors = errors
            result.extensions = self.get_results()
        yield

    def on_validate(self) -> Iterator[None]:
        # Strawberry would run the first of several; GraphQL demands that the client says which.
        execution = self.execution_context
        nodes = execution.graphql_document.definitions if execution.graphql_document else ()
        names = [node.name and node.name.value for node in nodes if isinstance(node, OperationDefinitionNode)]
        if execution._provided_operation_name is None and len(names) > 1 and all(names):
            raise GraphQLError("The document holds several operations: name one of them in `operationName`.")
        yield

    def get_results(self) -> dict[str, Any]:
        return upstreams_of(self.execution_context.context)

    def _ended(self, errors: list[GraphQLError], started_s: float) -> list[GraphQLError]:
        execution = self.execution_context
        context: Context = execution.context
        duration_s = time.perf_counter() - started_s
        note_missing(errors, context.caller)
        log_unexpected(errors)
        let_go(errors)
        for scope in {cause.scope for error in errors if isinstance(cause := cause_of(error), Forbidden)}:
            context.on_forbidden(scope)
        errors = [explained(error, context.support_code) for error in errors]
        if not context.sees_schema:
            for error in errors:
                error.message = without_suggestion(error.message)
        # An event of a stream is not worth a line.
        told = log.info if errors or context.transport == "http" else log.debug
        told(
            "operation.executed",
            operation=execution.operation_name or "unnamed",
            viewer_id=context.viewer.user_id,
            error_count=len(errors),
            error_codes=sorted({error.extensions["code"] for error in errors if error.extensions}),
            upstream_calls={name: use.attempts for name, use in context.caller.uses.items() if use.attempts},
            duration_ms=round(duration_s * 1000, 1),
        )
        context.on_operation(execution.operation_name, duration_s, context.caller.uses, len(errors))
        context.loaders.forget()
        return errors


def _in_words(error: GraphQLError) -> GraphQLError:
    """An error of a request without an operation; any other as it is."""
    cause = error.original_error
    if isinstance(cause, MissingQueryError):
        return GraphQLError('Send an operation: {"query": "…"}.')
    if isinstance(cause, CannotGetOperationTypeError):
        return GraphQLError(f"There is no such operation in the document. {cause.as_http_error_reason()}")
    if isinstance(cause, InvalidOperationTypeError):
        return GraphQLError(f"This transport does not serve a {cause.operation_type.value}.")
    return error


class Schema(strawberry.federation.Schema):
    """The schema of the graph."""

    kept: KeptDocuments

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Log nothing: Strawberry would log each client's mistake with its document. See `OperationEnd`."""

    async def _prepare_operation_async(
        self, context: Any, extensions_runner: Any
    ) -> PreExecutionError | None:
        """Count the operation and find its document before anything is parsed, on every transport.

        Once it is valid its document is kept, and the rest of its price is counted.
        """
        # Not in an extension's `on_operation`: what that raises never comes to `OperationEnd`.
        ours: Context = context.context
        try:
            await ours.admission.begin()
            asked = await ours.documents.asked(context.query, context.operation_extensions)
            context.query = asked.document
            # Reading takes up to 40 ms. Of eight in one turn of the loop, everybody else would wait for all.
            new = asked.document is not None and asked.document not in self.kept
            async with ours.documents.turn if new else contextlib.nullcontext():
                if new:
                    await asyncio.sleep(0)  # holding the turn: the next is read in another turn of the loop
                refused = await super()._prepare_operation_async(context, extensions_runner)
            if refused is None:
                await ours.documents.accepted(asked, context.operation_name)
                await ours.admission.price(ours.cost)
        except RequestError as exc:
            return PreExecutionError(data=None, errors=[GraphQLError(str(exc), original_error=exc)])
        return refused

    async def _execute_operation(self, execution_context: Any, *how: Any) -> Any:
        ours: Context = execution_context.context
        execute = functools.partial(super()._execute_operation, execution_context, *how)
        execution_context.result = await ours.in_flight.execute(execution_context, execute)
        return execution_context.result

    def entities_resolver(self, info: Info, representations: list[FederationAny]) -> list[Any]:
        """Answer `_entities`: each representation by its type's `resolve_reference`, each failing alone.

        Strawberry's own hands whatever the representation holds to Python, which then complains.
        """
        return entities_of(info, representations)

    def as_str(self) -> str:
        """The schema as text, complete: also the directives of federation are defined."""
        return f"{super().as_str()}\n{DEFINITIONS}".rstrip()


# What executes operations: whole levels at a time, or field by field as graphql-core does it by itself.
ExecutorName = Literal["levels", "stock"]
EXECUTORS: dict[ExecutorName, type[PerEvent]] = {"levels": LevelExecutor, "stock": PerEvent}


def build_schema(limits: LimitSettings | None = None, executor: ExecutorName = "levels") -> Schema:
    """The executable schema, one per process, limits and executor; `schema.graphql` is printed from it."""
    return _built(limits or LimitSettings(), executor)


@functools.cache
def _built(limits: LimitSettings, executor: ExecutorName) -> Schema:
    kept = KeptDocuments()
    schema = Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*NODE_TYPES.values(), *USER_ERROR_TYPES],
        config=StrawberryConfig(scalar_map=SCALARS),
        execution_context_class=EXECUTORS[executor],
        federation_version="2.9",
        extensions=[
            OperationEnd,
            lambda: OperationLimits(limits),
            SchemaGate,
            lambda: ReadOnce(kept),
        ],
    )
    schema.kept = kept
    return schema
