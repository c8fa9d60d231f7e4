"""`extensions.upstreams`: an honest account of what an operation asked of the services, and what it got.

Given when the client asks for it (`X-Upstreams: 1`), and whenever something is stale or missing.

field       meaning
service     slug of the service
calls       questions asked
attempts    requests that left: fewer where an answer was repeated or shared, more where one was tried again
durationMs  time waited, summed over the calls, which may run side by side
state       LIVE, CACHED, STALE or MISSING: the worst answer
circuit     CLOSED, OPEN or HALF_OPEN: the circuit breaker, now
"""

from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError

from bff.errors import cause_of
from clients.caller import Caller, Freshest
from clients.directory import SERVICES
from clients.errors import UpstreamError
from resolvers.context import Context

WORTH_TELLING = (Freshest.STALE, Freshest.MISSING)


def note_missing(errors: Iterable[GraphQLError], caller: Caller) -> None:
    """Note what is missing though nobody was asked: a spared field, an answer too large to read."""
    for error in errors:
        cause = cause_of(error)
        if isinstance(cause, UpstreamError):
            caller.use_of(cause.upstream).answers.add(Freshest.MISSING)


def upstreams_of(context: Context) -> dict[str, Any]:
    """The extension, or nothing where nobody asked and nothing is amiss."""
    uses = context.caller.uses
    if not context.tell_upstreams and not any(use.state in WORTH_TELLING for use in uses.values()):
        return {}
    return {
        "upstreams": [
            {
                "service": service.name,
                "calls": use.calls,
                "attempts": use.attempts,
                "durationMs": round(use.waited_ms, 1),
                "state": use.state.value,
                "circuit": context.directory.circuit(service.name).name,
            }
            for service in SERVICES
            if (use := uses.get(service.name))
        ]
    }
