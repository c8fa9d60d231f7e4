"""A client that leaves while a level is loading: what comes afterwards is not reported as our fault."""

import asyncio
import gc
from typing import Any

from graphql import execute, parse
from random_world import Broken, RandomLoaders, World, context_of, graph

from bff.execution.executor import LevelExecutor
from resolvers.context import Context

DOCUMENT = parse("{ claims { nodes { id submission { status } payments { asOf } } } }")
SEEDS = 40


class Late(RandomLoaders):
    """Loaders that answer when they are told to, and then with errors."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def _answers(self, keys: list[Any]) -> list[Any]:
        self.asked += len(keys)
        await self.may_answer.wait()
        return [Broken("late")] * len(keys)


async def answered(context: Context) -> None:
    result: Any = execute(graph("levels"), DOCUMENT, context_value=context, executor_class=LevelExecutor)
    if asyncio.iscoroutine(result):
        await result


async def test_errors_after_a_client_has_left_are_nobodys():
    """Each would be a traceback in the log of a night in which a service fails and people give up waiting."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    asked = 0
    for seed in range(SEEDS):
        context = context_of(graph("levels"), seed, 0.0)
        loaders: Any = Late(World(graph("levels"), seed, 0.0))
        context.loaders = loaders
        task = asyncio.create_task(answered(context))
        for _ in range(1 + seed % 10):  # it leaves earlier or later
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        loaders.may_answer.set()
        await asyncio.sleep(0.001)
        asked += loaders.asked
        del context, loaders, task
        gc.collect()

    assert asked > SEEDS
    assert reported == []
