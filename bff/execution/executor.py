"""LevelExecutor: graphql-core's executor, which hands over each object and each list that it meets."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLList,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

from bff.execution.places import Entry
from bff.execution.plan import Plans, plans_of
from bff.execution.run import Run
from bff.per_event import PerEvent


class LevelExecutor(PerEvent):
    """Executes levels. Root fields are graphql-core's own work, and what `_field_by_field` names."""

    plans: Plans

    @classmethod
    def build(
        cls, schema: GraphQLSchema, document: DocumentNode, *given: Any, **named: Any
    ) -> list[GraphQLError] | Executor[Any]:
        built = super().build(schema, document, *given, **named)
        if isinstance(built, LevelExecutor):
            built.plans = plans_of(document)
        return built

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if self._field_by_field(return_type):
            return super().complete_object_value(
                return_type, field_details_list, info, path, result, position_context
            )
        field = self.plans.field(self, info, field_details_list)
        return Run(self).complete(field.part(return_type), result, Entry(field, return_type, info, path))

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: AsyncIterable[Any] | Iterable[Any],
        position_context: Any,
    ) -> Any:
        if self._field_by_field(info.parent_type):
            return super().complete_list_value(
                return_type, field_details_list, info, path, result, position_context
            )
        field = self.plans.field(self, info, field_details_list)
        return Run(self).complete(field.part(return_type), result, Entry(field, return_type, info, path))

    def _field_by_field(self, type_: GraphQLObjectType) -> bool:
        """Whether graphql-core executes what is asked of a type: introspection, or all of it."""
        watched = self.middleware_manager and self.middleware_manager.middlewares
        return bool(type_.name.startswith("__") or watched or self.abort_signal)
