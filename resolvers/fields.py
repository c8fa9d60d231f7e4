"""How a field says whom it asks.

`asks`     a field with a resolver of its own
`loads`    a field that one loader answers: loader and key are data, so that a whole level of objects can be
           loaded at once without calling a resolver for each
`watches`  a subscription

All print `@requiresScopes` into the schema and check the scope before anything is asked; the first two print
`@upstream` as well.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import strawberry
from strawberry.federation.schema_directives import RequiresScopes
from strawberry.schema_directive import Location

from resolvers.context import Info
from resolvers.costs import Calls

CALLS = "calls"  # the key of a field's metadata that holds what it asks


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="upstream",
    repeatable=True,
    description=(
        "The service that must answer before this field has a value; repeated when the field needs several. "
        "The value equals `errors[].extensions.service` and `ServiceHealth.name`."
    ),
)
class UpstreamDirective:
    service: str = strawberry.field(
        description="Slug of the service: refund-engine, integrations, cost-docs, stripe, mcde or predictor."
    )


def asks(
    *calls: Calls, description: str, scope: str | None = None, optional: bool = False
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Make a field of an async resolver.

    Args:
        calls: what it asks of which service; the services are printed as `@upstream`.
        scope: what the viewer's token must carry; None inherits the parent's.
        optional: whether a screen can do without it, so that it is spared when a quota runs low.
    """

    def field_of(resolve: Callable[..., Awaitable[Any]]) -> Any:
        @wraps(resolve)
        async def resolver(self: Any, info: Info, **arguments: Any) -> Any:
            info.context.require(scope)
            if optional:
                info.context.spare([asked.service for asked in calls])
            return await resolve(self, info, **arguments)

        return field_asking(resolver, calls, description, scope)

    return field_of


def loads(
    loader: str,
    *calls: Calls,
    key: str | Callable[..., Any],
    description: str,
    scope: str | None = None,
    optional: bool = False,
    audited: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Make a field of a plain method that turns what a loader found into the field's value.

    The method is called as `method(self, found, **arguments)`. It asks nobody.

    Args:
        loader: attribute of `resolvers.loaders.Loaders`.
        calls: what it asks of which service; the services are printed as `@upstream`.
        key: attribute of the object that is the loader's key, or a function of the object and the field's
            arguments where they are part of the question. A key of None asks nobody and finds None.
        scope: what the viewer's token must carry; None inherits the parent's.
        optional: whether a screen can do without it, so that it is spared when a quota runs low.
        audited: whether it goes into the audit log that somebody was given it.
    """

    def field_of(finish: Callable[..., Any]) -> Any:
        parent, _found, *given = inspect.signature(finish).parameters.values()
        defaults = {each.name: each.default for each in given if each.default is not inspect.Parameter.empty}

        def key_of(parent: Any, arguments: dict[str, Any]) -> Any:
            return getattr(parent, key) if isinstance(key, str) else key(parent, **defaults | arguments)

        @wraps(finish)
        async def resolver(self: Any, info: Info, **arguments: Any) -> Any:
            info.context.require(scope)
            if optional:
                info.context.spare([asked.service for asked in calls])
            loading_key = key_of(self, arguments)
            found = None
            if loading_key is not None:
                found = await getattr(info.context.loaders, loader).load(loading_key)
            value = finish(self, found, **arguments)
            if audited and value is not None:
                info.context.trail.read(f"{type(self).__name__}.{info.field_name}", self.id)
            return value

        # Strawberry reads the arguments from the signature: `found` is not one of them, `info` is asked for.
        info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)
        resolver.__signature__ = inspect.signature(finish).replace(parameters=[parent, info, *given])  # type: ignore[attr-defined]
        return field_asking(resolver, calls, description, scope)

    return field_of


def watches(*calls: Calls, description: str, scope: str) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Make a subscription of an async resolver that returns the events.

    Args:
        calls: what one round of watching asks.
        scope: what the viewer's token must carry.
    """

    def field_of(resolve: Callable[..., Awaitable[Any]]) -> Any:
        @wraps(resolve)
        async def resolver(self: Any, info: Info, **arguments: Any) -> Any:
            info.context.require(scope)
            return await resolve(self, info, **arguments)

        return strawberry.subscription(
            resolver=resolver,
            description=description,
            directives=[RequiresScopes(scopes=[[scope]])],
            metadata={CALLS: calls},
        )

    return field_of


def field_asking(
    resolver: Callable[..., Any], calls: tuple[Calls, ...], description: str, scope: str | None
) -> Any:
    """A field that says in the schema whom its resolver asks and what scope it demands.

    Args:
        scope: what the resolver demands of the viewer's token before it asks; None inherits the parent's.
    """
    services = dict.fromkeys(asked.service for asked in calls)  # each once, in the order given
    directives: list[object] = [UpstreamDirective(service=service) for service in services]
    if scope is not None:
        directives.append(RequiresScopes(scopes=[[scope]]))  # so that a router can refuse, too
    return strawberry.field(
        resolver=resolver,
        description=description,
        directives=directives,
        metadata={CALLS: calls},
    )
