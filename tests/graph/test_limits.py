"""What one operation may ask: each limit at its edge, and no document dearer to refuse than to read."""

import itertools
import re
from typing import Any

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse, validate
from graphql.validation.rules import overlapping_fields_can_be_merged as overlapping
from read_operations import variables_for
from structlog.testing import capture_logs

from bff import limits
from bff.comparisons import rules_within
from bff.contracts import largest_variables
from bff.explain import explain
from bff.limits import MESSAGES, LimitSettings
from bff.operations import stored_operations
from bff.rates import RateSettings
from bff.schema import build_schema
from bff.shape import ShapeWalk

HEADROOM = 1.4
DEFAULT = LimitSettings()


def walked(document: str) -> tuple[Any, int]:
    """The shape of a document's first operation, and how many nodes were visited for it."""
    parsed = parse(document)
    walk = ShapeWalk(parsed)
    [operation, *_] = [node for node in parsed.definitions if isinstance(node, OperationDefinitionNode)]
    return walk.shape(operation), walk.visited


def doubling(times: int, *, last: str) -> str:
    """A document whose fragments each spread the next one twice."""
    fragments = [f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(times)]
    return "\n".join(["{ ...F0 }", *fragments, f"fragment F{times} on Query {{ {last} }}"])


def refusal(answer: Any) -> str:
    """The message of an operation that was refused as too complex."""
    assert answer.data is None
    [error] = answer.errors
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert error["extensions"]["retryable"] is False
    return str(error["message"])


@pytest.mark.parametrize("times", [10, 30, 100])
def test_doubled_fragments_are_looked_at_once(times: int):
    """Libraries look at a fragment each time it is spread: thirty of them are a billion looks."""
    shape, visited = walked(doubling(times, last="one: viewer { userId }"))

    assert visited == 1 + 2 * times + 2
    assert shape.aliases == 2**times
    assert shape.depth == 2


async def test_doubled_fragments_are_refused_or_answered(bff):
    """As many aliases as they unfold to are refused; without aliases it is one field, and answered as one."""
    many = await bff.ask(doubling(30, last="one: viewer { userId }"))
    none = await bff.ask(doubling(3, last="viewer { userId }"))
    twice = (f"fragment {a} on Viewer {{ ...{b} ...{b} }}" for a, b in itertools.pairwise("ABCDEFGHIJK"))
    merged = await bff.ask(f"{{ viewer {{ ...A }} }} {' '.join(twice)} fragment K on Viewer {{ userId }}")

    assert refusal(many) == MESSAGES["aliases"].format(value=2**30, at_most=15)
    assert (none.errors, list(none.data)) == ([], ["viewer"])
    assert (merged.errors, list(merged.data["viewer"])) == ([], ["userId"])


AT_THE_LIMIT = {
    "depth": ({"depth": 4}, "{ a { b { c { d } } } }", "{ a { b { c { d { e } } } } }"),
    "aliases": ({"aliases": 2}, "{ a: x b: y }", "{ a: x b: y c: z }"),
    "roots": (
        {"roots": 2},
        "{ a ...F } fragment F on Query { b }",
        "{ a ...F ...F } fragment F on Query { b }",
    ),
    "directives": (
        {"directives": 2},
        "query @skip(if: true) { a @skip(if: true) }",
        "query @skip(if: true) { a @skip(if: true) ... @skip(if: true) { b } }",
    ),
    "list": ({"list_items": 2}, "{ a(x: {y: [1, 2]}) }", "{ a(x: {y: [[1], [1, 2, 3]]}) }"),
    "tokens": ({"tokens": 4}, "{ a b }", "{ a b c }"),
    "comments": ({"comments": 1}, "{ a } # one", "{ a } # one\n# two"),
    "source": ({"source_chars": 5}, "{ a }", "{ ab }"),
    "repeats": ({"repeats": 100}, "{ a { %s } }" % ("b " * 10), "{ a { %s } }" % ("b " * 20)),
}


@pytest.mark.parametrize("limit", AT_THE_LIMIT)
async def test_each_limit_at_and_above(make_bff, limit: str):
    """At its edge an operation is read on (and found to be invalid); beyond, it is told what to reduce."""
    told, at, above = AT_THE_LIMIT[limit]
    bff = await make_bff(claims=1, limits=LimitSettings(**told))

    allowed, refused = await bff.ask(at), await bff.ask(above)

    assert {error["extensions"]["code"] for error in allowed.errors} == {"BAD_USER_INPUT"}
    [at_most] = told.values()
    assert re.search(rf"\b{at_most} (tokens |comparisons )?at most", refusal(refused))
    assert f'bff_operation_limited_total{{limit="{limit}",outcome="refused"}} 1.0' in await metrics(bff)


@pytest.mark.parametrize(
    "given", ["first: {}", "first: {}.0", "first: {}e5", "filter: {{productCategory: {}}}"]
)
async def test_a_number_has_so_many_digits_and_no_more(bff, given):
    """Python refuses to read a whole number of 4301: that was a 500, whatever the number was for."""
    document = "{ claims(" + given.format("9" * 4301) + ") { asOf } }"
    as_default = f"query ($n: Int = {'9' * 4301}) {{ claims(first: $n) {{ asOf }} }}"
    as_text = f'{{ claim(id: "{"9" * 4301}") {{ id }} }}'

    message = "A number has 430"
    assert refusal(await bff.ask(document)).startswith(message)
    assert refusal(await bff.ask(as_default)).startswith(message)
    assert (await bff.ask(as_text)).errors[0]["message"].startswith("This is no id")


async def test_variables_that_no_operation_declares_are_not_kept(bff):
    """256 prices are kept by their variables: of 20,000 each they were a gigabyte that nobody asked for."""
    document = "query ($first: Int!) { claims(first: $first) { asOf } }"
    surplus = {f"a{n}": n for n in range(500)}

    await bff.ask(document, first=1)
    kept = len(limits._prices)
    answer = await bff.ask(document, first=1, **surplus)

    assert answer.errors == []
    assert len(limits._prices) == kept


REPEATED = {
    "objects of one field": lambda times: "{ dashboard { %s } }" % ("claimMetrics { totalCount } " * times),
    "beside other arguments": lambda times: (
        "{ claims { nodes { %s } } }" % ("payments(first: 1) { totalCount } " * times)
    ),
    "in the schema": lambda times: "{ __schema { types { %s } } }" % ("fields { name } " * times),
    "in two fragments": lambda times: (
        "{ dashboard { ...A ...B } } fragment A on Dashboard { %s } fragment B on Dashboard { %s }"
        % (("claimMetrics { totalCount } " * times,) * 2)
    ),
}


@pytest.mark.parametrize("repeated", REPEATED.values(), ids=REPEATED)
async def test_repeated_fields_are_compared_so_often_and_no_more(bff, monkeypatch, repeated):
    """Each two of them are: 280 small objects took a second in which nobody was answered."""
    compared = 0
    find_conflict = overlapping.find_conflict

    def counting(*given: Any) -> Any:
        nonlocal compared
        compared += 1
        return find_conflict(*given)

    monkeypatch.setattr(overlapping, "find_conflict", counting)

    few = await bff.ask(repeated(10))
    after_few = compared
    refused = refusal(await bff.ask(repeated(220)))

    assert "QUERY_TOO_COMPLEX" not in {error["extensions"]["code"] for error in few.errors}
    assert 40 < after_few < 1000
    assert refused == MESSAGES["repeats"].format(at_most=DEFAULT.repeats)
    assert compared - after_few <= DEFAULT.repeats


def test_too_many_errors_are_no_comparisons():
    """graphql-core gives up after a hundred errors, too: that is a wrong document, not a long one."""
    document = parse(f"{{ viewer {{ {' '.join(f'a{n}: userId a{n}: name' for n in range(110))} }} }}")

    errors = validate(build_schema()._schema, document, rules_within(DEFAULT.repeats))

    assert len(errors) == 101


async def metrics(bff: Any) -> str:
    lines = (await bff.http.get("/metrics")).text.splitlines()
    plain = [
        line.replace('otel_scope_name="opside.bff",', "").replace('otel_scope_schema_url="",', "")
        for line in lines
    ]
    return "\n".join(line.replace('otel_scope_version="",', "") for line in plain)


async def test_lists_in_variables_are_counted(bff):
    """A router cannot split a fetch: a thousand representations are served. More are a scan of an account."""
    document = "query ($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    one = {"__typename": "Claim", "id": "x"}

    assert len((await bff.ask(document, r=[one] * 1000)).errors) == 1000
    refused = refusal(await bff.ask(document, r=[one] * 1001))
    assert refused.startswith("A list has 1001 items, 1000 at most.")


async def test_lists_in_defaults_of_variables_are_counted(make_bff):
    """What a variable holds when nobody sends it is a list like any other."""
    bff = await make_bff(claims=1, limits=LimitSettings(list_items=3))
    document = "query ($r: [_Any!]! = [%s]) { _entities(representations: $r) { __typename } }"

    assert len((await bff.ask(document % '"x", "x", "x"')).errors) == 3
    refused = [await bff.ask(document % given) for given in ('"x", "x", "x", "x"', "{id: [1, 2, 3, 4]}")]

    assert [refusal(answer)[:25] for answer in refused] == ["A list has 4 items, 3 at "] * 2


async def test_entities_cost_by_their_number(bff):
    """What lies below `_entities` is asked for each representation, exactly as below a page."""
    document = (
        "query ($r: [_Any!]!) { _entities(representations: $r) { ...on Claim { documents { totalCount } } } }"
    )
    variables = {"r": [{"__typename": "Claim", "id": "x"}] * 50}

    assert explain(build_schema(), document, variables).services["cost-docs"].expected == 50


@pytest.mark.parametrize("operation", sorted(stored_operations()))
def test_every_stored_operation_is_far_from_every_limit(operation: str):
    """The screens must not be the first to be refused; largest pages, with room to grow."""
    document = stored_operations()[operation]
    variables = largest_variables(build_schema(), document)
    shape, _ = walked(document)
    found = explain(build_schema(), document, variables)

    assert shape.depth * HEADROOM <= DEFAULT.depth
    assert shape.aliases * HEADROOM <= DEFAULT.aliases
    assert shape.fields * HEADROOM <= DEFAULT.roots
    assert shape.directives * HEADROOM <= DEFAULT.directives
    assert found.objects * HEADROOM <= DEFAULT.objects
    assert found.cost * HEADROOM <= DEFAULT.cost


async def test_the_stored_operations_are_answered(bff):
    """With the limits on, which they are unless somebody says otherwise."""
    for operation, variables in variables_for(bff.sandbox.world).items():
        answer = await bff.ask(operation, **variables)
        assert [e for e in answer.errors if e["extensions"]["code"] == "QUERY_TOO_COMPLEX"] == []


async def test_introspection_is_not_taken_for_depth(bff):
    """GraphiQL's own question nests a type's wrappers nine deep; graphql-core bounds it."""
    answer = await bff.ask(get_introspection_query(descriptions=True))

    assert (answer.errors, list(answer.data)) == ([], ["__schema"])


NESTED = "query ($n: Int!) { claims(first: $n) { nodes { documents(first: $n) { nodes { id } } } } }"


async def test_pages_in_pages_multiply(bff):
    """A hundred claims with a hundred documents each are ten thousand objects, in sixty characters."""
    answer = await bff.ask(NESTED, n=100)

    assert refusal(answer) == MESSAGES["objects"].format(value=10_100, at_most=DEFAULT.objects)
    assert (await bff.ask(NESTED, n=10)).errors == []


DOCUMENTS = "{ claims(first: %s) { nodes { documents { totalCount } } } }"
BY_VARIABLE = "query ($n: Int!) { claims(first: $n) { nodes { documents { totalCount } } } }"
ALIASED = """{
  a: claims(first: 20) { nodes { documents { totalCount } } }
  b: claims(first: 40) { nodes { documents { totalCount } } }
}"""
LEFT_OUT = (
    "query ($yes: Boolean!) { claims(first: 40) { nodes { documents @include(if: $yes) { totalCount } } } }"
)


@pytest.mark.parametrize(
    ("document", "variables", "cost", "actual"),
    [
        (DOCUMENTS % 40, {}, 41, 41),
        (BY_VARIABLE, {"n": 40}, 41, 41),
        (BY_VARIABLE, {"n": 1}, 2, 2),
        (ALIASED, {}, 62, 42),  # both lists begin with the same twenty claims
        (LEFT_OUT, {"yes": True}, 41, 41),
        (LEFT_OUT, {"yes": False}, 1, 1),
        ("{ viewer { userId } }", {}, 0, 0),
    ],
)
async def test_the_cost_is_what_explain_says(
    make_bff, document: str, variables: dict[str, Any], cost: int, actual: int
):
    """The client, `bff explain` and the limit speak of one number, for the variables that were sent."""
    bff = await make_bff(claims=60, limits=LimitSettings(cost=max(cost, 1)))
    told = await bff.ask(document, headers={"x-cost": "1"}, **variables)
    untold = await bff.ask(document, **variables)

    assert explain(build_schema(), document, variables).cost == cost
    assert (told.errors, untold.extensions) == ([], {})
    assert told.extensions["cost"] == {
        "requested": cost,
        "limit": max(cost, 1),
        "actual": actual,
    }

    if cost > 1:
        bff = await make_bff(claims=60, limits=LimitSettings(cost=cost - 1))
        refused = await bff.ask(document, **variables)
        assert refusal(refused).startswith(f"The operation costs {cost} upstream calls, {cost - 1} at most.")
        assert refused.extensions["cost"] == {"requested": cost, "limit": cost - 1, "actual": 0}
        assert bff.calls() == {}


NULLS = {
    "a page": ("($null: Int) { z: claims(first: $null) { asOf } %s }", "z"),
    "a page further down": (
        "($null: Int) { z: claims(first: 1) { nodes { documents(first: $null) { asOf } } } %s }",
        "z/nodes/0/documents",
    ),
    "a condition": ("($null: Boolean = true) { z: payments { asOf @include(if: $null) } %s }", "z"),
    "two conditions": (
        "($null: Boolean = true) { z: payments { asOf @skip(if: $null) @include(if: $null) } %s }",
        "z",
    ),
    "a condition of a fragment": (
        "($null: Boolean = true) { z: payments { ... @skip(if: $null) { asOf } } %s }",
        "z",
    ),
}


@pytest.mark.parametrize(("document", "nulled"), NULLS.values(), ids=NULLS)
async def test_a_null_that_must_not_be_hides_nothing_from_the_price(make_bff, document: str, nulled: str):
    """The field with the null fails and the others are executed: they have their price, and their limits."""
    bff = await make_bff(claims=60)
    beside = "claims(first: %s) { nodes { documents(first: %s) { nodes { id %s } } } }"
    few, many, dear = (10, 1, ""), (100, 100, ""), (60, 1, "signedUrl { url }")

    served = await bff.ask("query" + document % (beside % few), headers={"x-cost": "1"}, null=None)
    asked = sum(bff.calls().values())
    too_large, too_dear = [
        await bff.ask("query" + document % (beside % sizes), null=None) for sizes in (many, dear)
    ]

    assert ["/".join(map(str, error["path"])) for error in served.errors] == [nulled]
    assert len(served.data["claims"]["nodes"]) == 10
    assert served.extensions["cost"]["requested"] >= asked >= 10
    assert refusal(too_large).startswith("The answer may hold 10")
    assert refusal(too_dear).startswith("The operation costs 36")
    assert bff.calls() == {}


async def test_what_is_too_long_to_be_priced_is_not_free(make_bff):
    """While limits are only measured it is served; then it weighs as much as the dearest that may be."""
    bff = await make_bff(
        limits=LimitSettings(mode="measure", fields=3, cost=100),
        rates=RateSettings(mode="enforce", cost_per_minute=1, burst_cost=100),
    )

    served, refused = [await bff.ask("{ viewer { userId email name scopes } }") for _ in range(2)]

    assert (served.status, refused.status) == (200, 429)


async def test_measuring_serves_and_counts(make_bff):
    """Limits are tried on real traffic before they refuse any of it."""
    bff = await make_bff(claims=5, limits=LimitSettings(mode="measure", aliases=1, cost=1))
    with capture_logs() as events:
        answer = await bff.ask(
            "{ a: viewer { userId } b: claims(first: 2) { nodes { documents { totalCount } } } }"
        )

    assert answer.errors == []
    measured = [event for event in events if event["event"] == "limit.exceeded"]
    assert [(event["limit"], event["value"], event["refused"]) for event in measured] == [
        ("aliases", 2, False),
        ("cost", 3, False),
    ]
    assert 'bff_operation_limited_total{limit="cost",outcome="measured"} 1.0' in await metrics(bff)


async def test_switched_off_only_the_parser_is_bounded(make_bff):
    """Whoever switches limits off still has a process that a document cannot stop."""
    bff = await make_bff(claims=5, limits=LimitSettings(mode="off", aliases=0, tokens=50))

    assert (await bff.ask("{ a: viewer { userId } }")).errors == []
    assert refusal(await bff.ask("{" + " a" * 60 + "}")) == MESSAGES["tokens"].format(at_most=50)


async def test_more_fields_than_are_worth_pricing(make_bff):
    """Pricing itself is bounded, so that nobody can make it the attack."""
    bff = await make_bff(claims=1, limits=LimitSettings(fields=5))

    assert (await bff.ask("{ viewer { userId email name scopes } }")).errors == []
    assert "too many fields, 5 at most" in refusal(
        await bff.ask("{ viewer { userId email name scopes } claims(first: 1) { totalCount } }")
    )


async def test_a_bad_document_is_answered_briefly(bff):
    """A hundred errors that quote a long name would make of every small attack a large answer."""
    name = "x" * 50_000
    quoted = await bff.ask(f"{{ {name} }}")
    many = await bff.ask("{ " + " ".join(f"x{n}" for n in range(200)) + " }", headers={"x-cost": "1"})

    assert sum(len(error["message"]) for error in quoted.errors) < 1000
    # Two hundred root fields are refused for their number, before anybody looks for their names.
    assert refusal(many).startswith("The operation has 200 root fields")
    below = await bff.ask("{ viewer { " + " ".join(f"x{n}" for n in range(200)) + " } }")
    assert len(below.errors) == DEFAULT.errors


async def test_what_is_no_valid_document_is_told_as_such(bff):
    """Counting comes before validation, and must survive what validation would refuse."""
    for document in (
        "{ ...Missing }",
        "{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A }",
        "query A { viewer { userId } } query B { viewer { userId } }",
        "fragment A on Viewer { userId }",
        "{",
        "query ($n: Int!) { claims(first: $n) { totalCount } }",
    ):
        answer = await bff.ask(document)
        assert {error["extensions"]["code"] for error in answer.errors} == {"BAD_USER_INPUT"}, document


async def test_a_long_chain_of_fragments_is_refused_not_crashed(bff):
    """One fragment in the other, as many as tokens allow: Python's own stack must not be the limit."""
    count = 240
    fragments = " ".join(f"fragment F{n} on Viewer {{ ...F{n + 1} }}" for n in range(count))
    answer = await bff.ask(f"{{ viewer {{ ...F0 }} }} {fragments} fragment F{count} on Viewer {{ userId }}")

    assert "INTERNAL_SERVER_ERROR" not in {error["extensions"]["code"] for error in answer.errors}
