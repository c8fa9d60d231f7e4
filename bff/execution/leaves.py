"""How scalars and enums become part of the answer, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLString,
    is_enum_type,
)
from graphql.pyutils.undefined import UndefinedType

from bff.execution.places import Places
from bff.execution.values import NONE, Values
from resolvers.scalars import time_texts

if TYPE_CHECKING:
    from bff.execution.run import Run


def _all(_values: Sequence[Any]) -> bool:
    return True


def _whole(values: Sequence[Any]) -> bool:
    return all(value is None or GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT for value in values)


def _finite(values: Sequence[Any]) -> bool:
    return all(value is None or isfinite(value) for value in values)


# What travels as it is: its class, and what else must hold.
AS_IT_IS: dict[str, tuple[type, Callable[[Sequence[Any]], bool]]] = {
    GraphQLString.name: (str, _all),
    GraphQLID.name: (str, _all),
    GraphQLBoolean.name: (bool, _all),
    GraphQLInt.name: (int, _whole),
    GraphQLFloat.name: (float, _finite),
}

# What is coerced a column at a time, by what is as good as the type's own for each value.
COLUMNS: dict[str, Callable[[Sequence[Any]], list[Any]]] = {"DateTime": time_texts}


class Leaves(Values):
    """Values of one scalar or enum."""

    def __init__(self, type_: GraphQLLeafType, *, non_null: bool) -> None:
        super().__init__(non_null=non_null)
        self._type = type_
        self._null = frozenset() if non_null else frozenset({NONE})
        self._as_it_is: frozenset[type] = frozenset()
        self._fit: Callable[[Sequence[Any]], bool] = _all
        if type_.name in AS_IT_IS:
            class_, self._fit = AS_IT_IS[type_.name]
            self._as_it_is = self._null | {class_}
        self._classes: set[type] = set()  # of values that the type has coerced
        self._names = _names(type_)
        self._column = COLUMNS.get(type_.name)

    def complete(self, run: Run, values: Sequence[Any], places: Places) -> Sequence[Any]:
        classes = set(map(type, values))
        if classes <= self._as_it_is and self._fit(values):
            return values
        if self._names:
            names = list(map(self._names.get, map(id, values)))
            if self._fit_to_be_told(names, values):
                return names
        elif classes <= self._null | self._classes:
            try:
                completed = self._coerced(values)
            except Exception:  # noqa: S110  # which one, and why, is found value by value
                pass
            else:
                if self._fit_to_be_told(completed, values):
                    return completed
        return self._one_by_one(run, values, places)

    def _fit_to_be_told(self, completed: Sequence[Any], values: Sequence[Any]) -> bool:
        """Whether nulls are where nulls may be and were found.

        By class before anything: decimals and times take long to be compared with None.
        """
        classes = set(map(type, completed))
        if UndefinedType in classes or (NONE in classes and not self._null):
            return False
        return NONE not in classes or all(
            value is None for each, value in zip(completed, values, strict=True) if each is None
        )

    def _coerced(self, values: Sequence[Any]) -> list[Any]:
        coerce = self._type.coerce_output_value
        first = values[0] if values else None
        if first is not None and len(set(map(id, values))) == 1:
            return [coerce(first)] * len(values)  # `asOf`: all rows of a page were received at once
        if self._column:
            return self._column(values)
        return [None if value is None else coerce(value) for value in values]

    def _one_by_one(self, run: Run, values: Sequence[Any], places: Places) -> Sequence[Any]:
        completed: list[Any] = [None] * len(values)
        for index in self.there(run, values, places):
            value = values[index]
            try:
                completed[index] = run.executor.complete_leaf_value(self._type, value)
            except Exception as error:  # told at its place
                run.fail(places, index, error)
            else:
                self._classes.add(type(value))
        return completed


def _names(type_: GraphQLLeafType) -> dict[int, str]:
    """An enum's names by the identity of its members: they are there for good, and slow to hash."""
    members = getattr(type_, "wrapped_cls", ()) if is_enum_type(type_) else ()
    return {id(member): type_.coerce_output_value(member) for member in members}
