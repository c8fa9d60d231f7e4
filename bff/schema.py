"""The graph that this process serves: the nouns of `resolvers/`, put together as one federated schema."""

import time
from collections.abc import Iterator
from typing import Any

import strawberry
import structlog
from graphql import GraphQLError
from strawberry.extensions import ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig

from bff.errors import explained, log_unexpected
from resolvers.claims.queries import ClaimQueries
from resolvers.context import Context
from resolvers.dashboard import DashboardQueries
from resolvers.detections import DetectionQueries
from resolvers.documents import DocumentQueries
from resolvers.integrations import IntegrationQueries
from resolvers.node import NODE_TYPES, NodeQueries
from resolvers.payments import PaymentQueries
from resolvers.scalars import SCALARS
from resolvers.service_health import ServiceHealthQueries
from resolvers.syncs import SyncQueries
from resolvers.viewer import ViewerQueries

log = structlog.get_logger()

DOCUMENTS_CACHED = 256  # parsed and validated documents kept, per process


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
):
    """Every query field of every noun, in this order."""


class OperationEnd(SchemaExtension):
    """When an operation has ended: its errors in our words, and one log event."""

    def on_operation(self) -> Iterator[None]:
        started_s = time.perf_counter()
        yield
        execution = self.execution_context
        context: Context = execution.context
        result: Any = execution.result  # graphql-core's, or Strawberry's where nothing was executed
        errors: list[GraphQLError] = []
        if result is not None and result.errors:
            log_unexpected(result.errors)
            errors = result.errors = [explained(error, context.support_code) for error in result.errors]
        log.info(
            "operation.executed",
            operation=execution.operation_name or "unnamed",
            viewer_id=context.viewer.user_id,
            error_count=len(errors),
            error_codes=sorted({error.extensions["code"] for error in errors if error.extensions}),
            upstream_calls=dict(context.caller.calls),
            duration_ms=round((time.perf_counter() - started_s) * 1000, 1),
        )


class Schema(strawberry.federation.Schema):
    """The schema of the graph."""

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Log nothing: Strawberry would log each client's mistake with its document. See `OperationEnd`."""


def build_schema() -> Schema:
    """The executable schema; `schema.graphql` is printed from it."""
    return Schema(
        query=Query,
        types=list(NODE_TYPES.values()),
        config=StrawberryConfig(scalar_map=SCALARS),
        federation_version="2.9",
        extensions=[
            OperationEnd,
            lambda: ParserCache(maxsize=DOCUMENTS_CACHED),
            lambda: ValidationCache(maxsize=DOCUMENTS_CACHED),
        ],
    )
