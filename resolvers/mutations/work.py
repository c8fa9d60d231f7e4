"""How a mutation works: the field that starts it, and what it has at hand.

`mutates` makes the field. It checks the scope, gives the mutation a `Work`, and turns whatever was refused
into `userErrors`; what is no matter for the person stays an error of the field. That a mutation begins is in
the audit log before anything is sent, and what became of it before it is answered.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from clients.caller import Deadline, Viewer
from clients.directory import Clients
from clients.errors import UpstreamError
from resolvers.context import Context, Info, Trail
from resolvers.costs import Calls
from resolvers.errors import BadUserInput
from resolvers.fields import field_asking
from resolvers.global_ids import Node, type_and_key
from resolvers.loaders.operation import Loaders
from resolvers.mutations.user_errors import Refused, refusal_of
from resolvers.watching.watchers import Watchers

P = TypeVar("P")

DONE = "DONE"  # the outcome in the audit log; otherwise a code


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
            work = Work.of(context)

            async def acting() -> P | None:
                return await _answered(act(self, work, **arguments), payload)

            recorded = _recorded(context.trail, info.field_name, arguments, acting)
            result = await context.workshop.finish(recorded)
            context.loaders = context.loaders.anew()  # for what the client selects of the result
            return result

        parent, _work, *given = inspect.signature(act).parameters.values()
        info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)
        resolver.__signature__ = inspect.signature(act).replace(parameters=[parent, info, *given])  # type: ignore[attr-defined]
        return field_asking(resolver, calls, description, scope)

    return field_of


async def _recorded(
    trail: Trail, mutation: str, arguments: Mapping[str, Any], acting: Callable[[], Awaitable[P | None]]
) -> P | None:
    named = _named_in(arguments.get("input"))
    work = await trail.begun(mutation, named)
    try:
        result = await acting()
    except Exception as error:
        await trail.ended(work, mutation, named, getattr(error, "code", "INTERNAL_SERVER_ERROR"))
        raise
    errors = getattr(result, "user_errors", None)
    outcome = errors[0].code.value if errors else DONE
    await trail.ended(work, mutation, _shown_in(result) or named, outcome)
    return result


def _named_in(given: Any) -> str | None:
    """The first object that an input names. What is no id of this graph may be anything, and is not kept."""
    for value in vars(given).values() if given else ():
        if isinstance(value, str):
            with contextlib.suppress(BadUserInput):
                type_and_key(value)
                return value
    return None


def _shown_in(payload: Any) -> str | None:
    values = vars(payload).values() if payload else ()
    return next((value.id for value in values if isinstance(value, Node)), None)


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
