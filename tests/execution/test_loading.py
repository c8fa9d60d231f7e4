"""A field that one loader answers, of objects of which some cannot be asked for: each costs itself alone."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import strawberry

from bff.schema import EXECUTORS
from resolvers.context import Context
from resolvers.fields import loads
from resolvers.loaders.batching import Loader


def _double(number: "Number", times: int) -> int | None:
    if number.value == 13:
        raise ValueError("13 has no key")
    return number.value * times if number.value else None


@strawberry.type
class Number:
    value: int

    @loads("squares", key=_double, description="The square of its double.")
    def square(self, found: int | None, times: int = 2) -> str | None:
        if found == 400:
            raise ValueError("400 is not shown")
        return f"{self.value}*{times}: {found}"

    @loads("squares", key="value", description="Its own square.", audited=True)
    def plain(self, found: int | None) -> int | None:
        return found

    @property
    def id(self) -> str:
        return f"number-{self.value}"


@strawberry.type
class Query:
    @strawberry.field
    def numbers(self, values: list[int]) -> list[Number]:
        return [Number(value=value) for value in values]


SCHEMAS = {
    name: strawberry.Schema(query=Query, execution_context_class=executor)
    for name, executor in EXECUTORS.items()
}


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> strawberry.Schema:
    return SCHEMAS[request.param]


class Operation:
    """What the fields of one operation ask, and are noted to have given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.given: list[tuple[str, str]] = []
        self.context = object.__new__(Context)
        self.context.loaders = cast(Any, SimpleNamespace(squares=Loader(self._squares)))
        self.context.trail = cast(Any, SimpleNamespace(read=lambda *read: self.given.append(read)))

    async def _squares(self, keys: list[int]) -> Sequence[int | Exception]:
        self.batches.append(keys)
        return [key * key if key > 0 else ValueError(f"{key} was not found") for key in keys]

    async def ask(self, schema: strawberry.Schema, text: str) -> tuple[list[Any], dict[str, str]]:
        """The numbers of the answer, and what errors say by their paths."""
        result = await schema.execute(text, context_value=self.context)
        assert result.data is not None
        told = {"/".join(map(str, error.path or ())): error.message for error in result.errors or []}
        return result.data["numbers"], told


async def test_each_object_has_its_own_answer(schema):
    """No key, a key that cannot be told, one that is not found, one that is not shown: in their places."""
    operation = Operation()

    numbers, told = await operation.ask(schema, "{ numbers(values: [3, 13, 0, -4, 10, 1, 3]) { square } }")

    assert [number["square"] for number in numbers] == [
        "3*2: 36",
        None,
        "0*2: None",  # nobody was asked, and the field says what that means
        None,
        None,
        "1*2: 4",
        "3*2: 36",
    ]
    assert told == {
        "numbers/1/square": "13 has no key",
        "numbers/3/square": "-8 was not found",
        "numbers/4/square": "400 is not shown",
    }
    assert operation.batches == [[6, -8, 20, 2]]


async def test_arguments_are_a_part_of_the_question(schema):
    """Two aliases with two arguments are two questions in one batch; what both need is asked for once."""
    operation = Operation()

    numbers, told = await operation.ask(
        schema, "{ numbers(values: [2, 13, 4]) { square(times: 4) again: square value } }"
    )

    assert numbers == [
        {"square": "2*4: 64", "again": "2*2: 16", "value": 2},
        {"square": None, "again": None, "value": 13},
        {"square": "4*4: 256", "again": "4*2: 64", "value": 4},
    ]
    assert set(told.values()) == {"13 has no key"}
    assert [sorted(batch) for batch in operation.batches] == [[4, 8, 16]]


@pytest.mark.parametrize("values", [[0, 0], [13, 0, 13], []])
async def test_nobody_is_asked_where_no_object_has_a_key(schema, values):
    """A request for nothing is a request; and an empty list is not an error."""
    operation = Operation()

    numbers, told = await operation.ask(schema, f"{{ numbers(values: {values}) {{ square }} }}")

    assert [number["square"] for number in numbers] == [None if value else "0*2: None" for value in values]
    assert (len(told), operation.batches) == (values.count(13), [])


async def test_what_is_noted_as_given_was_given(schema):
    """The audit log says who was shown what: not what could not be found, and not under another's name."""
    operation = Operation()

    numbers, told = await operation.ask(schema, "{ numbers(values: [5, -1, 7]) { plain } }")

    assert [number["plain"] for number in numbers] == [25, None, 49]
    assert told == {"numbers/1/plain": "-1 was not found"}
    assert sorted(operation.given) == [("Number.plain", "number-5"), ("Number.plain", "number-7")]


async def test_two_operations_at_once_are_two(schema):
    """Two sellers' screens that are executed in turns: each has its own questions and its own notes."""
    first, second = Operation(), Operation()

    answers = [
        await operation.ask(schema, f"{{ numbers(values: [{value}]) {{ plain }} }}")
        for operation, value in ((first, 2), (second, 3), (first, 2))
    ]

    assert [numbers[0]["plain"] for numbers, _ in answers] == [4, 9, 4]
    assert (first.batches, second.batches) == ([[2]], [[3]])
    assert (set(first.given), second.given) == (
        {("Number.plain", "number-2")},
        [("Number.plain", "number-3")],
    )
