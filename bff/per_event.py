"""PerEvent: executes each event of a subscription like an operation of its own. See docs/decisions/0017."""

import functools
import weakref
from typing import Any

from graphql import GraphQLResolveInfoHelpers
from graphql.execution import Executor
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class PerEvent(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, with a context that begins anew for each event."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Those that graphql-core makes hold the executor, and it holds them: with it the request and its body
        # would wait for a garbage collection.
        executor, class_ = weakref.proxy(self), type(self)
        self.async_helpers = GraphQLResolveInfoHelpers(
            gather=functools.partial(class_.gather_async_work, executor),
            track=functools.partial(class_.track_async_work, executor),
        )

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        self.context_value.begin_event()  # events of one stream are executed one after the other
        return super().build_per_event_executor(payload)
