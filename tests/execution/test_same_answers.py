"""The same answers as graphql-core's own executor: whatever is asked, whatever was found, whatever fails.

Each example is a document that hypothesis made from the schema, some of its arguments and conditions given
by variables (`random_variables.py`), and a world of random objects (`random_world.py`). Both executors answer
it; the data, the order of its keys, and the errors must be equal. `make differential` runs 5,000 of them.
"""

from typing import Any

import anyio
import orjson
import pytest
from differential import EXAMPLES, FAULTS, Told, told_of, undecided
from graphql import execute, parse
from hypothesis import given
from hypothesis import strategies as st
from random_variables import asked
from random_world import context_of, graph
from strawberry.execution.is_awaitable import optimized_is_awaitable
from test_no_unexplained_null import documents, plain_schema

from bff.schema import EXECUTORS


async def answer(
    executor: str, document: str, variables: dict[str, Any], seed: int, faults: float
) -> tuple[Any, Told]:
    """Data and errors."""
    schema = graph(executor)
    result: Any = execute(
        schema,
        parse(document),
        variable_values=variables,
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
    asked=asked(documents(), plain_schema()),
    seed=st.integers(0, 2**32),
    faults=st.sampled_from(FAULTS),
)
def test_both_executors_give_the_same_answer(
    asked: tuple[str, dict[str, Any]], seed: int, faults: float
) -> None:
    """What a client sees does not depend on how it was executed."""
    ours, our_errors = anyio.run(answer, "levels", *asked, seed, faults)
    stock, stock_errors = anyio.run(answer, "stock", *asked, seed, faults)

    assert orjson.dumps(ours) == orjson.dumps(stock), asked  # in the same order as well
    assert our_errors ^ stock_errors == undecided(stock, our_errors, stock_errors), asked
