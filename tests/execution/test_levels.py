"""The executor on a small graph: what generated operations meet too seldom, each against graphql-core."""

import asyncio
import gc
import math
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

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
from resolvers.scalars import SCALARS

SCHEMA = """
scalar DateTime
enum Colour { RED GREEN }
interface Named { name: String! }
type Person implements Named { name: String! friend: Person mother: Person! }
type Thing implements Named { name: String! weight: Float! }
union Owned = Person | Thing
type Row {
  text: String! id: ID! count: Int! share: Float! done: Boolean! colour: Colour!
  texts: [String!] counts: [[Int!]]
  at: DateTime! seenAt: DateTime times: [DateTime!]
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
    built.type_map["DateTime"].coerce_output_value = SCALARS[datetime].serialize
    return built


def _is_of(type_: GraphQLObjectType) -> Any:
    return lambda value, _: not isinstance(value, dict) or value.get("is", type_.name) == type_.name


async def both(
    schema: GraphQLSchema, asked: str | DocumentNode, root: Any, **variables: Any
) -> tuple[Any, list[Any]]:
    """The answer of our executor, and that it is graphql-core's; `root` makes the values anew for each."""
    document = parse(asked) if isinstance(asked, str) else asked
    told = []
    for executor in (LevelExecutor, PerEvent):
        result: Any = execute(schema, document, root(), variable_values=variables, executor_class=executor)
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


async def test_a_condition_that_is_null_fails_each_object_alone(schema):
    """The whole list was nulled, with what stood beside the object. Also in a document that was kept."""
    document = parse(
        """query ($yes: Boolean = true) {
          people { name friend { name @include(if: $yes) mother { name } } }
          named { name ... on Person { friend { ...F @skip(if: $yes) } } }
          owned { ... on Person @include(if: $yes) { name } }
          grid { name @skip(if: $yes) }
        }
        fragment F on Person { name }"""
    )

    def person(name: str, **more: Any) -> dict[str, Any]:
        return {"is": "Person", "name": name, **more}

    def root() -> dict[str, Any]:
        kate = person("Kate", friend=person("Liz", mother=person("Ann")))
        return {
            "people": [kate, person("Eve"), kate],
            "named": [kate, {"is": "Thing", "name": "Chair"}],
            "owned": None,
            "grid": [[kate], None],
        }

    for yes in (True, None, False):
        data, errors = await both(schema, document, root, yes=yes)
        alone = [{"name": name, "friend": None} for name in ("Kate", "Eve", "Kate")]
        assert (data["people"] == alone) == (yes is None)
        assert len(errors) == (4 if yes is None else 0)


NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
COLUMNS_OF_TIMES = {
    "all in UTC": [NOON, NOON + timedelta(microseconds=1), datetime(1, 1, 1, tzinfo=UTC)],
    "the same one": [NOON] * 3,
    "some that are missing": [NOON, None, datetime(2025, 9, 30, tzinfo=UTC), None],
    "none at all": [None, None],
    "other zones": [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=-7))),
        NOON.astimezone(ZoneInfo("Asia/Kolkata")),
        NOON.replace(tzinfo=ZoneInfo("UTC")),
        None,
    ],
    "one that no calendar holds in UTC": [NOON, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))],
    "one that is text": [NOON, "2026-01-01T12:00:00Z", None, NOON],
    "one that is a day": [NOON, date(2026, 1, 1), NOON],
    "one that failed": [NOON, ValueError("not known"), NOON],
}


@pytest.mark.parametrize("times", COLUMNS_OF_TIMES.values(), ids=COLUMNS_OF_TIMES)
async def test_times_are_written_column_by_column_as_one_by_one(schema, times):
    """An hour of another zone shown as UTC, or a null one row too early, is somebody's missed deadline."""
    document = parse("{ rows { seenAt } }")
    for column in ([NOON], times, [NOON]):  # a column of what was met before is written at once
        data, errors = await both(
            schema, document, lambda column=column: {"rows": [{"seenAt": time} for time in column]}
        )
        shown = [row["seenAt"] for row in data["rows"]]
        assert shown.count(None) == column.count(None) + len(errors)
        for text, time in zip(shown, column, strict=True):
            if text is not None:
                assert text.endswith("Z")
                assert datetime.fromisoformat(text) == time

    for text, of in (("{ rows { at } }", by_rows), ("{ row { times } }", by_lists)):
        document = parse(text)
        for column in ([NOON], times):
            await both(schema, document, lambda of=of, column=column: of(column))


def by_rows(times: list[Any]) -> dict[str, Any]:
    return {"rows": [{"at": time} for time in times]}


def by_lists(times: list[Any]) -> dict[str, Any]:
    return {"row": {"times": times}}


async def test_names_that_mean_something_elsewhere_are_names(schema):
    """Clients name what they ask for as they like: a name must come back as it is, with its own value."""
    names = ["None", "True", "lambda", "class", "def", "in", "v0", "v1", "rows", "_", "__proto__", "eval"]
    fields = {name: ("text", "count", "share")[number % 3] for number, name in enumerate(names)}
    asked = " ".join(f"{name}: {field}" for name, field in fields.items())
    text = f"{{ rows {{ {asked} }} lambda: rows {{ None: text }} v0: row {{ v1: count v0: text }} }}"
    rows = [{"text": f"t{number}", "count": number, "share": number / 2} for number in range(3)]

    data, errors = await both(schema, text, lambda: {"rows": rows, "row": rows[1]})

    assert errors == []
    assert data["rows"] == [{name: row[field] for name, field in fields.items()} for row in rows]
    assert [list(row) for row in data["rows"]] == [names] * 3
    assert data["lambda"] == [{"None": "t0"}, {"None": "t1"}, {"None": "t2"}]
    assert data["v0"] == {"v1": 1, "v0": "t1"}


async def test_as_many_names_as_a_client_likes(schema):
    """An object of a thousand fields is refused by a limit, if at all, and not for how it is made."""
    names = [f"n{number}" for number in range(1000)]
    text = f"{{ rows {{ {' '.join(f'{name}: count' for name in names)} }} }}"

    data, errors = await both(schema, text, lambda: {"rows": [{"count": 1}, {"count": 2}]})

    assert (data, errors) == ({"rows": [dict.fromkeys(names, 1), dict.fromkeys(names, 2)]}, [])


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
