"""The same streams as by graphql-core's own executor: event by event, to the same end.

As `test_same_answers.py`, for subscriptions: a source tells a few random events, some of them null or broken,
or the same object once more when everything about it has changed. It may refuse to begin, or break off.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import anyio
import orjson
import pytest
from differential import EXAMPLES, FAULTS, Told, told_of, undecided
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
    subscribe,
)
from hypothesis import given
from hypothesis import strategies as st
from random_variables import asked
from random_world import Broken, World, context_of, graph
from strawberry.utils.await_maybe import await_maybe
from test_no_unexplained_null import documents, plain_schema

from bff.schema import EXECUTORS


@dataclass(frozen=True)
class Source:
    """How the source of a stream goes."""

    begins: str
    events: list[str]
    ends: str

    async def stream(self, world: World, field: GraphQLField) -> Any:
        await asyncio.sleep(0)
        if self.begins == "refuses":
            raise Broken("nothing to watch")
        return self._told(world, field) if self.begins == "begins" else 5

    async def _told(self, world: World, field: GraphQLField) -> AsyncGenerator[Any, None]:
        latest = world.event(field)
        for event in self.events:
            await asyncio.sleep(0)
            if event == "new":
                latest = world.event(field)
            yield {"null": None, "broken": Broken("no event")}.get(event, latest)
        if self.ends == "breaks":
            raise Broken("lost")


SOURCES = st.builds(
    Source,
    begins=st.sampled_from([*["begins"] * 8, "refuses", "is no stream"]),
    events=st.lists(st.sampled_from([*["new"] * 6, *["same"] * 4, "null", "broken"]), max_size=6),
    ends=st.sampled_from(["ends", "ends", "breaks"]),
)


def fields() -> dict[str, GraphQLField]:
    """All that can be subscribed to."""
    subscription = plain_schema().subscription_type
    assert subscription
    return subscription.fields


@cache
def asked_as_query(name: str) -> GraphQLSchema:
    """The plain schema with one subscription as its only query: hypothesis-graphql makes no subscriptions."""
    types = [type_ for name, type_ in plain_schema().type_map.items() if name != "Query"]
    return GraphQLSchema(GraphQLObjectType("Query", {name: fields()[name]}), types=types)


@st.composite
def subscriptions(draw: st.DrawFn) -> DocumentNode:
    """A subscription of one of the graph's fields; of claims more often, for most can be asked below them."""
    name = draw(st.sampled_from([*fields(), "claimUpdated", "claimUpdated"]))
    [operation] = draw(documents(asked_as_query(name))).definitions
    [field, *_] = cast(OperationDefinitionNode, operation).selection_set.selections  # GraphQL allows one
    return DocumentNode(
        definitions=(
            OperationDefinitionNode(
                operation=OperationType.SUBSCRIPTION, selection_set=SelectionSetNode(selections=(field,))
            ),
        )
    )


Stream = tuple[list[tuple[Any, Told]], str]


async def stream(
    executor: str, document: str, variables: dict[str, Any], source: Source, seed: int, faults: float
) -> Stream:
    """Data and errors of each event, and how it ended."""
    schema = graph(executor)
    context = context_of(schema, seed, faults)
    cast(Any, context).source = partial(source.stream, cast(Any, context).world)
    begun: Any = await await_maybe(  # as Strawberry does it
        subscribe(
            schema,
            parse(document),
            variable_values=variables,
            context_value=context,
            executor_class=EXECUTORS[executor],
        )
    )
    if isinstance(begun, ExecutionResult):
        return [told_of(begun)], "not begun"
    events = []
    try:
        async with aclosing(begun):
            async for result in begun:
                events.append(told_of(result))  # noqa: PERF401  # also those before it breaks off
    except Broken as error:
        return events, str(error)
    return events, "ended"


# graphql-core leaves coroutines of siblings behind when a field fails that must not be null.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(3000)
@EXAMPLES
@given(
    asked=asked(subscriptions(), plain_schema()),
    source=SOURCES,
    seed=st.integers(0, 2**32),
    faults=st.sampled_from(FAULTS),
)
def test_both_executors_tell_the_same_events(
    asked: tuple[str, dict[str, Any]], source: Source, seed: int, faults: float
) -> None:
    """What a client sees of a stream does not depend on how its events were executed."""
    ours, our_end = anyio.run(stream, "levels", *asked, source, seed, faults)
    stock, stock_end = anyio.run(stream, "stock", *asked, source, seed, faults)

    assert our_end == stock_end, asked
    assert len(ours) == len(stock), asked
    assert len(stock) == (1 if stock_end == "not begun" else len(source.events)), asked
    for (our_data, our_errors), (data, errors) in zip(ours, stock, strict=True):
        assert orjson.dumps(our_data) == orjson.dumps(data), asked  # in the same order as well
        assert our_errors ^ errors == undecided(data, our_errors, errors), asked
