"""PerEvent: executes each event of a subscription like an operation of its own. See docs/decisions/0017."""

from typing import Any

from graphql.execution import Executor
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class PerEvent(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, with a context that begins anew for each event."""

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        self.context_value.begin_event()  # events of one stream are executed one after the other
        return super().build_per_event_executor(payload)
