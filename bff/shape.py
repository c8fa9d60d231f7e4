"""The shape of an operation: what is counted without variables and schema, so before validation."""

from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What can be counted without variables and without a schema."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0  # of the uppermost level: of an operation, its root fields
    directives: int = 0
    longest_list: int = 0

    def beside(self, other: "Shape") -> "Shape":
        """Both in one selection."""
        return Shape(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.fields + other.fields,
            self.directives + other.directives,
            max(self.longest_list, other.longest_list),
        )


class ShapeWalk:
    """One pass over a document, which may not be valid."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._shapes: dict[str, Shape] = {}
        self.visited = 0  # nodes that were looked at

    def shape(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> Shape:
        """The shape of an operation or of a fragment with all that it spreads."""
        defaults = [each.default_value for each in node.variable_definitions or () if each.default_value]
        longest = max(map(self._longest, defaults), default=0)
        own = Shape(directives=len(node.directives or ()), longest_list=longest)
        return own.beside(self._selections(node.selection_set))

    def _selections(self, selections: SelectionSetNode) -> Shape:
        total = Shape()
        for node in selections.selections:
            self.visited += 1
            total = total.beside(Shape(directives=len(node.directives or ())))
            if isinstance(node, FieldNode):
                total = total.beside(self._field(node))
            elif isinstance(node, FragmentSpreadNode):
                total = total.beside(self._fragment(node.name.value))
            elif isinstance(node, InlineFragmentNode):
                total = total.beside(self._selections(node.selection_set))
        return total

    def _field(self, node: FieldNode) -> Shape:
        below = Shape()
        if node.selection_set and node.name.value not in ("__schema", "__type"):
            below = self._selections(node.selection_set)
        longest = max((self._longest(argument.value) for argument in node.arguments or ()), default=0)
        return Shape(
            below.depth + 1,
            below.aliases + (node.alias is not None),
            1,
            below.directives,
            max(below.longest_list, longest),
        )

    def _fragment(self, name: str) -> Shape:
        if name not in self._shapes:
            self._shapes[name] = Shape()  # for one that spreads itself, which validation will refuse
            if fragment := self._fragments.get(name):
                self._shapes[name] = self.shape(fragment)
        return self._shapes[name]

    def _longest(self, value: Node) -> int:
        self.visited += 1
        if isinstance(value, ListValueNode):
            return max(len(value.values), *(self._longest(item) for item in value.values), 0)
        if isinstance(value, ObjectValueNode):
            return max((self._longest(field.value) for field in value.fields), default=0)
        return 0
