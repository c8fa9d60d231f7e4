"""The stored operations: what the React app asks, each a document that stands on its own."""

from functools import cache
from pathlib import Path

from graphql import FragmentDefinitionNode, OperationDefinitionNode, Visitor, parse, print_ast, visit
from graphql.language import FragmentSpreadNode, Node

# Installed, the operations lie inside the package; in a checkout, beside it.
FOLDERS = (Path(__file__).parent / "operations_files", Path(__file__).parent.parent / "operations")


def stored_folder() -> Path:
    """Where the stored operations lie."""
    return next(folder for folder in FOLDERS if folder.is_dir())


@cache
def stored_operations() -> dict[str, str]:
    """Operation name → its document with just the fragments it needs."""
    definitions = [
        definition
        for file in sorted(stored_folder().glob("*.graphql"))
        for definition in parse(file.read_text(), no_location=True).definitions
    ]
    fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}
    return {
        node.name.value: "\n\n".join(map(print_ast, [node, *_needed(node, fragments)]))
        for node in definitions
        if isinstance(node, OperationDefinitionNode) and node.name
    }


def _needed(node: Node, fragments: dict[str, FragmentDefinitionNode]) -> list[FragmentDefinitionNode]:
    """The fragments that a definition spreads, and those that they spread, each once."""
    needed: dict[str, FragmentDefinitionNode] = {}

    class Spreads(Visitor):
        def enter_fragment_spread(self, spread: FragmentSpreadNode, *_: object) -> None:
            name = spread.name.value
            if name not in needed:
                needed[name] = fragments[name]
                visit(fragments[name], Spreads())

    visit(node, Spreads())
    return list(needed.values())
