"""What an operation will ask of the services, before it runs: from the costs that its fields declare.

Walks the operation with its variables as the executor would: fragments, `@skip` and `@include`, `first` of
each connection. Nothing is asked and nothing is executed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
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
from strawberry.types.field import StrawberryField

from bff.schema import Schema
from resolvers.costs import Calls
from resolvers.fields import CALLS


@dataclass
class ServiceCalls:
    """Upstream calls of one operation to one service."""

    at_most: int = 0
    expected: int = 0  # for most sellers, whose lists fill one page
    cost: int = 0  # expected calls, the dear ones counted more


@dataclass
class Explanation:
    """What an operation asks, at most and as a rule."""

    services: defaultdict[str, ServiceCalls] = field(default_factory=lambda: defaultdict(ServiceCalls))
    hops: int = 0  # answers that must arrive one after the other
    by_hop: defaultdict[int, defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )  # hop, counted from 1 → service → calls at most

    @property
    def cost(self) -> int:
        """What the operation costs in ordinary upstream calls, as a rule."""
        return sum(calls.cost for calls in self.services.values())


def explain(
    schema: Schema, document: str, variables: Mapping[str, Any], operation_name: str | None = None
) -> Explanation:
    """Price an operation.

    Raises:
        GraphQLError: the document is not valid, a variable is missing or wrong, or it is not clear which of
            several operations is meant.
    """
    parsed = parse(document)
    if errors := validate(schema._schema, parsed):
        raise errors[0]
    named = [
        node
        for node in parsed.definitions
        if isinstance(node, OperationDefinitionNode)
        and (operation_name is None or (node.name and node.name.value == operation_name))
    ]
    if len(named) != 1:
        raise GraphQLError("Say which operation of the document is meant.")
    [operation] = named
    values = get_variable_values(schema._schema, operation.variable_definitions or (), dict(variables))
    if isinstance(values, list):
        raise values[0]
    fragments = {
        node.name.value: node for node in parsed.definitions if isinstance(node, FragmentDefinitionNode)
    }
    walk = _Walk(schema, fragments, values)
    root = schema._schema.get_root_type(operation.operation)
    assert root is not None, "the document is valid"
    walk.selections(root, [operation.selection_set], parents=1, page=1, hop=0)
    return walk.found


class _Walk:
    """One pass over an operation."""

    def __init__(
        self, schema: Schema, fragments: Mapping[str, FragmentDefinitionNode], variables: Any
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._shared: dict[tuple[str, str], tuple[int, int]] = {}  # service, fetch → at most, expected
        self.found = Explanation()

    def selections(
        self,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        sets: Iterable[SelectionSetNode],
        *,
        parents: int,
        page: int,
        hop: int,
    ) -> None:
        """Price the fields of `parents` objects; `page` is what a list of this connection may hold."""
        merged: dict[tuple[str, str], list[tuple[GraphQLObjectType | GraphQLInterfaceType, FieldNode]]] = {}
        for node_type, node in self._fields(parent, sets):
            key = node.alias.value if node.alias else node.name.value
            merged.setdefault((node_type.name, key), []).append((node_type, node))
        for occurrences in merged.values():
            node_type, node = occurrences[0]
            self._field(node_type, node, [each.selection_set for _, each in occurrences], parents, page, hop)

    def _field(
        self,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        node: FieldNode,
        sets: list[SelectionSetNode | None],
        parents: int,
        page: int,
        hop: int,
    ) -> None:
        definition = parent.fields.get(node.name.value)
        if definition is None:  # __typename and introspection ask nobody
            return
        asked = _calls(self._schema, parent.name, node.name.value)
        for calls in asked:
            self._count(calls, parents, hop)
        below = [selected for selected in sets if selected]
        named = get_named_type(definition.type)
        if not below or not isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            return
        arguments = get_argument_values(definition, node, self._variables)
        size = arguments.get("first", page) if "first" in definition.args else page
        is_list = isinstance(get_nullable_type(definition.type), GraphQLList)
        self.selections(
            named,
            below,
            parents=parents * page if is_list else parents,
            page=1 if is_list else size,
            hop=hop + max((calls.hops for calls in asked), default=0),
        )

    def _fields(
        self, parent: GraphQLObjectType | GraphQLInterfaceType, sets: Iterable[SelectionSetNode]
    ) -> Iterable[tuple[GraphQLObjectType | GraphQLInterfaceType, FieldNode]]:
        for selections in sets:
            for node in selections.selections:
                if not self._included(node):
                    continue
                if isinstance(node, FieldNode):
                    yield parent, node
                elif isinstance(node, FragmentSpreadNode):
                    fragment = self._fragments[node.name.value]
                    yield from self._fields(
                        self._type(fragment.type_condition.name.value), [fragment.selection_set]
                    )
                elif isinstance(node, InlineFragmentNode):
                    condition = node.type_condition
                    narrowed = self._type(condition.name.value) if condition else parent
                    yield from self._fields(narrowed, [node.selection_set])

    def _included(self, node: Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not (skip and skip["if"]) and (include is None or include["if"])

    def _type(self, name: str) -> GraphQLObjectType | GraphQLInterfaceType:
        found = self._schema._schema.type_map[name]
        assert isinstance(found, GraphQLObjectType | GraphQLInterfaceType), "the document is valid"
        return found

    def _count(self, calls: Calls, parents: int, hop: int) -> None:
        at_most, expected = calls.at_most(parents), calls.expected(parents)
        if calls.shared:  # only what this field asks beyond those that share with it
            before = self._shared.get((calls.service, calls.shared), (0, 0))
            self._shared[calls.service, calls.shared] = max(before[0], at_most), max(before[1], expected)
            at_most, expected = max(0, at_most - before[0]), max(0, expected - before[1])
        service = self.found.services[calls.service]
        service.at_most += at_most
        service.expected += expected
        service.cost += expected * calls.weight
        self.found.hops = max(self.found.hops, hop + calls.hops)
        self.found.by_hop[hop + calls.hops][calls.service] += at_most


def _calls(schema: Schema, type_name: str, field_name: str) -> tuple[Calls, ...]:
    found = schema.get_field_for_type(field_name, type_name)
    return found.metadata.get(CALLS, ()) if isinstance(found, StrawberryField) else ()
