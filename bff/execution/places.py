"""Where the values of one column belong in the answer.

A column is found and completed as a whole. Where each of its values belongs matters when one fails, or comes
later than the others: then its path is told, and it is put or nulled in its place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphql import GraphQLOutputType, GraphQLResolveInfo
from graphql.pyutils import Path

if TYPE_CHECKING:
    from bff.execution.fields import Field
    from bff.execution.run import Run
    from bff.execution.selections import Selection


class Places(ABC):
    """One place in the answer for each value of a column."""

    __slots__ = ("field", "type")

    field: Field  # whose values they are, or whose lists they lie in
    type: GraphQLOutputType  # of each value, as declared

    @abstractmethod
    def path(self, index: int) -> Path:
        """Path of a value in the answer."""

    @abstractmethod
    def outer(self, index: int) -> tuple[Places, int] | None:
        """The value that this one is a part of; None at the edge of what is executed here."""

    @abstractmethod
    def rank(self, index: int) -> int:
        """Which part of the outer value it is, counted as graphql-core executes them."""

    @abstractmethod
    def put(self, index: int, value: Any) -> None:
        """Write a completed value to its place."""

    @abstractmethod
    def info(self, run: Run, index: int) -> GraphQLResolveInfo[Any]:
        """What graphql-core tells a resolver about the field."""


class Entry(Places):
    """The one value that graphql-core handed over."""

    __slots__ = ("_info", "_path", "value")

    def __init__(
        self, field: Field, type_: GraphQLOutputType, info: GraphQLResolveInfo[Any], path: Path
    ) -> None:
        self.field, self.type = field, type_
        self._info, self._path = info, path
        self.value: Any = None

    def path(self, index: int) -> Path:
        return self._path

    def outer(self, index: int) -> None:
        return None

    def rank(self, index: int) -> int:
        return 0

    def put(self, index: int, value: Any) -> None:
        self.value = value

    def info(self, run: Run, index: int) -> GraphQLResolveInfo[Any]:
        return self._info


class Level:
    """Objects of one type that are executed together, and where they belong."""

    __slots__ = ("_places", "_which", "rows", "selection")

    def __init__(self, selection: Selection, places: Places, which: Sequence[int] | None) -> None:
        """
        Args:
            which: of `places`, those that hold these objects; None for all.
        """
        self.selection = selection
        self._places, self._which = places, which
        self.rows: list[dict[str, Any]] = []  # of the answer, one per object

    def place(self, index: int) -> tuple[Places, int]:
        return self._places, self._which[index] if self._which else index


class InObjects(Places):
    """A field of each object of a level."""

    __slots__ = ("_level",)

    def __init__(self, level: Level, field: Field) -> None:
        self.field, self.type = field, field.type
        self._level = level

    def path(self, index: int) -> Path:
        places, at = self._level.place(index)
        return Path(places.path(at), self.field.key, self._level.selection.type.name)

    def outer(self, index: int) -> tuple[Places, int]:
        return self._level.place(index)

    def rank(self, index: int) -> int:
        return self.field.rank

    def put(self, index: int, value: Any) -> None:
        self._level.rows[index][self.field.key] = value

    def put_all(self, values: Sequence[Any]) -> None:
        key = self.field.key
        for row, value in zip(self._level.rows, values, strict=True):
            row[key] = value

    def info(self, run: Run, index: int) -> GraphQLResolveInfo[Any]:
        return run.info(self.field, self.path(index))


class InLists(Places):
    """The items of lists, one list after the other."""

    __slots__ = ("_places", "_starts", "_which", "lists")

    def __init__(
        self, places: Places, which: Sequence[int] | None, item: GraphQLOutputType, starts: Sequence[int]
    ) -> None:
        """
        Args:
            which: of `places`, those that hold these lists; None for all.
            starts: for each list, how many items lie in those before it.
        """
        self.field, self.type = places.field, item
        self._places, self._which, self._starts = places, which, starts
        self.lists: list[list[Any]] = []  # of the answer

    def path(self, index: int) -> Path:
        which, item = self._home(index)
        return Path(self._places.path(self._at(which)), item, None)

    def outer(self, index: int) -> tuple[Places, int]:
        return self._places, self._at(self._home(index)[0])

    def rank(self, index: int) -> int:
        return self._home(index)[1]

    def put(self, index: int, value: Any) -> None:
        which, item = self._home(index)
        self.lists[which][item] = value

    def info(self, run: Run, index: int) -> GraphQLResolveInfo[Any]:
        return self._places.info(run, self._at(self._home(index)[0]))

    def _home(self, index: int) -> tuple[int, int]:
        which = bisect_right(self._starts, index) - 1
        return which, index - self._starts[which]

    def _at(self, which: int) -> int:
        return self._which[which] if self._which else which


class Some(Places):
    """A few places of a column."""

    __slots__ = ("_places", "_which")

    def __init__(self, places: Places, which: Sequence[int]) -> None:
        self.field, self.type = places.field, places.type
        self._places, self._which = places, which

    def path(self, index: int) -> Path:
        return self._places.path(self._which[index])

    def outer(self, index: int) -> tuple[Places, int] | None:
        return self._places.outer(self._which[index])

    def rank(self, index: int) -> int:
        return self._places.rank(self._which[index])

    def put(self, index: int, value: Any) -> None:
        self._places.put(self._which[index], value)

    def info(self, run: Run, index: int) -> GraphQLResolveInfo[Any]:
        return self._places.info(run, self._which[index])
