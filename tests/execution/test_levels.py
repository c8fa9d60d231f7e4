"""The executor on a small graph: what generated operations meet too seldom, each against graphql-core."""

import asyncio
import gc
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    execute,
    is_object_type,
    parse,
)

from bff.execution import plan
from bff.execution.executor import LevelExecutor
from bff.per_event import PerEvent

SCHEMA = """
enum Colour { RED GREEN }
interface Named { name: String! }
type Person implements Named { name: String! friend: Person mother: Person! }
type Thing implements Named { name: String! weight: Float! }
union Owned = Person | Thing
type Row {
  text: String! id: ID! count: Int! share: Float! done: Boolean! colour: Colour!
  texts: [String!] counts: [[Int!]]
}
type Query {
  rows: [Row]! row: Row! named: [Named] owned: [Owned!] person: Person people: [Person!] grid: [[Person!]]
  Row: Row
}
"""
LEAVES = {
    "text": ["", "ü", True, 5, math.inf, None, [], {}],
    "id": ["", "a", 7, 1.0, True, None, object()],
    "count": [0, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 1.0, 1.5, True, "7", "x", math.nan, None],
    "share": [0.0, -1.5, 3, True, "1.5", "x", math.inf, math.nan, None],
    "done": [True, False, 1, 0, 1.0, "true", math.nan, None],
    "colour": ["RED", "BLUE", 0, None, []],
    "texts": [[], ["a"], ("a", "b"), ["a", None], [1], "text", 5, {"a": 1}, {"a"}, None],
    "counts": [[], [[1], [2, 3]], [None, [1]], [[None], [1]], [[1, "x"], [2]], [1], None],
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    built = build_schema(SCHEMA)
    for type_ in built.type_map.values():
        if is_object_type(type_):
            type_.is_type_of = _is_of(type_)
    return built


def _is_of(type_: GraphQLObjectType) -> Any:
    return lambda value, _: not isinstance(value, dict) or value.get("is", type_.name) == type_.name


async def both(schema: GraphQLSchema, text: str, root: Any, **variables: Any) -> tuple[Any, list[Any]]:
    """The answer of our executor, and that it is graphql-core's; `root` makes the values anew for each."""
    told = []
    for executor in (LevelExecutor, PerEvent):
        result: Any = execute(schema, parse(text), root(), variable_values=variables, executor_class=executor)
        if asyncio.iscoroutine(result):
            result = await result
        errors = [(error.path, error.message, error.locations) for error in result.errors or []]
        told.append((str(result.data), sorted(errors, key=str), result.data))
    assert told[0][:2] == told[1][:2]
    return told[0][2], told[0][1]


@pytest.mark.parametrize("field", LEAVES)
async def test_every_kind_of_value(schema, field):
    """One odd value decides how its whole column is read, and must decide for itself alone."""
    text = f"{{ rows {{ {field} }} }}"
    for odd in LEAVES[field]:
        data, errors = await both(schema, text, lambda odd=odd: {"rows": [{field: odd}]})
        assert data["rows"][0] is not None or errors
    mixed = [{field: value} for value in LEAVES[field]]
    data, errors = await both(schema, text, lambda: {"rows": mixed})
    assert len(data["rows"]) == len(mixed)
    assert errors


async def test_a_null_moves_up_as_far_as_it_must(schema):
    """A list of people who all have a mother: one without ends her child, the list, or the row of lists."""
    child = {"name": "c", "mother": {"name": "m", "mother": {"name": None, "mother": None}}}
    whole = {"name": "w", "friend": None}
    text = "{ people { name mother { name mother { name } } } person { friend { mother { name } } } }"
    data, errors = await both(
        schema, text, lambda: {"people": [whole, child], "person": {"friend": {"mother": {"name": None}}}}
    )
    assert data == {"people": None, "person": {"friend": None}}
    assert [error[0] for error in errors] == [["people", 0, "mother"], ["person", "friend", "mother", "name"]]

    grid = [[{"name": "a"}], [{"name": "b"}, {"name": None}], None, [], [7]]
    data, errors = await both(schema, "{ grid { name } }", lambda: {"grid": grid})
    assert data == {"grid": [[{"name": "a"}], None, None, [], None]}
    assert [error[0] for error in errors] == [["grid", 1, 1, "name"], ["grid", 4, 0, "name"]]


async def test_the_whole_answer_can_be_null(schema):
    """What may not be null at the root leaves nothing."""
    data, [error] = await both(schema, "{ row { text } person { name } }", lambda: {"row": {"text": None}})
    assert (data, error[0]) == (None, ["row", "text"])


async def test_interfaces_and_unions(schema):
    """Each object is of its own type; one of no type fails alone, or ends the list."""
    some = [
        {"__typename": "Person", "name": "p", "friend": {"name": "f"}},
        {"__typename": "Thing", "name": "t", "weight": 2.5},
        {"__typename": "Nothing", "name": "n"},
        {"name": "none"},
        None,
    ]
    text = """
      query ($all: Boolean!) {
        named { __typename name ... on Thing { weight } ...P @include(if: $all) }
        owned { ... on Thing { name } ... on Named { also: name } }
      }
      fragment P on Person { friend { name } name }
    """
    for all_ in (True, False):
        data, errors = await both(schema, text, lambda: {"named": some, "owned": some[:2]}, all=all_)
        assert list(data["named"][0]) == ["__typename", "name", *(["friend"] if all_ else [])]
        assert data["named"][2:] == [None, data["named"][3], None]
        assert data["owned"] == [{"also": "p"}, {"name": "t", "also": "t"}]
        assert errors


# graphql-core leaves coroutines of siblings behind when a field fails that must not be null.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_comes_later(schema):
    """Awaitables wherever a value can be, lists that come item by item, and what fails among them."""

    async def come(value: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    async def items() -> AsyncIterator[Any]:
        for name in "ab":
            yield {"name": name, "mother": come({"name": "m"})}

    async def broken_items() -> AsyncIterator[Any]:
        yield {"name": "a"}
        raise ValueError("in the middle")

    def root() -> Any:
        return {
            "people": items(),
            "person": come({"name": come("p"), "friend": come(ValueError("late"))}),
            "grid": [
                come([come({"name": come("x")}), {"name": "y"}]),
                come(ValueError("no row")),
                broken_items(),
            ],
            "rows": come([{"text": come("t"), "count": come(2**31)}, come({"text": "u", "count": 1})]),
        }

    text = """{
      people { name mother { name } } person { name friend { name } }
      grid { name } rows { text count }
    }"""
    data, errors = await both(schema, text, root)
    assert data == {
        "people": [{"name": "a", "mother": {"name": "m"}}, {"name": "b", "mother": {"name": "m"}}],
        "person": {"name": "p", "friend": None},
        "grid": [[{"name": "x"}, {"name": "y"}], None, None],
        "rows": [None, {"text": "u", "count": 1}],
    }
    assert len(errors) == 4


def test_what_is_ready_needs_no_loop(schema):
    """Tools that print a schema execute outside of any event loop."""
    result: Any = execute(
        schema, parse("{ rows { text } }"), {"rows": [{"text": "a"}]}, executor_class=LevelExecutor
    )
    assert result.data == {"rows": [{"text": "a"}]}


async def test_a_client_that_leaves_takes_its_work_along(schema):
    """Work that goes on for nobody would be paid for by everybody."""
    left = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            left.set()

    root = {"rows": [{"text": forever()}, {"text": "a"}]}
    asking = asyncio.ensure_future(
        execute(schema, parse("{ rows { text } }"), root, executor_class=LevelExecutor)
    )
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(left.wait(), 5)


@pytest.fixture
def document() -> DocumentNode:
    return parse("query ($all: Boolean!) { rows { text count @include(if: $all) } }")


async def test_a_plan_is_made_once_and_for_each_condition(schema, document):
    """A plan that ignored `@include` would show the second viewer what the first one asked for."""

    def rows(all_: bool) -> Any:
        root = {"rows": [{"text": "a", "count": 1}]}
        result: Any = execute(
            schema, document, root, variable_values={"all": all_}, executor_class=LevelExecutor
        )
        return result.data["rows"]

    answers = [rows(all_) for all_ in (True, False, True, False)]
    assert answers == [[{"text": "a", "count": 1}], [{"text": "a"}]] * 2
    plans = plan.plans_of(document)
    assert plans is plan.plans_of(document)
    assert len(plans._fields) == 2


def test_plans_of_a_document_are_bounded(schema, monkeypatch):
    """Each set of conditions is a plan, and a client can send them all, one after the other."""
    monkeypatch.setattr(plan, "KEPT", 4)
    names = "abcde"
    given = " ".join(f"${name}: Boolean!" for name in names)
    fields = " ".join(f"{name}: text @include(if: ${name})" for name in names)
    document = parse(f"query ({given}) {{ rows {{ {fields} }} }}")
    for number in range(2 ** len(names)):
        asked = {name: bool(number >> bit & 1) for bit, name in enumerate(names)}
        root = {"rows": [{"text": "t"}]}
        result: Any = execute(schema, document, root, variable_values=asked, executor_class=LevelExecutor)
        assert result.data == {"rows": [{name: "t" for name in names if asked[name]}]}
    assert len(plan.plans_of(document)._fields) <= 4


def test_a_plan_lives_as_long_as_its_document():
    """A client that never sends the same document twice must not fill the memory."""
    gc.collect()
    before = len(plan._plans)
    for number in range(50):
        plan.plans_of(parse(f"{{ rows {{ a{number}: text }} }}"))
    gc.collect()
    assert len(plan._plans) == before
