"""The schema as a promise to clients: printed, described, and not broken since the last release."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bff_under_test import running
from graphql import (
    REMOVE,
    FieldDefinitionNode,
    GraphQLSchema,
    Node,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    TypeDefinitionNode,
    Visitor,
    build_schema,
    introspection_from_schema,
    parse,
    print_ast,
    validate,
    visit,
)
from graphql.utilities import find_breaking_changes

from bff.app import create_dev_app
from bff.cli import dev_settings
from bff.federation import DEFINITIONS
from bff.operations import stored_operations
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.schema import build_schema as build_graph
from clients.directory import SERVICES

RELEASED = Path(__file__).parent / "released.graphql"  # the schema of the last release, 0.1.0
PRINTED = Path(__file__).parents[2] / "schema.graphql"
ROUTER_ONLY = re.compile(r"__|_Service$|_Entity$|_Any$|link__")  # federation's own, and introspection's


@pytest.fixture(scope="module")
def released() -> GraphQLSchema:
    """The schema of the last release, which imported federation's directives without defining them."""
    return build_schema(RELEASED.read_text() + DEFINITIONS)


@pytest.fixture(scope="module")
def printed() -> str:
    """The schema of the code."""
    return build_graph().as_str() + "\n"


@pytest.fixture(scope="module")
def graph(printed: str) -> GraphQLSchema:
    """The schema as a tool has it that reads nothing but the file."""
    return build_schema(printed)


def test_the_printed_schema_is_the_codes(printed: str):
    """`schema.graphql` is what reviewers and clients read: it must be what is served (`make schema`)."""
    assert PRINTED.read_text() == printed


async def test_the_router_is_told_of_the_same_graph(printed: str):
    """The router composes what `_service` says: this graph, but `node`, which can find ours only."""
    sandbox, settings = Sandbox(seed(1)), dev_settings().model_copy(update={"router_scopes": True})

    async with running(create_dev_app(sandbox, settings, seller=SELLERS[0]), sandbox, settings) as bff:
        answer = await bff.ask("{ _service { sdl } }")

    assert answer.errors == []
    assert answer.data["_service"]["sdl"] == print_ast(parse(without(printed, "Query", "node")))


def test_nothing_released_was_broken(graph: GraphQLSchema, released: GraphQLSchema):
    """Clients are deployed by others: what was released stays until it was deprecated with notice."""
    breaking = find_breaking_changes(released, graph)

    assert [change.description for change in breaking] == []


def without(text: str, type_name: str, member: str) -> str:
    """A schema that has lost one field, argument or value of a type."""

    class Losing(Visitor):
        def enter(self, node: Node, *where: Any) -> Any:
            name = getattr(getattr(node, "name", None), "value", None)
            of = [each.name.value for each in where[-1] if isinstance(each, TypeDefinitionNode)]
            return REMOVE if name == member and of == [type_name] else None

    return print_ast(visit(parse(text), Losing()))


@pytest.mark.parametrize(
    ("type_name", "member"),
    [
        ("Claim", "caseNumber"),
        ("Query", "claimByCaseNumber"),
        ("Query", "filter"),
        ("ClaimStatus", "PAID"),
        ("ClaimFilterInput", "status"),
    ],
)
def test_the_check_for_breaking_changes_can_fail(
    printed: str, released: GraphQLSchema, type_name: str, member: str
):
    """A check that finds nothing is worth what it would find."""
    broken = build_schema(without(printed, type_name, member))

    breaking = find_breaking_changes(released, broken)

    [told] = [change.description for change in breaking]
    assert type_name in told
    assert member in told
    assert "removed" in told


def described(introspected: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Everything that a client can see the name of, with its description."""
    for type_ in introspected["__schema"]["types"]:
        name = type_["name"]
        if ROUTER_ONLY.match(name) or name in ("String", "Int", "Float", "Boolean", "ID"):
            continue
        yield name, type_["description"]
        for member in [
            *(type_["fields"] or []),
            *(type_["inputFields"] or []),
            *(type_["enumValues"] or []),
        ]:
            if ROUTER_ONLY.match(member["name"]) or member["name"] in ("_entities", "_service"):
                continue
            yield f"{name}.{member['name']}", member["description"]
            for argument in member.get("args", []):
                yield f"{name}.{member['name']}({argument['name']}:)", argument["description"]


def test_everything_is_described(graph: GraphQLSchema):
    """GraphiQL is the manual: a name without a sentence sends its reader to the source."""
    found = dict(described(introspection_from_schema(graph)))

    assert [name for name, description in found.items() if not (description or "").strip()] == []
    # A sentence ends somewhere; a heading or a leftover does not.
    assert [
        name for name, text in found.items() if not str(text).rstrip("`)").endswith((".", ":", "?"))
    ] == []
    assert len(found) > 400


def test_directives_are_described(graph: GraphQLSchema):
    """`@upstream` is ours: tools show it, so it must say what it means."""
    descriptions = {directive.name: directive.description for directive in graph.directives}

    assert "service" in str(descriptions["upstream"])


@pytest.mark.parametrize("operation", sorted(stored_operations()))
def test_stored_operations_fit_the_schema(graph: GraphQLSchema, operation: str):
    """The screens' own operations are the first clients to break."""
    assert [error.message for error in validate(graph, parse(stored_operations()[operation]))] == []


def fields_of(text: str) -> Iterator[tuple[str, FieldDefinitionNode]]:
    for definition in parse(text).definitions:
        if isinstance(definition, ObjectTypeDefinitionNode):
            for field in definition.fields or ():
                yield f"{definition.name.value}.{field.name.value}", field


def upstreams_of(field: FieldDefinitionNode) -> list[str]:
    return [
        argument.value.value  # type: ignore[attr-defined]
        for directive in field.directives or ()
        if directive.name.value == "upstream"
        for argument in directive.arguments or ()
    ]


def test_a_field_that_can_fail_is_nullable(printed: str):
    """A required field that asks a service would take its parents down with that service."""
    required = {name for name, field in fields_of(printed) if isinstance(field.type, NonNullTypeNode)}
    asking = {name for name, field in fields_of(printed) if upstreams_of(field)}

    assert required & asking == set()
    assert len(asking) > 25


def test_a_field_that_asks_says_whom(printed: str):
    """A slug in `@upstream` is what errors and the status page call the service; all six are asked."""
    named = {service for _, field in fields_of(printed) for service in upstreams_of(field)}

    assert named == {service.name for service in SERVICES}
    assert all(len(set(upstreams_of(field))) == len(upstreams_of(field)) for _, field in fields_of(printed))


def test_null_is_explained_or_is_an_outage(printed: str):
    """Null means that the service named by `@upstream` could not answer; any other null has its sentence."""
    optional = {
        name: field for name, field in fields_of(printed) if not isinstance(field.type, NonNullTypeNode)
    }

    silent = [
        name
        for name, field in optional.items()
        if not upstreams_of(field)
        and not re.search(r"\bnull\b", field.description.value if field.description else "", re.IGNORECASE)
    ]

    assert silent == []
