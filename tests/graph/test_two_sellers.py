"""Two sellers, all of the graph: each place that takes an id, made from the schema, with all of the other's.

`test_two_viewers.py` shows that reading keeps them apart; this, that nothing of the graph is forgotten.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from api.rest_requests import keys_of, keys_to_change, request_for, send
from bff_under_test import Bff, MakeBff
from generated import GRAPH, operation, usual
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
)
from test_two_viewers import BOTH_WAYS, CLAIMS, NOOR, everything, key_in, rows_of
from write_operations import KEYED, MUTATIONS, codes_of, done, payload_of

from bff.rest.row import Row
from bff.rest.table import TABLE
from bff.sandbox.world import Seller, World
from resolvers.global_ids import global_id

Place = tuple[str, ...]  # names from an argument down to the id
Given = dict[str, GraphQLArgument] | dict[str, GraphQLInputField]


def id_places(given: Given, above: Place = ()) -> Iterator[Place]:
    """Every place in arguments or an input where an id stands."""
    for name, each in given.items():
        named = get_named_type(each.type)
        if named.name in ("ID", "_Any"):
            yield (*above, name)
        elif isinstance(named, GraphQLInputObjectType):
            yield from id_places(named.fields, (*above, name))


def fields_with_ids(root: GraphQLObjectType | None) -> list[tuple[str, GraphQLField, Place]]:
    assert root is not None
    return [(name, field, place) for name, field in root.fields.items() for place in id_places(field.args)]


READS = fields_with_ids(GRAPH.query_type)
WRITES = fields_with_ids(GRAPH.mutation_type)
WATCHES = fields_with_ids(GRAPH.subscription_type)
ROWS = [row for row in TABLE if {value.identifies for value in row.values} - {None, "ServiceHealth"}]


def variables_with(field: GraphQLField, place: Place, id_: str) -> dict[str, Any]:
    """Variables that are accepted, with an id in one place."""
    variables = {name: usual(argument.type, name) for name, argument in field.args.items()}
    inner = variables
    for name in place[:-1]:
        inner = inner[name]
    named = field.args[place[0]].type if len(place) == 1 else None
    if named is not None and get_named_type(named).name == "_Any":
        type_name = next(each for each in KINDS if id_.startswith(global_id(each, "")[:4]))
        inner[place[-1]] = [{"__typename": type_name, "id": id_}]
    else:
        inner[place[-1]] = [id_] if named is not None and "[" in str(named) else id_
    return variables


NEEDED = {"updateClaim": {"daysSincePurchase": 3}}  # beside what its input requires
KINDS = ("Claim", "Document", "DetectionRun", "Detection", "Payment", "Sync")


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """A small world, so that each id in it can be tried alone."""
    return await make_bff(claims=CLAIMS, mcde_repaired=True, cancel_repaired=True)


def ids_of(bff: Bff, owner: Seller) -> list[str]:
    """Every id that the owner's answers can hold."""
    return sorted(set().union(*rows_of(bff.sandbox.world, owner).values()))


def words_of(world: World, owner: Seller) -> set[str]:
    """What only the owner's answers may say, whatever was asked for."""
    claims = rows_of(world, owner)["Claim"]
    of_claims = {
        row["case_number"] for row in world.claims.values() if global_id("Claim", row["id"]) in claims
    }
    files = {row["originalName"] for row in world.documents.values() if row["uploadedBy"] == owner.user_id}
    return of_claims | files | {owner.user_id, owner.email, owner.name}


def test_no_field_below_the_roots_takes_an_id():
    """Where one does, it has to be tried as well: extend the walk."""
    roots = {root.name for root in (GRAPH.query_type, GRAPH.mutation_type, GRAPH.subscription_type) if root}
    below = [
        f"{type_.name}.{name}"
        for type_ in GRAPH.type_map.values()
        if isinstance(type_, GraphQLObjectType) and type_.name not in roots
        for name, field in type_.fields.items()
        if list(id_places(field.args))
    ]

    assert below == []
    assert (len(READS), len(WRITES), len(WATCHES)) >= (6, 7, 3)


@BOTH_WAYS
@pytest.mark.parametrize(("name", "field", "place"), READS, ids=[name for name, *_ in READS])
async def test_no_query_opens_what_is_anothers(
    bff: Bff, owner: Seller, stranger: Seller, name: str, field: GraphQLField, place: Place
):
    """Every id of the one, of whatever type, in every id argument, asked by the other: nothing."""
    tried = 0
    for id_ in ids_of(bff, owner):
        answer = await bff.ask(
            operation("query", name, field), seller=stranger, **variables_with(field, place, id_)
        )
        assert (answer.data or {}).get(name) in (None, [None]), id_
        assert {error["extensions"]["code"] for error in answer.errors} <= {"BAD_USER_INPUT"}
        tried += 1

    assert tried > 40


@BOTH_WAYS
@pytest.mark.parametrize(("name", "field", "place"), WRITES, ids=[name for name, *_ in WRITES])
async def test_no_mutation_touches_what_is_anothers(
    bff: Bff, owner: Seller, stranger: Seller, name: str, field: GraphQLField, place: Place
):
    """Nothing written, nothing shown, and the same word as for what does not exist."""
    words = words_of(bff.sandbox.world, owner)
    document = operation("mutation", name, field)
    before = len(bff.sandbox.writes)
    codes = set()
    for id_ in ids_of(bff, owner):
        variables = variables_with(field, place, id_)
        variables["input"] |= NEEDED.get(name, {})
        answer = await bff.ask(document, seller=stranger, **variables)
        assert answer.errors == []
        payload = answer.data[name]
        codes |= {error["code"] for error in payload["userErrors"]}
        assert payload["userErrors"], id_
        text = json.dumps(answer.data)
        assert [word for word in words if word in text] == []

    assert codes <= {"NOT_FOUND", "INVALID_INPUT"}  # INVALID_INPUT: an id of another type
    assert "NOT_FOUND" in codes
    assert len(bff.sandbox.writes) == before


@pytest.mark.parametrize("name", KEYED)
async def test_a_key_that_was_overheard_tells_nothing(bff: Bff, name: str):
    """Idempotency keys stand in logs of clients and proxies: another's key must not fetch their outcome."""
    variables = MUTATIONS[name].variables(bff.sandbox.world)
    own = await bff.ask(name, **variables)
    assert codes_of(own) == []
    shown = {value for value in json.dumps(payload_of(own)).split('"') if len(value) > 20}
    shown -= set(json.dumps(variables).split('"'))
    before = done(bff.sandbox.writes)

    other = await bff.ask(name, seller=NOOR, **variables)

    written = done(bff.sandbox.writes)[len(before) :]
    assert written == ([("integrations", "startSync")] if name == "StartSync" else [])
    assert [value for value in shown if value in json.dumps(other.data)] == []


@BOTH_WAYS
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_no_route_opens_what_is_anothers(bff: Bff, owner: Seller, stranger: Seller, row: Row):
    """Every row of the table that names an object, with every id and every key of the other."""
    words = words_of(bff.sandbox.world, owner)
    own = keys_of(bff.sandbox.world, stranger) | (
        keys_to_change(bff.sandbox.world, stranger) if row.changes else {}
    )
    before = len(bff.sandbox.writes)
    tried = 0
    for value in row.values:
        for id_ in sorted(rows_of(bff.sandbox.world, owner)[value.identifies] if value.identifies else ()):
            for said in (id_, key_in(id_)):
                request = request_for(row, own).saying(value.sources[0], said)
                answer = await send(bff, row, request, seller=stranger)
                assert answer.status_code in (404, 422), (said, answer.text)
                assert [word for word in words if word in answer.text] == []
                tried += 1

    assert len(bff.sandbox.writes) == before
    assert tried > 3


@BOTH_WAYS
async def test_what_was_kept_for_one_is_not_served_to_the_other(bff: Bff, owner: Seller, stranger: Seller):
    """With every service down, whatever is answered comes from memory: of the viewer's own."""
    seen = await everything(bff, owner)
    ids = ids_of(bff, owner)
    for service in ("refund-engine", "integrations", "cost-docs", "stripe"):
        bff.sandbox.down.add(service)

    for name, field, place in READS:
        for id_ in ids[:: len(READS)]:
            answer = await bff.ask(
                operation("query", name, field), seller=stranger, **variables_with(field, place, id_)
            )
            text = json.dumps(answer.data)
            assert [word for word in seen.everything if word in text] == []

    assert len(ids) > 40
