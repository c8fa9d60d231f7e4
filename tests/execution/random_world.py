"""Random objects of the graph's types, and the graph whose fields find them instead of asking services.

Nulls where none may be, words that no enum has, properties that raise, loaders that fail; the same each time
the same is asked. For the tests that hold one executor against the other.
"""

import asyncio
import copy
import dataclasses
import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from bff.limits import LimitSettings
from bff.schema import _built
from clients.caller import Caller, Deadline, Viewer
from resolvers.context import Context
from resolvers.fields import LOADING, Loading
from resolvers.loaders.batching import Loader

DECLARED = GraphQLCoreConverter.DEFINITION_BACKREF
BUDGET_S = 60.0  # nobody here looks at it


class Broken(Exception):
    """What a resolver, a property or a loader of these tests raises."""


class World:
    """Random objects of the graph's types, the same each time they are asked for."""

    def __init__(self, schema: GraphQLSchema, seed: int, faults: float) -> None:
        self._schema = schema
        self._seed = seed
        self._faults = faults  # how likely each value is not what it should be
        self._event = 0

    def begin_event(self) -> None:
        """From now on everything may be found otherwise, also of objects that are there already."""
        self._event += 1

    def found(self, field: GraphQLField, name: str, source: Any) -> Any:
        """What a resolver finds for a field of an object; an exception is to be raised."""
        dice = self._dice(f"{getattr(source, 'serial', 'root')}.{name}")
        if dice.random() < self._faults:
            return Broken(f"{name} failed")
        return self._value(field.type, dice, f"{dice.random()}")

    def late(self, name: str, source: Any) -> bool:
        """Whether a resolver must wait for what it finds."""
        return self._dice(f"{getattr(source, 'serial', 'root')}.{name}.late").random() < 0.5

    def event(self, field: GraphQLField) -> Any:
        """An event of a subscription field, and never the same; an exception is one, too."""
        dice = self._dice("event")
        return self._value(field.type, dice, f"{dice.random()}")

    def _dice(self, place: str) -> random.Random:
        return random.Random(f"{self._seed}/{self._event}/{place}")

    def _value(self, type_: GraphQLOutputType, dice: random.Random, serial: str) -> Any:
        wrong = dice.random() < self._faults
        if is_non_null_type(type_):
            if wrong:
                return dice.choice([None, Broken("instead")])
            type_ = type_.of_type
            wrong = dice.random() < self._faults
        elif dice.random() < 0.1:
            return None
        if is_list_type(type_):
            if wrong:
                return dice.choice([5, "no list", Broken("no list")])
            items = [
                self._value(type_.of_type, dice, f"{serial}.{index}") for index in range(dice.randrange(5))
            ]
            return dice.choice([items, items, tuple(items)])
        if is_leaf_type(type_):
            return self._leaf(type_, dice, wrong)
        if is_abstract_type(type_):
            type_ = dice.choice(self._schema.get_possible_types(cast(GraphQLAbstractType, type_)))
        if wrong:
            return dice.choice([object(), 7, Broken("no object")])
        return self._object(type_, dice, serial)

    def _object(self, type_: GraphQLObjectType, dice: random.Random, serial: str) -> Any:
        class_ = type_.extensions[DECLARED].origin
        raising = {}
        values = {"serial": serial}
        for name, field in type_.fields.items():
            declared = field.extensions.get(DECLARED)
            if (
                not isinstance(declared, StrawberryField)
                or declared.base_resolver
                or LOADING in declared.metadata
            ):
                continue
            attribute = declared.python_name
            if dice.random() < self._faults:
                raising[attribute] = dice.choice([_raising, _coming])(f"{type_.name}.{name}")
            else:
                values[attribute] = self._value(field.type, dice, f"{serial}.{name}")
        made: Any = object.__new__(type(class_.__name__, (class_,), raising) if raising else class_)
        made.__dict__.update({name: value for name, value in values.items() if name not in raising})
        return made

    def _leaf(self, type_: Any, dice: random.Random, wrong: bool) -> Any:
        if wrong:
            return dice.choice([*WRONG.get(type_.name, ["NOPE", 5, True]), object(), Broken("no leaf")])
        if is_enum_type(type_):
            return dice.choice(list(cast(Any, type_).wrapped_cls))
        return dice.choice(RIGHT[type_.name])


RIGHT: dict[str, list[Any]] = {
    "String": ["", "text", "ü"],
    "ID": ["Q2xhaW06MQ==", "1"],
    "Int": [0, 7, -1],
    "Float": [0.0, 0.5],
    "Boolean": [True, False],
    "DateTime": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 9, 30, 14, 5, 0, 1, tzinfo=UTC)],
    "Decimal": [Decimal("0.00"), Decimal("324.50")],
    "UUID": [UUID(int=1), UUID(int=2**127)],
    "_Any": [{}],
}

WRONG: dict[str, list[Any]] = {
    "Int": [2**31, 1.5, True, "7"],
    "Float": [float("inf"), float("nan"), 1, True],
    "String": [True, 5, float("inf")],
    "ID": [5, True, 1.5],
    "Boolean": [1, "true", float("nan")],
}


def _raising(name: str) -> property:
    def fail(_: Any) -> Any:
        raise Broken(f"{name} raises")

    return property(fail)


def _coming(name: str) -> property:
    async def come() -> str:
        await asyncio.sleep(0)
        return name

    return property(lambda _: come())


class RandomLoaders:
    """One loader per name, which answers for whatever field of whatever object it is asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: dict[str, Loader[Any, Any]] = {}

    def anew(self, _clients: object) -> "RandomLoaders":
        return RandomLoaders(self._world)

    def __getattr__(self, name: str) -> Loader[Any, Any]:
        if name not in self._made:
            self._made[name] = Loader(self._answers)
        return self._made[name]

    async def _answers(self, keys: list[tuple[str, GraphQLField, Any]]) -> list[Any]:
        await asyncio.sleep(0)
        return [self._world.found(field, name, source) for name, field, source in keys]


@cache
def graph(executor: str) -> GraphQLSchema:
    """The schema of the graph, whose fields find what is in `context.world` instead of asking services."""
    schema = cast(Any, _built).__wrapped__(LimitSettings(), executor)._schema
    for type_ in schema.type_map.values():
        if is_object_type(type_) and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                declared = field.extensions.get(DECLARED)
                if isinstance(declared, StrawberryField):
                    _strand(field, f"{type_.name}.{name}", declared)
    return cast(GraphQLSchema, schema)


def _strand(field: GraphQLField, name: str, declared: StrawberryField) -> None:
    """Cut a field off from the services."""
    if field.subscribe:
        field.subscribe = _source_of(field)
    elif LOADING in declared.metadata:
        loading = _random_loading(declared.metadata[LOADING], name, field)
        copied = copy.copy(declared)
        copied.metadata = {**declared.metadata, LOADING: loading}
        field.extensions = {**field.extensions, DECLARED: copied}
        field.resolve = _loading_resolver(loading, name)
    elif declared.base_resolver:
        field.extensions = {}
        field.resolve = _random_resolver(name, field)


def _random_loading(loading: Loading, name: str, field: GraphQLField) -> Loading:
    class Key(tuple[Any, ...]):
        """By the object's name in the world: the objects of this test cannot all be hashed."""

        def __hash__(self) -> int:
            return hash((self[0], getattr(self[2], "serial", "")))

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and (self[0], self[2].serial) == (other[0], other[2].serial)

    return dataclasses.replace(
        loading,
        key=lambda source, **_: Key((name, field, source)),
        finish=lambda _source, found, **_: found,
        defaults={},
        spared=(),
        audited=False,
    )


def _loading_resolver(loading: Loading, name: str) -> Callable[..., Any]:
    async def resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        loading.admit(info.context)
        found = await loading.ask(info.context, [source], {})
        [value] = loading.values(info.context, name, [source], found, {})
        if isinstance(value, Exception):
            raise value
        return value

    return resolve


def _random_resolver(name: str, field: GraphQLField) -> Callable[..., Any]:
    def resolve(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        world: World = info.context.world

        def found() -> Any:
            value = world.found(field, name, source)
            if isinstance(value, Broken):
                raise value
            return value

        async def later() -> Any:
            await asyncio.sleep(0)
            return found()

        return later() if world.late(name, source) else found()

    return resolve


def _source_of(field: GraphQLField) -> Callable[..., Any]:
    async def subscribe(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        return await info.context.source(field)

    return subscribe


def context_of(schema: GraphQLSchema, seed: int, faults: float) -> Context:
    """What the resolvers of one operation can reach: random loaders, and a viewer with most of the scopes.

    That of a subscription also needs `source`, which makes the stream of a field's events or raises.
    """
    scopes = ["claims:read", "documents:read", "detections:read", "payments:read", "integrations:read"]
    dice = random.Random(seed)
    viewer = Viewer("u", None, None, None, frozenset(dice.sample(scopes, 4)), datetime.now(UTC))
    world = World(schema, seed, faults)
    context = object.__new__(Context)
    context.viewer, context.loaders = viewer, cast(Any, RandomLoaders(world))
    context.caller, context.budget_s = Caller(viewer, Deadline(BUDGET_S)), BUDGET_S
    context.directory = cast(Any, SimpleNamespace(clients_for=lambda _caller: None))
    context.on_event = world.begin_event
    cast(Any, context).world = world
    return context
