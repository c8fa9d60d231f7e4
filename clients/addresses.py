"""Parts of an address: ids in its path, and parameters behind it."""

from typing import Any
from urllib.parse import quote


def path_id(value: object) -> str:
    """An id as one segment of a path: nothing in it can end the segment, start a query or climb up.

    Raises:
        ValueError: the value is empty, `.` or `..`, which no encoding makes safe.
    """
    segment = quote(str(value), safe="")
    if segment in ("", ".", ".."):
        raise ValueError("not a path segment")
    return segment


def given(**params: Any) -> dict[str, str | int]:
    """The parameters that have a value: services ignore unknown ones, and read empty ones as a filter."""
    return {name: value for name, value in params.items() if value is not None}
