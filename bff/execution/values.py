"""How values that were found become part of the answer, a column at a time.

Most columns are as they should be, and that is seen at once. Only one that is not is looked at value by
value, by graphql-core's own rules and in its words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Sequence
from inspect import isawaitable
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLAbstractType,
    GraphQLError,
    GraphQLList,
    GraphQLObjectType,
)
from graphql.execution.executor import invalid_return_type_error
from graphql.pyutils import Undefined, is_iterable

from bff.execution.places import InLists, Places

if TYPE_CHECKING:
    from bff.execution.fields import Field
    from bff.execution.run import Run
    from bff.execution.selections import Selection

NONE = type(None)


class Values(ABC):
    """The values of one type: whether they may be null, and how they are completed."""

    def __init__(self, *, non_null: bool) -> None:
        self._non_null = non_null

    @abstractmethod
    def complete(self, run: Run, values: Sequence[Any], places: Places) -> Sequence[Any]:
        """The part of the answer that each value becomes.

        None stands for what failed, which `run` is told, and for what is still awaited.
        """

    def there(self, run: Run, values: Sequence[Any], places: Places) -> list[int]:
        """Which values there are: not null, not failed, and not to be awaited."""
        found = []
        for index, value in enumerate(values):
            if isinstance(value, Exception):
                run.fail(places, index, value)
            elif value is None or value is Undefined:
                if self._non_null:
                    run.fail(places, index, null_error(places.field))
            elif run.executor.is_awaitable(value):
                run.await_value(self, value, places, index)
            else:
                found.append(index)
        return found


class Objects(Values):
    """Objects of one type."""

    def __init__(self, type_: GraphQLObjectType, field: Field, *, non_null: bool) -> None:
        super().__init__(non_null=non_null)
        self._type = type_
        self._field = field
        self._classes: set[type] = set()  # whose objects have been found to be of the type

    def complete(self, run: Run, values: Sequence[Any], places: Places) -> Sequence[Any]:
        classes = set(map(type, values))
        if classes <= self._classes:
            return self._selection(run).complete(run, values, places)
        if not self._non_null and classes - {NONE} <= self._classes:
            found = [index for index, value in enumerate(values) if value is not None]
        else:
            found = self._of_the_type(run, values, places)
        return spread(self._selection(run).complete(run, values, places, found), found, len(values))

    def _of_the_type(self, run: Run, values: Sequence[Any], places: Places) -> list[int]:
        found = []
        is_of_type = self._type.is_type_of
        for index in self.there(run, values, places):
            try:
                if is_of_type:
                    check(
                        is_of_type(values[index], places.info(run, index)), self._type, values[index], places
                    )
            except Exception as error:  # told at its place
                run.fail(places, index, error)
                continue
            self._classes.add(type(values[index]))
            found.append(index)
        return found

    def _selection(self, run: Run) -> Selection:
        return self._field.selection(run.executor, self._type)


class Abstracts(Values):
    """Objects of an interface or a union, type by type."""

    def __init__(self, type_: GraphQLAbstractType, field: Field, *, non_null: bool) -> None:
        super().__init__(non_null=non_null)
        self._type = type_
        self._field = field

    def complete(self, run: Run, values: Sequence[Any], places: Places) -> Sequence[Any]:
        executor, details = run.executor, places.field.details
        resolve_type = self._type.resolve_type or executor.type_resolver
        by_type: dict[GraphQLObjectType, list[int]] = {}
        for index in self.there(run, values, places):
            value = values[index]
            try:
                info = places.info(run, index)
                name = resolve_type(value, info, self._type)
                type_ = executor.ensure_valid_runtime_type(name, self._type, details, info, value)
                if type_.is_type_of:
                    check(type_.is_type_of(value, info), type_, value, places)
            except Exception as error:  # told at its place
                run.fail(places, index, error)
                continue
            by_type.setdefault(type_, []).append(index)
        completed: list[Any] = [None] * len(values)
        for type_, found in by_type.items():
            rows = self._field.selection(executor, type_).complete(run, values, places, found)
            for index, row in zip(found, rows, strict=True):
                completed[index] = row
        return completed


class Lists(Values):
    """Lists of values; the items of all of them are one column."""

    def __init__(self, type_: GraphQLList[Any], item: Values, *, non_null: bool) -> None:
        super().__init__(non_null=non_null)
        self._item_type = type_.of_type
        self._item = item

    def complete(self, run: Run, values: Sequence[Any], places: Places) -> Sequence[Any]:
        if set(map(type, values)) == {list}:
            return self._flat(run, values, places, None)
        found = self._iterable(run, values, places)
        lists = self._flat(run, list(found.values()), places, list(found))
        return spread(lists, list(found), len(values))

    def _flat(
        self, run: Run, lists: Sequence[Sequence[Any]], places: Places, which: list[int] | None
    ) -> list[list[Any]]:
        lengths = list(map(len, lists))
        inside = InLists(places, which, self._item_type, [0, *accumulate(lengths[:-1])])
        items = iter(self._item.complete(run, list(chain.from_iterable(lists)), inside))
        inside.lists = [list(islice(items, length)) for length in lengths]
        return inside.lists

    def _iterable(self, run: Run, values: Sequence[Any], places: Places) -> dict[int, Sequence[Any]]:
        found: dict[int, Sequence[Any]] = {}
        for index in self.there(run, values, places):
            value = values[index]
            try:
                if run.executor.is_async_iterable(value):
                    run.await_value(self, _items(value), places, index)
                elif not is_iterable(value):
                    raise GraphQLError(
                        f"Expected Iterable, but did not find one for field '{places.field.name}'."
                    )
                else:
                    found[index] = list(value)
            except Exception as error:  # told at its place
                run.fail(places, index, error)
        return found


def check(is_of_type: object, type_: GraphQLObjectType, value: Any, places: Places) -> None:
    """See that an object is of its type.

    Raises:
        GraphQLError: it is not, in graphql-core's words.
        TypeError: whether it is would have to be awaited.
    """
    if isawaitable(is_of_type):
        raise TypeError(f"{type_.name}.is_type_of must answer at once.")
    if not is_of_type:
        raise invalid_return_type_error(type_, value, places.field.details)


def spread(completed: Sequence[Any], found: Sequence[int], count: int) -> Sequence[Any]:
    """What was completed, each where its value was, and None where there was none."""
    if len(found) == count:
        return completed
    spread: list[Any] = [None] * count
    for index, value in zip(found, completed, strict=True):
        spread[index] = value
    return spread


def null_error(field: Field) -> Exception:
    """As graphql-core raises it."""
    return TypeError(f"Cannot return null for non-nullable field {field.name}.")


async def _items(iterable: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in iterable]
