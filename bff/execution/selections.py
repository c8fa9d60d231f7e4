"""What is asked of objects of one type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError, GraphQLObjectType

from bff.execution.places import InObjects, Level, Places

if TYPE_CHECKING:
    from bff.execution.fields import Field
    from bff.execution.run import Run

# What was found for each object: a value, an exception in its place, or an awaitable.
Found = Sequence[Any]


class Selection:
    """What is asked of objects of one type, in the order of the answer."""

    def __init__(self, type_: GraphQLObjectType, fields: Sequence[Field]) -> None:
        self.type = type_
        self._fields = fields
        self._rows = _rows_of([field.key for field in fields])
        names = [field.attribute for field in fields if field.attribute]
        # All in one call for each object; of one name alone that would give no tuple.
        self._read = attrgetter(*names) if len(names) > 1 else None

    def complete(
        self, run: Run, values: Sequence[Any], places: Places, which: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """The part of the answer that each object becomes; what is awaited is put into it later.

        Args:
            which: of the values, those that are objects of the type; None for all.
        """
        objects = values if which is None else [values[index] for index in which]
        if not objects:
            return []
        level = Level(self, places, which)
        carried = self._carried(objects)
        not_yet = [None] * len(objects)
        columns = []
        for field in self._fields:
            here = InObjects(level, field)
            found = next(carried) if carried and field.attribute else field.find(run, here, objects)
            columns.append(not_yet if found is None else field.values.complete(run, found, here))
        level.rows = self._rows(zip(*columns, strict=True)) if columns else [{} for _ in objects]
        return level.rows

    def _carried(self, objects: Sequence[Any]) -> Iterator[Found] | None:
        """The objects' attributes, name by name; None when they must be read one by one."""
        try:
            return zip(*map(self._read, objects), strict=True) if self._read else None
        except Exception:  # whose, and which of them, is found one by one
            return None


class Unreadable(Selection):
    """What is asked under a condition that cannot be read: no object can say what it would hold."""

    def __init__(self, type_: GraphQLObjectType, error: GraphQLError) -> None:
        super().__init__(type_, ())
        self._error = error

    def complete(
        self, run: Run, values: Sequence[Any], places: Places, which: Sequence[int] | None = None
    ) -> list[Any]:
        """Each object fails, as in graphql-core."""
        objects = range(len(values)) if which is None else which
        for index in objects:
            run.fail(places, index, self._error)
        return [None] * len(objects)


def _rows_of(keys: Sequence[str]) -> Callable[[Iterable[tuple[Any, ...]]], list[dict[str, Any]]]:
    """A function that makes an object of the answer of each row of values.

    Written out and compiled, as `namedtuple` does it: `{"id": v0, "status": v1}` is made five times as fast
    as `dict(zip(keys, row))`.
    """
    names = [f"v{number}" for number in range(len(keys))]
    pairs = ", ".join(f"{key!r}: {name}" for key, name in zip(keys, names, strict=True))
    made: Callable[[Iterable[tuple[Any, ...]]], list[dict[str, Any]]] = eval(  # noqa: S307  # of quoted names
        f"lambda rows: [{{{pairs}}} for [{', '.join(names)}] in rows]"
    )
    return made
