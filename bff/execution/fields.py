"""The fields of a selection, and how each is found for all objects of a level at once.

Constant    `__typename`
Attribute   what the objects carry
Method      what they work out by themselves
Loaded      what one loader answers: asked for all of them in one turn, awaited once
Resolved    any other resolver, called for each object as graphql-core calls it
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import strawberry
from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    print_ast,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import get_argument_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from bff.execution.leaves import Leaves
from bff.execution.places import InObjects
from bff.execution.selections import Found, Selection, Unreadable
from bff.execution.values import Abstracts, Lists, Objects, Values
from resolvers.fields import LOADING, Loading

if TYPE_CHECKING:
    from bff.execution.executor import LevelExecutor
    from bff.execution.run import Run


class Field:
    """One field of a selection."""

    attribute: str | None = None  # of the objects, where that is the field's value

    def __init__(
        self,
        executor: LevelExecutor,
        parent: GraphQLObjectType,
        rank: int,
        key: str,
        details: FieldDetailsList,
    ) -> None:
        """
        Args:
            rank: its place among the fields of its selection.
            key: its name in the answer.
            details: where the operation asks for it; once, or once more in each fragment.
        """
        name = details[0].node.name.value
        definition = executor.schema.get_field(parent, name)
        assert definition, "the operation is valid"
        self.parent, self.definition, self.details = parent, definition, details
        self.rank, self.key, self.name = rank, key, f"{parent.name}.{name}"
        self.type: GraphQLOutputType = definition.type
        self.nodes = [detail.node for detail in details]
        self.values = self._values_of(definition.type)
        self._given: Mapping[str, Any] | None = None if definition.args else {}
        self._parts: dict[GraphQLOutputType, Values] = {}
        self._selections: dict[GraphQLObjectType, Selection] = {}

    def find(self, run: Run, places: InObjects, objects: Sequence[Any]) -> Found | None:
        """What each object has for the field; None when that comes later, by the field's own doing."""
        raise NotImplementedError

    def selection(self, executor: LevelExecutor, type_: GraphQLObjectType) -> Selection:
        """What is asked of the field's objects that are of this type."""
        selection = self._selections.get(type_)
        if selection is None:
            try:
                grouped = executor.collect_subfields(type_, self.details).grouped_field_set
            except GraphQLError as error:  # not kept: it would hold what was executed
                return Unreadable(type_, error)
            fields = [
                field_of(executor, type_, rank, key, details)
                for rank, (key, details) in enumerate(grouped.items())
            ]
            selection = self._selections[type_] = Selection(type_, fields)
        return selection

    def part(self, type_: GraphQLOutputType) -> Values:
        """How a part of the field's value is completed that graphql-core handed over."""
        if type_ not in self._parts:
            self._parts[type_] = self._values_of(type_)
        return self._parts[type_]

    def arguments(self, executor: LevelExecutor) -> Mapping[str, Any]:
        """What the operation gives the field, as graphql-core hands it to a resolver."""
        if self._given is not None:
            return self._given
        first = self.details[0]
        given = get_argument_values(
            self.definition,
            first.node,
            executor.variable_values,
            first.fragment_variable_values,
            executor.hide_suggestions,
        )
        if self._without_variables:
            self._given = given
        return given

    @cached_property
    def _without_variables(self) -> bool:
        """Whether each execution gives the field the same; a `$` within a text does no harm."""
        return all("$" not in print_ast(argument.value) for argument in self.nodes[0].arguments or ())

    def _values_of(self, type_: GraphQLOutputType) -> Values:
        non_null = is_non_null_type(type_)
        named: Any = type_.of_type if is_non_null_type(type_) else type_
        if is_list_type(named):
            return Lists(named, self._values_of(named.of_type), non_null=non_null)
        if is_leaf_type(named):
            return Leaves(named, non_null=non_null)
        if is_abstract_type(named):
            return Abstracts(named, self, non_null=non_null)
        return Objects(named, self, non_null=non_null)


class Constant(Field):
    """`__typename`."""

    def find(self, run: Run, places: InObjects, objects: Sequence[Any]) -> Found:
        return [self.parent.name] * len(objects)


class Attribute(Field):
    """What the objects carry."""

    attribute: str

    def find(self, run: Run, places: InObjects, objects: Sequence[Any]) -> Found:
        return [_outcome(getattr, each, self.attribute) for each in objects]


class Method(Field):
    """What the objects work out by themselves, from nothing else."""

    work_out: Callable[[Any], Any]

    def find(self, run: Run, places: InObjects, objects: Sequence[Any]) -> Found:
        return [_outcome(self.work_out, each) for each in objects]


class Resolved(Field):
    """Whatever its resolver returns for each object."""

    def find(self, run: Run, places: InObjects, objects: Sequence[Any]) -> Found:
        try:
            arguments = self.arguments(run.executor)
        except Exception as error:  # told at each object
            return [error] * len(objects)
        resolve = self.definition.resolve or run.executor.field_resolver
        return [
            _outcome(resolve, each, run.info(self, places.path(index)), **arguments)
            for index, each in enumerate(objects)
        ]


class Loaded(Field):
    """What one loader answers."""

    loading: Loading
    declared: StrawberryField

    def find(self, run: Run, places: InObjects, objects: Sequence[Any]) -> Found | None:
        try:
            given = self.arguments(run.executor)
        except Exception as error:  # told at each object
            return [error] * len(objects)
        context = run.executor.context_value
        try:
            self.loading.admit(context)
            arguments = self._converted(run.executor, given)
        except Exception as error:  # told at each object, when graphql-core would: once it is awaited
            refused = asyncio.get_running_loop().create_future()
            refused.set_result([error] * len(objects))
            run.later(self._load(run, places, objects, refused, {}))
        else:
            # Before anything is awaited, so that the loader finds the keys of all levels in one batch.
            loading = self.loading.ask(context, objects, arguments)
            run.later(self._load(run, places, objects, loading, arguments))
        return None

    async def _load(
        self,
        run: Run,
        places: InObjects,
        objects: Sequence[Any],
        loading: Awaitable[list[Any]],
        arguments: dict[str, Any],
    ) -> None:
        context, name = run.executor.context_value, self.nodes[0].name.value
        values = self.loading.values(context, name, objects, await loading, arguments)
        places.put_all(self.values.complete(run, values, places))
        run.tell()

    def _converted(self, executor: LevelExecutor, given: Mapping[str, Any]) -> dict[str, Any]:
        if not given:
            return {}
        schema: strawberry.Schema = executor.schema._strawberry_schema  # type: ignore[attr-defined]
        registry = schema.schema_converter.scalar_registry
        return convert_arguments(
            dict(given), self.declared.arguments, scalar_registry=registry, config=schema.config
        )


def field_of(
    executor: LevelExecutor, parent: GraphQLObjectType, rank: int, key: str, details: FieldDetailsList
) -> Field:
    """One field of a selection, by how it is found."""
    name = details[0].node.name.value
    if name == "__typename":
        return Constant(executor, parent, rank, key, details)
    definition = executor.schema.get_field(parent, name)
    declared = _declared(definition) if definition else None
    if declared is None or declared.extensions:
        return Resolved(executor, parent, rank, key, details)
    resolver = declared.base_resolver
    field: Field
    if LOADING in declared.metadata:
        field = Loaded(executor, parent, rank, key, details)
        field.loading, field.declared = declared.metadata[LOADING], declared
    elif resolver is None and declared.default_resolver is getattr:
        field = Attribute(executor, parent, rank, key, details)
        field.attribute = declared.python_name
    elif resolver and resolver.self_parameter and len(resolver.signature.parameters) == 1:
        field = Method(executor, parent, rank, key, details)
        field.work_out = resolver
    else:
        field = Resolved(executor, parent, rank, key, details)
    return field


def _declared(definition: GraphQLField) -> StrawberryField | None:
    declared = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return declared if isinstance(declared, StrawberryField) else None


def _outcome(act: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """What it returns, or what it raises."""
    try:
        return act(*given, **named)
    except Exception as error:  # told where the value would be
        return error
