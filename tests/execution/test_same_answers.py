"""The same answers as graphql-core's own executor: whatever is asked, whatever was found, whatever fails.

Each example is a document that hypothesis made from the schema, and a world of random objects: see
`random_world.py`. Both executors answer it; the data, the order of its keys, and the errors must be equal.
`make differential` runs 5,000 of them.
"""

from typing import Any

import anyio
import orjson
import pytest
from differential import EXAMPLES, FAULTS, Told, told_of, undecided
from graphql import execute, parse, print_ast
from hypothesis import given
from hypothesis import strategies as st
from random_world import context_of, graph
from strawberry.execution.is_awaitable import optimized_is_awaitable
from test_no_unexplained_null import documents

from bff.schema import EXECUTORS


async def answer(executor: str, document: str, seed: int, faults: float) -> tuple[Any, Told]:
    """Data and errors."""
    schema = graph(executor)
    result: Any = execute(
        schema,
        parse(document),
        context_value=context_of(schema, seed, faults),
        executor_class=EXECUTORS[executor],
        is_awaitable=optimized_is_awaitable,
    )
    if optimized_is_awaitable(result):
        result = await result
    return told_of(result)


# graphql-core leaves coroutines of siblings behind when a field fails that must not be null.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(3000)
@EXAMPLES
@given(
    document=documents().map(print_ast),
    seed=st.integers(0, 2**32),
    faults=st.sampled_from(FAULTS),
)
def test_both_executors_give_the_same_answer(document: str, seed: int, faults: float) -> None:
    """What a client sees does not depend on how it was executed."""
    ours, our_errors = anyio.run(answer, "levels", document, seed, faults)
    stock, stock_errors = anyio.run(answer, "stock", document, seed, faults)

    assert orjson.dumps(ours) == orjson.dumps(stock), document  # in the same order as well
    assert our_errors ^ stock_errors == undecided(stock, our_errors, stock_errors), document
