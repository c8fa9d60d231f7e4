"""How the two executors are held one against the other: with how many examples, and where they may differ."""

import os
from collections.abc import Sequence
from typing import Any

from graphql import ExecutionResult
from hypothesis import HealthCheck, Phase, settings

EXAMPLES = settings(
    max_examples=int(os.environ.get("DIFFERENTIAL_EXAMPLES", "150")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)
FAULTS = (0.0, 0.003, 0.02, 0.1)  # how likely each value of a world is not what it should be

Told = set[tuple[tuple[str | int, ...], str]]


def told_of(result: ExecutionResult) -> tuple[Any, Told]:
    """Data and errors; of each error its path and its message."""
    told = [(tuple(error.path or ()), error.message) for error in result.errors or []]
    assert len(set(told)) == len(told), "each error is told once"
    return result.data, set(told)


def null_of(data: Any, path: Sequence[str | int]) -> tuple[str | int, ...]:
    """The place of the null that an error has left."""
    for depth, key in enumerate(path):
        if data is None:
            return tuple(path[:depth])
        data = data[key]
    assert data is None, f"an error at {path}, and a value"
    return tuple(path)


def undecided(data: Any, ours: Told, stock: Told) -> Told:
    """Errors that one alone tells, of a null that both explain.

    When two things fail that make the same null, GraphQL demands one of the errors. Whether the other is told
    depends on which was awaited longer.
    """
    explained = {null_of(data, path) for path, _ in ours & stock}
    return {(path, message) for path, message in ours ^ stock if null_of(data, path) in explained}
