"""The graph from end to end: what asks a service demands a scope, in code and in print, before it asks."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bff_under_test import Bff
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
)
from strawberry.federation.schema_directives import RequiresScopes
from strawberry.types.field import StrawberryField

from bff.auth import SCOPES
from bff.dev_issuer import DevIssuer
from bff.sandbox.seed import SELLERS
from bff.schema import build_schema
from resolvers.fields import CALLS
from resolvers.global_ids import global_id
from resolvers.node import NODE_TYPES

GRAPH: GraphQLSchema = build_schema()._schema
ROOTS = [root for root in (GRAPH.query_type, GRAPH.mutation_type, GRAPH.subscription_type) if root]
# What needs no scope, and why.
OPEN = {
    "Query._entities",  # each type's `by_key` demands its own: tests/api/test_identity.py
    "Query._service",
    "Query.node",  # the same
    "Query.viewer",  # the viewer's own token, read back
    "Query.serviceHealth",  # on every public status page, too
    "Subscription.serviceHealth",  # the same
    "Query.dashboard",  # an empty frame: each of its fields demands its own
}


def definition(field: GraphQLField) -> StrawberryField | None:
    found = field.extensions.get("strawberry-definition")
    return found if isinstance(found, StrawberryField) else None


def scopes_of(field: GraphQLField) -> list[str]:
    found = definition(field)
    directives = found.directives if found else ()
    return [scope for each in directives if isinstance(each, RequiresScopes) for [scope] in each.scopes]


def asks(field: GraphQLField) -> bool:
    found = definition(field)
    return bool(found and found.metadata.get(CALLS))


def objects() -> list[GraphQLObjectType]:
    return [
        each
        for each in GRAPH.type_map.values()
        if isinstance(each, GraphQLObjectType) and not each.name.startswith("_")
    ]


def reached_without_scope() -> set[str]:
    """Types whose objects a client can come to on a way that demands nothing."""
    reached, waiting = set[str](), list(ROOTS)
    while waiting:
        type_ = waiting.pop()
        if type_.name in reached:
            continue
        reached.add(type_.name)
        for name, field in type_.fields.items():
            target = get_named_type(field.type)
            if scopes_of(field) or f"{type_.name}.{name}" in ("Query.node", "Query._entities"):
                continue
            if isinstance(target, GraphQLObjectType):
                waiting.append(target)
    return reached


def test_a_field_that_asks_demands_a_scope_or_stands_below_one():
    """A field somebody adds tomorrow must not be the one that shows documents to whoever may see claims."""
    bare = reached_without_scope()

    unguarded = [
        f"{type_.name}.{name}"
        for type_ in objects()
        for name, field in type_.fields.items()
        if asks(field) and not scopes_of(field) and type_.name in bare and f"{type_.name}.{name}" not in OPEN
    ]

    assert unguarded == []
    assert {"Query", "Dashboard", "Viewer"} <= bare  # the walk went somewhere
    assert not {"Claim", "Document", "Payment", "Detection"} & bare


def test_every_scope_in_print_exists():
    """A scope that nobody can be given closes its field for good."""
    printed = {scope for type_ in objects() for field in type_.fields.values() for scope in scopes_of(field)}

    assert printed <= set(SCOPES)
    assert len(printed) >= 6


def root_fields() -> Iterator[tuple[str, str, GraphQLField]]:
    for root, kind in ((GRAPH.query_type, "query"), (GRAPH.mutation_type, "mutation")):
        for name, field in (root.fields if root else {}).items():
            if f"{root.name}.{name}" not in OPEN:  # type: ignore[union-attr]
                yield kind, name, field


def value_for(type_: GraphQLInputType) -> Any:
    """Some value that its type accepts; ids are those of objects."""
    if isinstance(type_, GraphQLNonNull):
        return value_for(type_.of_type)
    if isinstance(type_, GraphQLList):
        return [value_for(type_.of_type)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        if type_.is_one_of:
            name, field = next(iter(type_.fields.items()))
            return {name: value_for(field.type)}
        return {
            name: value_for(field.type)
            for name, field in type_.fields.items()
            if isinstance(field.type, GraphQLNonNull)
        }
    scalars: dict[str, Any] = {
        "ID": global_id("Claim", "5e11e200-0a00-4000-8000-000000000001"),
        "Int": 1,
        "Float": 1.0,
        "Boolean": True,
        "DateTime": "2026-01-01T00:00:00Z",
        "Date": "2026-01-01",
        "Decimal": "1.00",
        "UUID": "5e11e200-0a00-4000-8000-000000000001",
        "CurrencyCode": "USD",
        "URL": "https://example.test/",
    }
    return scalars.get(type_.name, "words")


def operation(kind: str, name: str, field: GraphQLField) -> tuple[str, dict[str, Any]]:
    """The field with its required arguments, and a selection where it needs one."""
    required = {
        argument: each for argument, each in field.args.items() if isinstance(each.type, GraphQLNonNull)
    }
    declared = ", ".join(f"${argument}: {each.type}" for argument, each in required.items())
    given = ", ".join(f"{argument}: ${argument}" for argument in required)
    selection = " { __typename }" if hasattr(get_named_type(field.type), "fields") else ""
    head = f"{kind} Asked({declared})" if declared else f"{kind} Asked"
    document = f"{head} {{ {name}{f'({given})' if given else ''}{selection} }}"
    return document, {argument: value_for(each.type) for argument, each in required.items()}


def token_with(bff: Bff, seller: int, scopes: tuple[str, ...]) -> str:
    assert bff.settings.jwt_secret
    return DevIssuer(bff.settings.jwt_secret).token(
        user_id=SELLERS[seller].user_id,
        email=None,
        name=None,
        stripe_user_id=SELLERS[seller].stripe_user_id,
        scopes=scopes,
        expires_in=timedelta(minutes=5),
    )


@pytest.mark.parametrize("seller", [0, 1])
@pytest.mark.parametrize("scopes", [(), ("claims", "claims:*", "*", "admin"), ("CLAIMS:READ",)], ids=str)
async def test_without_its_scope_no_root_field_answers_and_no_service_is_asked(
    bff: Bff, seller: int, scopes: tuple[str, ...]
):
    """Also what changes something: refused before anything is asked, looked up or written."""
    await bff.checked()
    bff.calls()
    asked = 0

    for kind, name, field in root_fields():
        document, variables = operation(kind, name, field)
        headers = {"authorization": f"Bearer {token_with(bff, seller, scopes)}"}
        answer = await bff.ask_with(headers, document, **variables)

        told = [(error["extensions"]["code"], error.get("path")) for error in answer.errors]
        assert told == [("FORBIDDEN", [name])], document
        [demanded] = scopes_of(field)
        assert f"`{demanded}`" in answer.errors[0]["message"]
        assert (answer.data or {}).get(name) is None
        asked += 1

    assert asked >= 12
    assert bff.calls() == {}


@pytest.mark.parametrize("type_name", sorted(set(NODE_TYPES) - {"ServiceHealth"}))
async def test_no_object_is_read_by_its_id_without_a_scope(bff: Bff, type_name: str):
    """`node` and `_entities` are doors to everything: each type is behind its own scope there."""
    await bff.checked()
    bff.calls()
    world = bff.sandbox.world
    rows: dict[str, Any] = {
        "Claim": world.claims,
        "Document": world.documents,
        "Detection": world.detections,
        "DetectionRun": world.syncs,
        "Sync": world.syncs,
        "Payment": world.transactions,
        "Integration": ["amazon"],
    }
    key = next(iter(rows[type_name]))
    entity = f'{{__typename: "{type_name}", id: "{global_id(type_name, key)}"}}'
    document = (
        f'{{ node(id: "{global_id(type_name, key)}") {{ id }} '
        f"_entities(representations: [{entity}]) {{ __typename }} }}"
    )

    answer = await bff.ask_with({"authorization": f"Bearer {token_with(bff, 0, ())}"}, document)

    assert {error["extensions"]["code"] for error in answer.errors} == {"FORBIDDEN"}
    assert sorted(error["path"][0] for error in answer.errors) == ["_entities", "node"]
    assert bff.calls() == {}
