"""Every argument and input field of the graph, with whatever may stand there: made from the schema."""

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from generated import GRAPH, operation, selection, usual
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
)
from target import Target

from resolvers.connections import cursor
from resolvers.global_ids import KEY_FORMS, global_id

pytestmark = pytest.mark.slow

TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\r\nset-cookie: a=b",
    "\u202eevil",
    "e\u0301" * 500,
    "\U0001f4a9" * 1000,
    "\ufeff",
    "\uffff",
    "x" * 100_000,
    "' OR 1=1 --",
    '"; DROP TABLE receipts; --',
    "<script>alert(1)</script>",
    "../../../../etc",
    "%00",
    "%2e%2e%2f",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "=1+1",
    "null",
    "9" * 400,
    "1e308",
    "-0",
    "NaN",
    "0000-00-00",
    "2023-02-30T25:61:61Z",
    "99999-01-01T00:00:00Z",
    "٣",
]
NUMBERS = [0, -1, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**63, -(2**63), 0.1 + 0.2, True]
SHAPES: list[Any] = [None, [], {}, [[]], [[[[]]]], {"a": {}}, [None], [{}] * 3, "UNKNOWN"]
DECIMALS = [
    "1e400",
    "-1e400",
    "1e-400",
    "1E+999999999",
    "Infinity",
    "sNaN",
    "0x10",
    "1_000",
    "١٢",
    "9" * 5000,
    "1." + "0" * 5000,
]
KEYS = [
    "../..",
    "%2e%2e%2f",
    "1;DROP",
    "\x00",
    "",
    "00000000-0000-4000-8000-000000000000/../x",
    "00000000-0000-4000-8000-000000000000\n",
    "sync-../x",
    "sync-" + "a" * 80,
    "9999999999",
    "2147483648",
    "0",
    "٣",
]
IDS = [
    *TEXTS,
    *(global_id(type_name, key) for type_name in KEY_FORMS for key in KEYS),
    *(global_id(f"{type_name} ", 1) for type_name in KEY_FORMS),
    "Q2xhaW06",
    "====",
    "Q2xhaW0" * 5000,
]
CURSORS = [
    *TEXTS,
    *(cursor(position) for position in (-1, -(10**9), 10**9, 10**30)),
    "b2Zmc2V0Og==",
    "b2Zmc2V0OjFlMw==",
]
BY_TYPE = {
    "ID": IDS,
    "String": TEXTS,
    "Int": NUMBERS,
    "Float": NUMBERS,
    "Decimal": [*DECIMALS, *NUMBERS, *TEXTS[:10]],
    "UUID": [
        *TEXTS,
        "0" * 32,
        "00000000-0000-0000-0000-000000000000",
        str(uuid.UUID(int=2**128 - 1)).upper(),
    ],
    "Boolean": [],
    "_Any": [
        5,
        "x",
        [],
        {"__typename": "Nothing", "id": "x"},
        {"__typename": 5},
        {"__typename": "Query"},
        {"__typename": "_Entity", "id": []},
        {"__typename": "Claim"},
        {"__typename": "Claim", "id": {"id": {}}},
        {"__typename": "Claim", "id": global_id("Sync", "sync-x")},
        {"__typename": "__Schema", "id": "__class__"},
        {"id": "x" * 50_000},
    ],
}
FIELDS = [
    (kind, name, field)
    for kind, root in (("query", GRAPH.query_type), ("mutation", GRAPH.mutation_type))
    if root
    for name, field in root.fields.items()
    if field.args
]
NESTED = [
    ("Claim", 'claim(id: "Q2xhaW06MDAwMDAwMDAtMDAwMC00MDAwLTgwMDAtMDAwMDAwMDAwMDAw")'),
    ("Dashboard", "dashboard"),
]


def hostile(type_: GraphQLInputType, name: str) -> Iterator[Any]:
    """Values for one place, each hostile at one point of it."""
    if isinstance(type_, GraphQLNonNull):
        yield from hostile(type_.of_type, name)
        return
    yield from SHAPES
    if isinstance(type_, GraphQLList):
        yield from ([value] for value in hostile(type_.of_type, name))
        yield [usual(type_.of_type, name)] * 1000
    elif isinstance(type_, GraphQLInputObjectType):
        for key, field in type_.fields.items():
            yield from (usual(type_) | {key: value} for value in hostile(field.type, key))
        yield usual(type_) | {f"a{nth}": 1 for nth in range(2000)}
    elif isinstance(type_, GraphQLEnumType):
        yield from [*TEXTS, *NUMBERS]
    else:
        values: list[Any] = CURSORS if name == "after" else BY_TYPE[get_named_type(type_).name]
        yield from values
        yield from TEXTS[:4] if values is NUMBERS else NUMBERS[:4]


def variables_of(arguments: dict[str, GraphQLArgument]) -> Iterator[dict[str, Any]]:
    """Variables that are hostile in one argument each."""
    required = {
        name: usual(argument.type, name)
        for name, argument in arguments.items()
        if isinstance(argument.type, GraphQLNonNull)
    }
    for name, argument in arguments.items():
        yield from (required | {name: value} for value in hostile(argument.type, name))


@pytest.mark.parametrize(("kind", "name", "field"), FIELDS, ids=[name for _, name, _ in FIELDS])
async def test_root_field(target: Target, kind: str, name: str, field: GraphQLField):
    """A field somebody adds tomorrow is attacked from its first day."""
    document = operation(kind, name, field)
    attempts = [partial(target.ask, document, **variables) for variables in variables_of(field.args)]
    await target.pressed(attempts, for_s=0)

    assert target.statuses <= {200, 400, 413}
    assert len(attempts) > 10


async def test_nested_arguments(target: Target):
    """The same below other fields: pages of a claim's documents, payments and findings."""
    attempts = []
    for type_name, opened in NESTED:
        type_ = GRAPH.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items():
            if not field.args:
                continue
            given = " ".join(f"${argument}: {each.type}" for argument, each in field.args.items())
            passed = " ".join(f"{argument}: ${argument}" for argument in field.args)
            document = f"query({given}) {{ {opened} {{ {name}({passed}) {selection(field)} }} }}"
            attempts += [partial(target.ask, document, **variables) for variables in variables_of(field.args)]
    await target.pressed(attempts, for_s=0)

    assert target.statuses <= {200, 400, 413}
    assert len(attempts) > 100


async def test_entities_by_the_thousand(target: Target):
    """What a router may send in one fetch, and a seller as well: nobody's claims, one's own, and neither."""
    document = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on Claim { status } } }"
    kinds: list[list[Any]] = [
        [{"__typename": "Claim", "id": global_id("Claim", uuid.uuid4())} for _ in range(1000)],
        [{"__typename": type_name, "id": global_id(type_name, "1")} for type_name in KEY_FORMS] * 100,
        [{"__typename": "Payment", "id": global_id("Payment", nth)} for nth in range(1, 1000)],
        [{"__typename": "Sync", "id": global_id("Sync", f"sync-{nth}")} for nth in range(1000)],
        [5, None, "x", [], {}] * 200,
        [{"__typename": "Claim", "id": "x"}] * 5000,
    ]
    for representations in kinds:
        await target.ask(document, r=representations)

    assert target.statuses <= {200, 400, 413}


async def test_a_description_of_ten_megabytes(target: Target):
    """Refused by its length, before it is read."""
    given = {
        "claimedAmount": {"amount": "1"},
        "productCategory": "x",
        "daysSincePurchase": 1,
        "customerHistoryScore": 0.5,
        "idempotencyKey": str(uuid.uuid4()),
        "description": "x" * 10_000_000,
    }
    document = "mutation($i: CreateClaimInput!) { createClaim(input: $i) { userErrors { __typename } } }"
    await target.pressed([partial(target.ask, document, i=given)] * 4, for_s=0)

    assert target.statuses <= {413}
