"""Whether an answer explains itself: nothing is missing without an error that says whose fault it is.

`complaints` compares an answer given while services failed with the answer to the same operation when all was
well, field by field along the document. What it holds against:

- a null where there is a value when all is well, at a field whose `@upstream` names no failed service
- a null without exactly one error at exactly its path, or with one of another service or code
- an error without a null at its path, or whose extensions are not the agreed five
- a value that changed although the services behind it were well
- a timeline that does not name exactly the services whose entries are missing
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    get_named_type,
)

Path = tuple[str | int, ...]
Error = dict[str, Any]

EXTENSIONS = {"code", "service", "retryable", "retryAfterMs", "supportCode"}
RETRYABLE = {
    "SERVICE_UNAVAILABLE": True,
    "SERVICE_TIMEOUT": True,
    "SERVICE_FAILED": True,
    "SERVICE_CONTRACT_BROKEN": False,
    "CIRCUIT_OPEN": True,
    "RATE_LIMITED": True,
}
CIRCUIT_OPEN = (
    "CIRCUIT_OPEN"  # said of a service that failed, in the place of its own code, once it is left alone
)

TIMELINE = "ClaimEventConnection"
TIMELINE_SERVICES = {"refund-engine", "integrations", "stripe"}
HEALTH = {"SystemHealth", "ServiceHealth"}  # the monitor's own, and meant to change in an outage
IDENTITY = {"id", "name", "displayName"}
# What differs between any two answers: clocks, and links signed for one answer.
VOLATILE = {"asOf", "coversSince", "validatedAt", "generatedAt", "SignedUrl.url", "SignedUrl.expiresAt"}


@dataclass(frozen=True)
class Asked:
    """One field of the document, where it was asked: its name, its place in the schema, what it selects."""

    owner: str
    name: str
    type_name: str
    services: frozenset[str]
    selections: tuple[SelectionSetNode, ...]

    @property
    def differs_anyway(self) -> bool:
        if self.owner in HEALTH:
            return self.name not in IDENTITY
        return self.type_name in HEALTH or bool({self.name, f"{self.owner}.{self.name}"} & VOLATILE)


def complaints(
    schema: GraphQLSchema,
    document: DocumentNode,
    healthy: Any,
    data: Any,
    errors: Collection[Error],
    failed: Mapping[str, str],
) -> list[str]:
    """List what an answer leaves unexplained; an empty list is an honest answer.

    Args:
        schema: built from `schema.graphql`, with its `@upstream` directives.
        document: the operation, one in the document, with its fragments.
        healthy: the `data` of the same operation when all was well.
        data: the `data` of the answer in question.
        errors: its errors.
        failed: the services that failed → the code that their failure stands for.
    """
    if data is None:
        return ["data is null"]
    return [*_Reading(schema, document, failed, errors).complaints(healthy, data)]


class _Reading:
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        failed: Mapping[str, str],
        errors: Collection[Error],
    ) -> None:
        self.schema = schema
        self.failed = failed
        self.errors = errors
        [self.operation] = [
            node for node in document.definitions if isinstance(node, OperationDefinitionNode)
        ]
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.asked_at: dict[Path, Asked] = {}  # the nulls that were met, by path

    def complaints(self, healthy: Any, data: Any) -> Iterator[str]:
        root = self.schema.query_type
        assert root is not None
        yield from self._object((), root.name, (self.operation.selection_set,), healthy, data)
        for error in self.errors:
            yield from self._error(error)

    def _object(
        self,
        path: Path,
        type_name: str,
        selections: tuple[SelectionSetNode, ...],
        healthy: dict[str, Any],
        data: dict[str, Any],
    ) -> Iterator[str]:
        if healthy.keys() != data.keys():
            yield f"{_text(path)} has other fields than when all is well"
            return
        for key, asked in self._fields(type_name, selections).items():
            if key in data:
                yield from self._value((*path, key), asked, healthy[key], data[key])

    def _value(self, path: Path, asked: Asked, healthy: Any, data: Any) -> Iterator[str]:
        if data is None and asked.owner not in HEALTH:
            self.asked_at[path] = asked
            if healthy is not None:
                yield from self._null(path, asked)
        elif asked.differs_anyway:
            return
        elif healthy is None:
            yield f"{_text(path)} is {data!r}, and null when all is well"
        elif asked.type_name == TIMELINE:
            yield from self._timeline(path, healthy, data)
        elif isinstance(data, list):
            if len(healthy) != len(data):
                yield f"{_text(path)} has {len(data)} items, and {len(healthy)} when all is well"
                return
            for index, (before, now) in enumerate(zip(healthy, data, strict=True)):
                yield from self._value((*path, index), asked, before, now)
        elif isinstance(data, dict):
            yield from self._object(path, asked.type_name, asked.selections, healthy, data)
        elif healthy != data:
            yield f"{_text(path)} is {data!r}, and {healthy!r} when all is well"

    def _null(self, path: Path, asked: Asked) -> Iterator[str]:
        guilty = asked.services & self.failed.keys()
        if asked.type_name == TIMELINE and guilty != asked.services:
            yield f"{_text(path)} is null although one of its services was well"
        if not guilty:
            yield f"{_text(path)} is null, and no failed service is behind it: {sorted(asked.services)}"
        found = [error for error in self.errors if tuple(error.get("path") or ()) == path]
        if len(found) != 1:
            yield f"{_text(path)} is null with {len(found)} errors at its path"

    def _error(self, error: Error) -> Iterator[str]:
        path, extensions = tuple(error.get("path") or ()), error.get("extensions", {})
        asked, service, code = self.asked_at.get(path), extensions.get("service"), extensions.get("code")
        if asked is None:
            yield f"{_text(path)} has an error, {code} of {service}, and is not null"
        elif service not in asked.services:
            yield f"{_text(path)} has an error of {service}, and needs {sorted(asked.services)}"
        if service not in self.failed:
            yield f"{_text(path)} accuses {service} ({code}), which was well"
        elif code not in (self.failed[service], CIRCUIT_OPEN):
            yield f"{_text(path)} says {code} of {service}, and not {self.failed[service]}"
        if extensions.keys() != EXTENSIONS:
            yield f"{_text(path)} has an error with the extensions {sorted(extensions)}"
        elif extensions["retryable"] is not RETRYABLE[code] or not extensions["supportCode"]:
            yield f"{_text(path)} has an error with {extensions}"
        elif code == CIRCUIT_OPEN and extensions["retryAfterMs"] is None:
            yield f"{_text(path)} does not say when {service} is asked again"

    def _timeline(self, path: Path, healthy: dict[str, Any], data: dict[str, Any]) -> Iterator[str]:
        if "missingServices" not in data:  # cut, where it lay too deep: nothing but its type was asked for
            return
        missing = self.failed.keys() & TIMELINE_SERVICES
        if sorted(data["missingServices"]) != sorted(missing):
            yield f"{_text(path)} misses {sorted(missing)}, and names {data['missingServices']}"
        if (data["totalCount"] is None) is not bool(missing):
            yield f"{_text(path)} counts {data['totalCount']} entries while {sorted(missing)} are missing"
        if not missing and healthy["edges"] != data["edges"]:
            yield f"{_text(path)} has other entries than when all is well"
        events = [edge["node"] for edge in data["edges"]]
        invented = [event for event in events if event not in [edge["node"] for edge in healthy["edges"]]]
        if invented:
            yield f"{_text(path)} has entries that it has not when all is well: {invented}"

    def _fields(self, type_name: str, selections: tuple[SelectionSetNode, ...]) -> dict[str, Asked]:
        found: dict[str, Asked] = {}
        for owner, node in self._selected(type_name, selections):
            if node.name.value == "__typename":
                continue
            owner_type = self.schema.type_map[owner]
            assert isinstance(owner_type, GraphQLObjectType | GraphQLInterfaceType)
            definition = owner_type.fields[node.name.value]
            key = node.alias.value if node.alias else node.name.value
            below = (node.selection_set,) if node.selection_set else ()
            found[key] = Asked(
                owner,
                node.name.value,
                get_named_type(definition.type).name,
                frozenset(_services(definition.ast_node)),
                (*(found[key].selections if key in found else ()), *below),
            )
        return found

    def _selected(
        self, type_name: str, selections: tuple[SelectionSetNode, ...]
    ) -> Iterator[tuple[str, FieldNode]]:
        """Every field selected on a type, fragments included, with the type that it is selected on."""
        for selection in (each for selection_set in selections for each in selection_set.selections):
            if isinstance(selection, FieldNode):
                yield type_name, selection
                continue
            fragment = (
                self.fragments[selection.name.value]
                if isinstance(selection, FragmentSpreadNode)
                else selection
            )
            condition = fragment.type_condition
            on = condition.name.value if condition else type_name
            assert not isinstance(self.schema.type_map[on], GraphQLUnionType), (
                "fields of a union have no owner"
            )
            yield from self._selected(on, (fragment.selection_set,))


def _services(definition: Any) -> Iterator[str]:
    for directive in (definition and definition.directives) or ():
        if directive.name.value == "upstream":
            for argument in directive.arguments:
                assert isinstance(argument.value, StringValueNode)
                yield argument.value.value


def _text(path: Path) -> str:
    return ".".join(map(str, path)) or "the answer"
