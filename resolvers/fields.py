"""How a field says whom it asks.

`asks`     a field with a resolver of its own
`loads`    a field that one loader answers: loader and key are data, so that a whole level of objects can be
           loaded at once without calling a resolver for each
`watches`  a subscription

All print `@requiresScopes` into the schema and check the scope before anything is asked; the first two print
`@upstream` as well.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from operator import attrgetter
from typing import Any

import strawberry
from strawberry.federation.schema_directives import RequiresScopes
from strawberry.schema_directive import Location

from resolvers.context import Context, Info
from resolvers.costs import Calls

CALLS = "calls"  # the key of a field's metadata that holds what it asks
LOADING = "loading"  # the same, for how one loader answers it
WATCHED = "watched"  # the same, for the argument that names what a subscription watches


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


@dataclass(frozen=True, slots=True)
class Loading:
    """How one loader answers a field, of any number of objects: admit once, ask for each, finish each."""

    loader: str  # attribute of `resolvers.loaders.Loaders`
    key: str | Callable[..., Any]  # attribute of the object, or a function of it and the arguments
    finish: Callable[..., Any]  # of the object, what was found, and the arguments
    defaults: Mapping[str, Any]  # of arguments that were not given
    scope: str | None
    spared: tuple[str, ...]  # services whose low quota is a reason to leave the field out
    audited: bool

    def admit(self, context: Context) -> None:
        """Stop here, before anything is asked, whoever must not or should not ask.

        Raises:
            Forbidden: the viewer's token lacks the scope.
            UpstreamRateLimited: a quota is kept for fields that matter more.
        """
        context.require(self.scope)
        context.spare(self.spared)

    def ask(
        self, context: Context, parents: Sequence[Any], arguments: Mapping[str, Any]
    ) -> Awaitable[list[Any]]:
        """What the loader will find for each object; an exception stands where it finds nothing, or where it
        cannot be asked. None asks nobody."""
        keys = self._keys(parents, arguments)
        wanted = [key for key in keys if key is not None and not isinstance(key, Exception)]
        loading: Awaitable[list[Any]] = getattr(context.loaders, self.loader).load_all(wanted)
        if len(wanted) == len(keys):
            return loading
        return asyncio.ensure_future(
            _among(keys, loading)
        )  # a task: whoever asked may leave without awaiting

    def values(
        self,
        context: Context,
        field_name: str,
        parents: Sequence[Any],
        found: Sequence[Any],
        arguments: Mapping[str, Any],
    ) -> list[Any]:
        """The field's value for each object, or an exception in its place, by what was found."""
        values: list[Any] = []
        for parent, value in zip(parents, found, strict=True):
            if not isinstance(value, Exception):
                try:
                    value = self.finish(parent, value, **arguments)
                    if self.audited and value is not None:
                        context.trail.read(f"{type(parent).__name__}.{field_name}", parent.id)
                except Exception as error:  # of this object alone
                    value = error
            values.append(value)
        return values

    def _keys(self, parents: Sequence[Any], arguments: Mapping[str, Any]) -> list[Any]:
        if isinstance(self.key, str):
            read: Callable[[Any], Any] = attrgetter(self.key)
        else:
            read = partial(self.key, **{**self.defaults, **arguments})
        try:
            return list(map(read, parents))
        except Exception:  # of which object, is found one by one
            return [_outcome(read, parent) for parent in parents]


def _outcome(read: Callable[[Any], Any], parent: Any) -> Any:
    """What it returns, or what it raises."""
    try:
        return read(parent)
    except Exception as error:
        return error


async def _among(keys: Sequence[Any], loading: Awaitable[list[Any]]) -> list[Any]:
    """What was found, each where its key is; other places stay as they are."""
    found = iter(await loading)
    return [key if key is None or isinstance(key, Exception) else next(found) for key in keys]


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
        loading = Loading(
            loader=loader,
            key=key,
            finish=finish,
            defaults={
                each.name: each.default for each in given if each.default is not inspect.Parameter.empty
            },
            scope=scope,
            spared=tuple(asked.service for asked in calls) if optional else (),
            audited=audited,
        )

        @wraps(finish)
        async def resolver(self: Any, info: Info, **arguments: Any) -> Any:
            loading.admit(info.context)
            found = await loading.ask(info.context, [self], arguments)
            [value] = loading.values(info.context, info.field_name, [self], found, arguments)
            if isinstance(value, Exception):
                raise value
            return value

        # Strawberry reads the arguments from the signature: `found` is not one of them, `info` is asked for.
        info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)
        resolver.__signature__ = inspect.signature(finish).replace(parameters=[parent, info, *given])  # type: ignore[attr-defined]
        return field_asking(resolver, calls, description, scope, {LOADING: loading})

    return field_of


def watches(
    *calls: Calls, description: str, scope: str, each_of: str | None = None
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Make a subscription of an async resolver that returns the events.

    Args:
        calls: what one round of watching asks.
        each_of: the argument, as the graph names it, that lists what is watched: the snapshot is an event for
            each, and each event asks for what is selected anew. None where the snapshot is one event.
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
            metadata={CALLS: calls, WATCHED: each_of},
        )

    return field_of


def field_asking(
    resolver: Callable[..., Any],
    calls: tuple[Calls, ...],
    description: str,
    scope: str | None,
    metadata: Mapping[str, Any] | None = None,
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
        metadata={CALLS: calls, **(metadata or {})},
    )
