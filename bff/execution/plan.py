"""What is known of an operation before it runs, kept as long as its document is."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    GraphQLResolveInfo,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution.collect_fields import FieldDetailsList

from bff.execution.fields import Resolved

if TYPE_CHECKING:
    from bff.execution.executor import LevelExecutor

CONDITIONS = frozenset({"skip", "include"})
KEPT = 100  # plans of a document: with twenty conditions there could be a million


class Plans:
    """The plans of one document: for each field that graphql-core hands over, all that is asked below it."""

    def __init__(self, document: DocumentNode) -> None:
        found = _Conditions()
        visit(document, found)
        self._conditions = sorted(found.variables)  # the variables that say which fields are asked for
        self._fields: dict[tuple[object, ...], Resolved] = {}

    def field(
        self, executor: LevelExecutor, info: GraphQLResolveInfo[Any], details: FieldDetailsList
    ) -> Resolved:
        """The field that a value belongs to, with what is asked below it."""
        given = executor.variable_values.coerced
        key = (
            info.parent_type,
            *(id(detail.node) for detail in details),
            *(given.get(name) for name in self._conditions),
        )
        field = self._fields.get(key)
        if field is None:
            if len(self._fields) >= KEPT:
                self._fields.clear()
            field = self._fields[key] = Resolved(executor, info.parent_type, 0, "", details)
        return field


class _Conditions(Visitor):
    """Collects the variables that `@skip` and `@include` look at."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: set[str] = set()

    def enter_directive(self, directive: DirectiveNode, *_: Any) -> None:
        if directive.name.value in CONDITIONS:
            values = [argument.value for argument in directive.arguments or ()]
            self.variables |= {value.name.value for value in values if isinstance(value, VariableNode)}


_plans: dict[int, Plans] = {}  # by the identity of a document, while it lives


def plans_of(document: DocumentNode) -> Plans:
    """The plans of a document. Those of one that is kept are made once."""
    plans = _plans.get(id(document))
    if plans is None:
        plans = _plans[id(document)] = Plans(document)
        weakref.finalize(document, _plans.pop, id(document))
    return plans
