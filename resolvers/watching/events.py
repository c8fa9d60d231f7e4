"""From what a watch tells to the events of a subscription."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from resolvers.watching.listener import Told

T = TypeVar("T")
E = TypeVar("E")


async def events(
    told: AsyncGenerator[Told[T], None],
    event_of: Callable[[Told[T]], E],
    *,
    ends: Callable[[T], bool] = lambda _: False,
) -> AsyncGenerator[E, None]:
    """The events of a stream, until it is closed or has told a state after which nothing can change.

    Closing this closes `told`, which lets go of the poll.
    """
    async with aclosing(told):
        async for each in told:
            yield event_of(each)
            if ends(each.state):
                return
