"""Documents that cost more to read than to send: refused or answered, and nobody else waits for it."""

import itertools
from collections.abc import Callable
from functools import partial

import pytest
from target import Target

pytestmark = pytest.mark.slow

REFUSED_OR_ANSWERED = {200, 400, 413}


def spread(names: int, of_each: Callable[[int], str], *, first: str = "{ ...F0 }") -> str:
    return " ".join([first, *(f"fragment F{n} on Query {{ {of_each(n)} }}" for n in range(names))])


DOCUMENTS: dict[str, str] = {
    "a hundred thousand tokens": "{ " + "a " * 100_000 + "}",
    "fifty thousand letters in one name": "{ " + "a" * 49_990 + " }",
    "fifty thousand letters of comments": "{ viewer { userId } } " + "# x\n" * 10_000,
    "fifty thousand commas": "{ viewer { userId } } " + "," * 49_900,
    "a block text of fifty thousand letters": '{ claim(id: """' + "\n " * 24_000 + '""") { id } }',
    "escapes": '{ claim(id: "' + "\\u0041" * 8000 + '") { id } }',
    "a number of fifty thousand digits": "{ claims(first: " + "9" * 49_900 + ") { asOf } }",
    "a float without end": "{ claims(first: 1e" + "9" * 400 + ") { asOf } }",
    "four thousand digits": "{ claims(first: " + "9" * 4500 + ") { asOf } }",
    "ten thousand aliases": "{ " + " ".join(f"a{n}: viewer {{ userId }}" for n in range(10_000)) + " }",
    "390 aliases": "{ " + " ".join(f"a{n}: viewer {{ userId }}" for n in range(390)) + " }",
    "selections without end": "{ viewer " * 5000,
    "selections 190 deep": "{ node " * 190 + "}" * 190,
    "inline fragments 190 deep": "{" + "... on Query {" * 190 + "__typename" + "}" * 191,
    "lists 5000 deep": "{ claim(id: " + "[" * 5000 + "]" * 5000 + ") { id } }",
    "lists 190 deep": "{ claim(id: " + "[" * 190 + "]" * 190 + ") { id } }",
    "objects 190 deep": "{ claims(filter: " + "{a: " * 190 + "1" + "}" * 190 + ") { asOf } }",
    "types 190 deep": "query($a: " + "[" * 190 + "Int" + "]" * 190 + ") { __typename }",
    "a fragment that spreads itself": "{ ...F } fragment F on Query { ...F }",
    "a ring of fragments": spread(240, lambda n: f"...F{(n + 1) % 240}"),
    "a chain of fragments": spread(240, lambda n: f"...F{n + 1}" if n < 239 else "__typename"),
    "doubled fragments": spread(60, lambda n: f"...F{n + 1} ...F{n + 1}" if n < 59 else "__typename"),
    "doubled fragments in fields": spread(
        120, lambda n: f"node(id: 1) {{ ...on Query {{ ...F{n + 1} ...F{n + 1} }} }}" if n < 119 else "a"
    ),
    "fragments that all spread each other": spread(28, lambda n: " ".join(f"...F{m}" for m in range(28))),
    "a fragment of no type": "{ ...F } fragment F on Nothing { a }",
    "three hundred fragments nobody spreads": spread(300, lambda n: "__typename", first="{ __typename }"),
    "two hundred operations": " ".join(f"query Q{n} {{ ...F }}" for n in range(200))
    + " fragment F on Query { __typename }",
    "1500 conflicting selections": "{ dashboard { "
    + " ".join(f"claimMetrics {{ {name} }}" for name in ("totalCount", "asOf") * 190)
    + " } }",
    "480 schemas": "{ __schema { types { " + "fields { name } " * 480 + "} } }",
    "a schema that turns in a circle": "{ __schema { types { "
    + "fields { type { " * 40
    + "name"
    + " } }" * 40
    + " } } }",
    "two fields under one name": "{ viewer { " + "a: userId a: name " * 300 + "} }",
    "five hundred equal arguments": "{ claim(" + 'id: "1" ' * 500 + ") { id } }",
    "five hundred variables": "query("
    + " ".join(f"$a{n}: Nothing{n}" for n in range(450))
    + ") { __typename }",
    "one variable two hundred times": "query($a: Int) { "
    + " ".join("dashboard { recentClaims(first: $a) { asOf } }" for _ in range(150))
    + " }",
    "nine hundred directives": "{ __typename " + " ".join(f"@d{n}" for n in range(900)) + " }",
    "six hundred times @skip": "{ __typename " + "@skip(if: false) " * 300 + "}",
    "@defer and @stream": "{ ... @defer { viewer { userId } } claims { nodes @stream { id } } }",
    "three hundred misspelt types": "{ " + " ".join(f"... on Clai{n} {{ id }}" for n in range(280)) + " }",
    "four hundred misspelt fields": "{ " + " ".join(f"clai{n}" for n in range(400)) + " }",
    "misspelt names that are long": "{ " + " ".join("claims" + "x" * 2000 for _ in range(20)) + " }",
    "misspelt values": "{ claims(orderBy: {field: " + "CREATED" * 6000 + "}) { asOf } }",
    "a definition": "type Query { a: Int } schema { query: Query }",
    "halves of characters": '{ claim(id: "\\uD800") { id } }',
    "a mark of byte order in the middle": "{ viewer\ufeff { userId } }",
    "directions of text": "{ \u202e viewer { userId } }",
    "a NUL": "{ viewer\x00 { userId } }",
    "all pages at their largest": "{ claims(first: 100) { nodes { documents(first: 100) { nodes { claim { "
    "documents(first: 100) { nodes { id } } } } } } } }",
    "payments of claims of payments": "{ claims(first: 100) { nodes { "
    + "payments { nodes { claim { " * 3
    + "id"
    + " } } }" * 3
    + "}}}",
    "every claim's judgement": "{ claims(first: 100) { nodes { livePrediction { successProbability } } } }",
    "a subscription by POST": "subscription { serviceHealth { sequence } }",
    "ten subscriptions in one": "subscription { " + "serviceHealth { sequence } " * 10 + "}",
    "only white space": " \n\t" * 10_000,
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_document(target: Target, name: str):
    """One seller's document must not stop the process for all the others."""
    document = DOCUMENTS[name]
    variants = (f"{document}#{n}" for n in itertools.count())  # so that no cache helps

    async def ask() -> None:
        await target.send("POST", "/graphql", json={"query": next(variants)})

    await target.pressed([ask])

    assert target.statuses <= REFUSED_OR_ANSWERED


async def test_get_requests(target: Target):
    """The same by the address: as long as a head may be, and longer."""
    texts = [
        "{" + "a" * 30_000 + "}",
        "{" + "a" * 60_000 + "}",
        "{a(b:" + "[" * 5000,
        "%ff%fe",
        "{viewer{userId}}",
    ]
    queries = [f"/graphql?query={text}" for text in texts]
    queries += [f"/graphql?query={{__typename}}&{name}={{" for name in ("variables", "extensions")]
    queries += [
        "/graphql?query={__typename}&variables=" + "[" * 20_000,
        "/graphql?" + "&".join("query=x" * 2000),
    ]
    await target.pressed([partial(target.send, "GET", query) for query in queries])

    assert target.statuses <= {200, 400, 413, 431}
