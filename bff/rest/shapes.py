"""From what an operation selects to a JSON Schema of what it answers.

GraphQL                         JSON Schema
object, interface               object with just the selected fields, none besides
field under a type condition    optional: it is there when the object is of that type
nullable                        or null
list                            array
enum                            one of its values
Int, Float, Boolean             integer, number, boolean
DateTime                        string, date-time
everything else                 string
"""

from collections.abc import Iterator, Sequence
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_nullable_type,
    is_abstract_type,
    parse,
)
from strawberry.types.field import StrawberryField

from bff.schema import Schema
from resolvers.fields import CALLS

SCALARS: dict[str, dict[str, Any]] = {
    "Boolean": {"type": "boolean"},
    "DateTime": {"type": "string", "format": "date-time"},
    "Float": {"type": "number"},
    "Int": {"type": "integer"},
}

Composite = GraphQLObjectType | GraphQLInterfaceType
Selected = tuple[
    Composite, FieldNode, bool
]  # the type a field is selected on, and whether it is always there


class Shape:
    """What one operation answers."""

    def __init__(self, schema: Schema, document: str) -> None:
        """
        Args:
            document: one operation with its fragments, valid against the schema.
        """
        definitions = parse(document).definitions
        [operation] = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
        root = schema._schema.get_root_type(operation.operation)
        assert root is not None, "the document is valid"
        self._schema = schema
        self._fragments = {
            node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._root, self._selection = root, operation.selection_set

    def at(self, steps: Sequence[str | int]) -> dict[str, Any]:
        """The schema of the value that lies there, when it is not null."""
        type_, sets, _ = self._walk(steps)
        return self._value(get_nullable_type(type_), sets)

    def asks_for(self, steps: Sequence[str | int]) -> bool:
        """Whether some service must answer before there is a value there: whether a field on the way asks."""
        *_, passed = self._walk(steps)
        fields = [self._schema.get_field_for_type(node.name.value, on.name) for on, node in passed]
        return any(isinstance(field, StrawberryField) and field.metadata.get(CALLS) for field in fields)

    def _walk(
        self, steps: Sequence[str | int]
    ) -> tuple[GraphQLOutputType, list[SelectionSetNode], list[tuple[Composite, FieldNode]]]:
        type_: GraphQLOutputType = self._root
        sets = [self._selection]
        passed: list[tuple[Composite, FieldNode]] = []
        for step in steps:
            inner = get_nullable_type(type_)
            if isinstance(inner, GraphQLList):
                type_ = inner.of_type
                continue
            assert isinstance(inner, GraphQLObjectType | GraphQLInterfaceType)
            found = self._fields(inner, sets)[str(step)]
            on, node, _ = found[0]
            passed.append((on, node))
            type_ = on.fields[node.name.value].type
            sets = [node.selection_set for _, node, _ in found if node.selection_set]
        return type_, sets, passed

    def _any(self, type_: GraphQLType, sets: Sequence[SelectionSetNode]) -> dict[str, Any]:
        if isinstance(type_, GraphQLNonNull):
            return self._value(type_.of_type, sets)
        return {"anyOf": [self._value(type_, sets), {"type": "null"}]}

    def _value(self, type_: GraphQLType, sets: Sequence[SelectionSetNode]) -> dict[str, Any]:
        if isinstance(type_, GraphQLList):
            return {"type": "array", "items": self._any(type_.of_type, sets)}
        if isinstance(type_, GraphQLEnumType):
            return {"type": "string", "enum": [*type_.values]}
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            return self._object(type_, sets)
        return dict(SCALARS.get(getattr(type_, "name", ""), {"type": "string"}))

    def _object(self, type_: Composite, sets: Sequence[SelectionSetNode]) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] = []
        for key, found in self._fields(type_, sets).items():
            on, node, _ = found[0]
            field = on.fields[node.name.value]
            below = [each.selection_set for _, each, _ in found if each.selection_set]
            properties[key] = self._any(field.type, below) | {"description": field.description}
            if any(always for *_, always in found):
                required.append(key)
        return {
            "title": type_.name,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _fields(self, type_: Composite, sets: Sequence[SelectionSetNode]) -> dict[str, list[Selected]]:
        merged: dict[str, list[Selected]] = {}
        for each in sets:
            for on, node, always in self._selected(type_, each, always=True):
                merged.setdefault(node.alias.value if node.alias else node.name.value, []).append(
                    (on, node, always)
                )
        return merged

    def _selected(self, type_: Composite, selected: SelectionSetNode, *, always: bool) -> Iterator[Selected]:
        for selection in selected.selections:
            if isinstance(selection, FieldNode):
                yield type_, selection, always
                continue
            fragment: FragmentDefinitionNode | InlineFragmentNode
            if isinstance(selection, FragmentSpreadNode):
                fragment = self._fragments[selection.name.value]
            else:
                assert isinstance(selection, InlineFragmentNode)
                fragment = selection
            condition = fragment.type_condition
            on = self._schema._schema.type_map[condition.name.value] if condition else type_
            assert isinstance(on, GraphQLObjectType | GraphQLInterfaceType)
            narrower = is_abstract_type(type_) and on is not type_
            yield from self._selected(on, fragment.selection_set, always=always and not narrower)
