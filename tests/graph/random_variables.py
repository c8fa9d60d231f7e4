"""Variables in documents that hypothesis made: sent as they should be, left out, null, or of another type.

A null where none may be fails one field, or the object that a condition lies in; a value of another type
fails the operation.
"""

from typing import Any

from graphql import (
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    NameNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    TypeNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    is_non_null_type,
    is_required_argument,
    parse_type,
    print_ast,
    value_from_ast_untyped,
    visit,
)
from hypothesis import strategies as st

SENT = [*["value"] * 5, *["null"] * 3, *["nothing"] * 2]
CONDITIONS_AT_MOST = 3  # with more of them hardly anything would be left to be executed


@st.composite
def asked(
    draw: st.DrawFn, documents: st.SearchStrategy[DocumentNode], schema: GraphQLSchema
) -> tuple[str, dict[str, Any]]:
    """The text of a document some of whose arguments and conditions are variables, and what is sent for them.

    Args:
        documents: of one operation each, without variables.
        schema: that they are valid for.
    """
    document = draw(documents)
    definitions: list[VariableDefinitionNode] = []
    sent: dict[str, Any] = {}
    info = TypeInfo(schema)

    def variable(type_: TypeNode, value: ValueNode, *, may_be_absent: bool) -> VariableNode:
        """A variable for a place that takes a type, and mostly a value for it."""
        node = VariableNode(name=NameNode(value=f"v{len(definitions)}"))
        required = type_ if isinstance(type_, NonNullTypeNode) else NonNullTypeNode(type=type_)
        declared = draw(st.sampled_from(["required", "with a default"] + ["optional"] * may_be_absent))
        definitions.append(
            VariableDefinitionNode(
                variable=node,
                type=required if declared == "required" else required.type,
                default_value=value if declared == "with a default" else None,
            )
        )
        how = draw(st.sampled_from(SENT))
        if draw(st.integers(0, 60)) == 60:
            sent[node.name.value] = {"another": "type"}
        elif how == "value" or (declared == "required" and draw(st.integers(0, 9))):
            sent[node.name.value] = value_from_ast_untyped(value)
        elif how == "null":
            sent[node.name.value] = None
        return node

    conditions = 0

    class Asking(Visitor):
        def leave_argument(self, node: ArgumentNode, *_: Any) -> ArgumentNode | None:
            argument, type_ = info.get_argument(), info.get_input_type()
            if argument is None or type_ is None or draw(st.integers(0, 3)):
                return None
            may_be_absent = not is_required_argument(argument) or not is_non_null_type(argument.type)
            value = variable(parse_type(str(type_)), node.value, may_be_absent=may_be_absent)
            return ArgumentNode(name=node.name, value=value)

        def leave(self, node: Any, *_: Any) -> Any:
            nonlocal conditions
            if not isinstance(node, FieldNode | InlineFragmentNode):
                return None
            if info.get_parent_type() is schema.subscription_type:  # a stream must be of something
                return None
            if conditions == CONDITIONS_AT_MOST or draw(st.integers(0, 7)):
                return None
            conditions += 1
            name = draw(st.sampled_from(["skip", "include"]))
            passes = BooleanValueNode(value=(name == "include") == bool(draw(st.integers(0, 3))))
            boolean = NonNullTypeNode(type=NamedTypeNode(name=NameNode(value="Boolean")))
            value = variable(boolean, passes, may_be_absent=False)
            condition = DirectiveNode(
                name=NameNode(value=name),
                arguments=(ArgumentNode(name=NameNode(value="if"), value=value),),
            )
            kept = {key: getattr(node, key) for key in node.keys if key != "directives"}
            return type(node)(**kept, directives=(*(node.directives or ()), condition))

    changed: DocumentNode = visit(document, TypeInfoVisitor(info, Asking()))
    [operation, *fragments] = changed.definitions
    assert isinstance(operation, OperationDefinitionNode)
    kept = {key: getattr(operation, key) for key in operation.keys if key != "variable_definitions"}
    operation = OperationDefinitionNode(**kept, variable_definitions=tuple(definitions))
    return print_ast(DocumentNode(definitions=(operation, *fragments))), sent
