"""How a mutation works: the field that starts it, and what it has at hand.

`mutates` makes the field. It checks the scope, gives the mutation a `Work`, and turns whatever was refused
into `userErrors`; what is no matter for the person stays an error of the field.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from clients.caller import Deadline, Viewer
from clients.directory import Clients
from clients.errors import UpstreamError
from resolvers.context import Context, Info
from resolvers.costs import Calls
from resolvers.fields import field_asking
from resolvers.loaders.operation import Loaders
from resolvers.mutations.user_errors import Refused, refusal_of
from resolvers.watching.watchers import Watchers

P = TypeVar("P")


@dataclass
class Work:
    """One mutation at work: on whose behalf, with which services, and until when.

    Its deadline is its own: a client that leaves ends its operation's.
    """

    viewer: Viewer
    deadline: Deadline
    clients: Clients
    loaders: Loaders
    watchers: Watchers

    @classmethod
    def of(cls, context: Context) -> Work:
        """What the operation has, for work that may outlive it."""
        deadline = Deadline(context.caller.deadline.remaining_s())
        # What was kept says nothing about what a lost write has done.
        caller = replace(context.caller, deadline=deadline, under_way=set(), wants_news=True)
        clients = context.directory.clients_for(caller)
        return cls(context.viewer, deadline, clients, context.loaders.anew(clients), context.watchers)

    def look_again(self) -> None:
        """Forget what was read: something was written since."""
        self.loaders = self.loaders.anew()


def mutates(
    payload: type[P], *calls: Calls, scope: str, description: str
) -> Callable[[Callable[..., Awaitable[P | None]]], Any]:
    """Make a mutation field of an async method `method(self, work, …)`, whose arguments are the field's.

    Args:
        payload: what it answers with; made with `user_errors` alone when it is refused.
        calls: what it asks of which service; the services are printed as `@upstream`.
        scope: what the viewer's token must carry.
    """

    def field_of(act: Callable[..., Awaitable[P | None]]) -> Any:
        @wraps(act)
        async def resolver(self: Any, info: Info, **arguments: Any) -> P | None:
            context = info.context
            context.require(scope)
            acting = act(self, Work.of(context), **arguments)
            result = await context.workshop.finish(_answered(acting, payload))
            context.loaders = context.loaders.anew()  # for what the client selects of the result
            return result

        parent, _work, *given = inspect.signature(act).parameters.values()
        info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)
        resolver.__signature__ = inspect.signature(act).replace(parameters=[parent, info, *given])  # type: ignore[attr-defined]
        return field_asking(resolver, calls, description, scope)

    return field_of


async def _answered(acting: Awaitable[P | None], payload: type[P]) -> P | None:
    try:
        return await acting
    except Refused as refused:
        error = refused.error
    except UpstreamError as failure:
        told = refusal_of(failure)
        if told is None:
            raise
        error = told.error
    return payload(user_errors=[error])  # type: ignore[call-arg]
