"""What a router asks of one graph among several: a schema to compose, and entities by their keys."""

import functools
from collections.abc import Sequence
from typing import Any

import strawberry
from graphql import (
    REMOVE,
    DirectiveDefinitionNode,
    DirectiveNode,
    FieldDefinitionNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    StringValueNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from resolvers.context import Info
from resolvers.errors import BadUserInput
from resolvers.node import NODE_TYPES

SCOPES = "requiresScopes"

# As https://specs.apollo.dev/federation/v2.9 defines what the schema imports. Composition knows them; tools
# that know GraphQL only (codegen, linters, `buildSchema`) refuse a schema that uses what it does not define.
DEFINITIONS = '''
"""Imports names of another specification."""
directive @link(url: String!, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA

"""The fields by which other graphs name an object of this type."""
directive @key(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE

"""Other graphs may define the same type or field."""
directive @shareable repeatable on OBJECT | FIELD_DEFINITION

"""Whoever asks must carry all scopes of one of the lists."""
directive @requiresScopes(
  scopes: [[federation__Scope!]!]!
) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM

"""A word of a token's `scope`."""
scalar federation__Scope

"""A selection of fields, without its outer braces."""
scalar federation__FieldSet

"""A name to import, or an object that renames it."""
scalar link__Import

"""What a linked specification is for."""
enum link__Purpose {
  """Needed to resolve fields safely."""
  SECURITY

  """Needed to execute operations."""
  EXECUTION
}
'''


@strawberry.type(name="_Service", description="This graph, as a router sees it.")
class Service:
    sdl: str = strawberry.field(
        description=(
            "The schema to compose: all of this graph but `Query.node`, which would promise the objects of "
            "every graph and could find ours only."
        )
    )


@strawberry.type
class RouterQueries:
    @strawberry.field(name="_service", description="For routers: what to compose.")
    def service(self, info: Info) -> Service:
        return Service(sdl=router_sdl(info.schema, scopes=info.context.router_scopes))


@functools.cache
def router_sdl(schema: strawberry.Schema, *, scopes: bool) -> str:
    """The part of a schema that a router may compose with other graphs.

    Args:
        scopes: whether it says what each field needs. Routers that know `@requiresScopes` can refuse before
            they ask; Apollo's gateway refuses the whole supergraph for it.
    """
    document = visit(parse(schema.as_str()), _WithoutNode())
    return print_ast(document if scopes else visit(document, _WithoutScopes()))


class _WithoutNode(Visitor):
    def enter_field_definition(self, field: FieldDefinitionNode, *where: Any) -> Any:
        owners = [each.name.value for each in where[-1] if isinstance(each, ObjectTypeDefinitionNode)]
        return REMOVE if (owners, field.name.value) == (["Query"], "node") else None


class _WithoutScopes(Visitor):
    def enter_directive(self, directive: DirectiveNode, *_: Any) -> Any:
        return REMOVE if directive.name.value == SCOPES else None

    def enter_directive_definition(self, definition: DirectiveDefinitionNode, *_: Any) -> Any:
        return REMOVE if definition.name.value == SCOPES else None

    def enter_scalar_type_definition(self, definition: ScalarTypeDefinitionNode, *_: Any) -> Any:
        return REMOVE if definition.name.value == "federation__Scope" else None

    def enter_string_value(self, value: StringValueNode, *_: Any) -> Any:
        return REMOVE if value.value == f"@{SCOPES}" else None  # among the imports


def entities_of(info: Info, representations: Sequence[object]) -> list[Any]:
    """Each representation's entity, in their order: an awaitable, or the error of its own place.

    Nothing is asked before all are in hand, so that the loaders get them as one batch per type. `limits.py`
    says how many there may be, as of any list.
    """
    return [_entity(info, representation) for representation in representations]


def _entity(info: Info, representation: object) -> Any:
    given = representation if isinstance(representation, dict) else {}
    type_name, entity_id = given.get("__typename"), given.get("id")
    entity = NODE_TYPES.get(type_name) if isinstance(type_name, str) else None
    if not hasattr(entity, "resolve_reference") or not isinstance(entity_id, str):
        return BadUserInput("A representation is the `__typename` of an entity of this API, and its `id`.")
    return entity.resolve_reference(info, entity_id)  # type: ignore[union-attr]
