"""What an operation will ask of the services, before it runs: from the costs that its fields declare.

Walks the operation with its variables as the executor would: fragments, `@skip` and `@include`, `first` of
each connection. Nothing is asked and nothing is executed.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLDirective,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_argument_values,
    get_directive_values,
    get_named_type,
    get_nullable_type,
    get_variable_values,
    parse,
    validate,
)
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective
from strawberry import Schema
from strawberry.types.field import StrawberryField

from bff.explanation import Explanation
from resolvers.connections import PAGE_SIZE_MAX
from resolvers.costs import Calls
from resolvers.fields import CALLS, WATCHED
from resolvers.node import REFERENCES

Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType
REPRESENTATIONS = "representations"  # of `_entities`: as many objects as a router names


def explain(
    schema: Schema, document: str, variables: Mapping[str, Any], operation_name: str | None = None
) -> Explanation:
    """Price an operation.

    Raises:
        NotExecutable: a variable is missing or wrong, or it is not clear which operation is meant.
        GraphQLError: the document is not valid.
    """
    parsed = parse(document)
    if errors := validate(schema._schema, parsed):
        raise errors[0]
    return priced(schema, parsed, variables, operation_name)


def priced(
    schema: Schema,
    document: DocumentNode,
    variables: Mapping[str, Any],
    operation_name: str | None,
    *,
    fields_at_most: int | None = None,
) -> Explanation:
    """Price an operation of a valid document.

    Args:
        fields_at_most: after so many fields and spreads the walk stops; none when absent.

    Raises:
        NotExecutable: a variable is missing or wrong, or it is not clear which operation is meant.
        TooManyFields: there are more.
    """
    named = [
        node
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
        and (operation_name is None or (node.name and node.name.value == operation_name))
    ]
    if len(named) != 1:
        raise NotExecutable("Say which operation of the document is meant.")
    [operation] = named
    values = get_variable_values(schema._schema, operation.variable_definitions or (), dict(variables))
    if isinstance(values, list):
        raise NotExecutable(values[0].message, values[0].nodes)
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    walk = _Walk(schema, fragments, values, fields_at_most)
    root = schema._schema.get_root_type(operation.operation)
    assert root is not None, "the document is valid"
    walk.selections(root, [operation.selection_set], parents=1, page=1, hop=0)
    return walk.found


class NotExecutable(GraphQLError):
    """Whoever executes the operation would refuse all of it, and ask nobody."""


class TooManyFields(Exception):
    """The operation has more fields, all fragments spread, than are worth pricing."""


class _Walk:
    """One pass over an operation."""

    def __init__(
        self,
        schema: Schema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Any,
        fields_at_most: float | None,
    ) -> None:
        self._fields_left = math.inf if fields_at_most is None else fields_at_most
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        # service, fetch, of which objects → at most, expected
        self._shared: dict[tuple[str, str, object], tuple[int, int]] = {}
        self._named: defaultdict[str, set[str]] = defaultdict(set)  # type → ids of its representations
        self.found = Explanation()

    def selections(
        self,
        parent: Composite,
        sets: Iterable[SelectionSetNode],
        *,
        parents: int,
        page: int,
        hop: int,
        objects: object = None,
    ) -> None:
        """Price the fields of some objects.

        Args:
            parents: how many they are.
            page: how many a list of this connection may hold.
            hop: how many answers they have waited for.
            objects: what they are known by; None at the root, where each field names objects of its own.
        """
        merged: dict[tuple[str, str], list[tuple[Composite, FieldNode]]] = {}
        for node_type, node in self._fields(parent, sets, set()):
            key = node.alias.value if node.alias else node.name.value
            merged.setdefault((node_type.name, key), []).append((node_type, node))
        for occurrences in merged.values():
            node_type, node = occurrences[0]
            self._field(
                node_type, node, [each.selection_set for _, each in occurrences], parents, page, hop, objects
            )

    def _field(
        self,
        parent: Composite,
        node: FieldNode,
        sets: list[SelectionSetNode | None],
        parents: int,
        page: int,
        hop: int,
        objects: object,
    ) -> None:
        definition = None if isinstance(parent, GraphQLUnionType) else parent.fields.get(node.name.value)
        if definition is None:  # __typename and introspection ask nobody
            return
        try:
            arguments = get_argument_values(definition, node, self._variables)
        except GraphQLError:  # of a null: this field fails, and all others are executed
            return
        declared = _metadata(self._schema, parent.name, node.name.value)
        asked: tuple[Calls, ...] = declared.get(CALLS, ())
        found = object()  # what the field finds
        graph = self._schema._schema
        alone = parent in (graph.mutation_type, graph.subscription_type)
        for calls in asked:
            self._count(replace(calls, shared=None) if alone else calls, parents, hop, objects or found)
        below = [selected for selected in sets if selected]
        named = get_named_type(definition.type)
        if not below or not isinstance(named, Composite):
            return
        if alone:
            watched = declared.get(WATCHED)
            hop += max((calls.hops for calls in asked), default=0)
            cost = self._alone(named, below, len(arguments[watched]) if watched else 1, hop)
            self.found.event_cost = cost if WATCHED in declared else 0
            return
        size = page
        if "first" in definition.args:  # out of bounds, the field is refused by its own resolver
            size = min(max(arguments.get("first", page), 0), PAGE_SIZE_MAX)
        named_hops = 0
        if REPRESENTATIONS in definition.args:
            page = len(arguments[REPRESENTATIONS])
            named_hops = self._represent(arguments[REPRESENTATIONS], hop)
        is_list = isinstance(get_nullable_type(definition.type), GraphQLList)
        if is_list:
            self.found.objects += parents * page
        self.selections(
            named,
            below,
            parents=parents * page if is_list else parents,
            page=1 if is_list else size,
            hop=hop + max((calls.hops for calls in asked), default=named_hops),
            objects=found,
        )

    def _alone(self, named: Composite, sets: list[SelectionSetNode], times: int, hop: int) -> int:
        """Price what has loaders of its own: events of a stream, or what a mutation has changed."""
        walk = _Walk(self._schema, self._fragments, self._variables, self._fields_left)
        walk.selections(named, sets, parents=1, page=1, hop=hop, objects=walk)
        self._fields_left = walk._fields_left
        self.found.add(walk.found, times)
        return walk.found.cost

    def _represent(self, representations: Iterable[object], hop: int) -> int:
        """Price what a router names, an id that it names again once; the hops that it takes."""
        self.found.by_values = True
        for each in representations:
            given = each if isinstance(each, dict) else {}
            type_name, entity_id = given.get("__typename"), given.get("id")
            if isinstance(type_name, str) and isinstance(entity_id, str) and type_name in REFERENCES:
                self._named[type_name].add(entity_id)
        asked = [(calls, len(ids)) for name, ids in self._named.items() for calls in REFERENCES[name]]
        for calls, named in asked:
            self._count(calls, named, hop, None)
        return max((calls.hops for calls, _ in asked), default=0)

    def _fields(
        self, parent: Composite, sets: Iterable[SelectionSetNode], spread: set[str]
    ) -> Iterable[tuple[Composite, FieldNode]]:
        """The fields of one level; a fragment counts once in it, as in the executor."""
        for selections in sets:
            for node in selections.selections:
                self._fields_left -= 1
                if self._fields_left < 0:
                    raise TooManyFields
                if not self._included(node):
                    continue
                if isinstance(node, FieldNode):
                    yield parent, node
                elif isinstance(node, FragmentSpreadNode):
                    if node.name.value not in spread:
                        spread.add(node.name.value)
                        fragment = self._fragments[node.name.value]
                        narrowed = self._type(fragment.type_condition.name.value)
                        yield from self._fields(narrowed, [fragment.selection_set], spread)
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    narrowed = self._type(condition.name.value) if condition else parent
                    yield from self._fields(narrowed, [node.selection_set], spread)

    def _included(self, node: Any) -> bool:
        skipped = self._holds(GraphQLSkipDirective, node, otherwise=False)
        return not skipped and self._holds(GraphQLIncludeDirective, node, otherwise=True)

    def _holds(self, directive: GraphQLDirective, node: Any, *, otherwise: bool) -> bool:
        """Whether a condition holds; `otherwise` where there is none, or where it cannot be read."""
        try:
            given = get_directive_values(directive, node, self._variables)
        except GraphQLError:  # of a null: its object fails, and all others are executed
            return otherwise
        return given["if"] if given else otherwise

    def _type(self, name: str) -> Composite:
        found = self._schema._schema.type_map[name]
        assert isinstance(found, Composite), "the document is valid"
        return found

    def _count(self, calls: Calls, parents: int, hop: int, objects: object) -> None:
        at_most, expected = calls.at_most(parents), calls.expected(parents)
        if calls.shared:  # only what this field asks beyond those that share with it
            fetch = calls.service, calls.shared, objects if calls.of_each else None
            before = self._shared.get(fetch, (0, 0))
            self._shared[fetch] = max(before[0], at_most), max(before[1], expected)
            at_most, expected = max(0, at_most - before[0]), max(0, expected - before[1])
        service = self.found.services[calls.service]
        service.at_most += at_most
        service.expected += expected
        service.cost += expected * calls.weight
        self.found.hops = max(self.found.hops, hop + calls.hops)
        self.found.by_hop[hop + calls.hops][calls.service] += at_most


def _metadata(schema: Schema, type_name: str, field_name: str) -> Mapping[Any, Any]:
    found = schema.get_field_for_type(field_name, type_name)
    return found.metadata if isinstance(found, StrawberryField) else {}
