"""How the parts of a request become an operation's variables.

value        takes                                       gives
gid          a key, or a global id                       the global id
enum         a word, `-` as `_`, in any case             the enum's value
choice       one of the words it lists                   what the word stands for
limit        1 to 100                                    `first`
offset       rows to skip, from 0                        `after`, the cursor of the row before
flag         true or false                               the same
key          the header `Idempotency-Key`, a UUID        the same
fixed        nothing                                     always the same
never        what cannot be done                         a refusal that says why

An empty query parameter and a null in the body are absent.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from resolvers.connections import PAGE_SIZE_MAX, cursor
from resolvers.errors import BadUserInput
from resolvers.global_ids import global_id, type_and_key

ABSENT = object()  # a variable that is left out, so that the operation's own default holds
OFFSET_DIGITS_MAX = 9  # as in a cursor
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class NothingThere(Exception):
    """The path names something that cannot exist."""


@dataclass(frozen=True)
class Source:
    """Where a request says something."""

    place: str  # path, query, header or body
    name: str

    def __str__(self) -> str:
        return f"`{self.name}` in the {self.place}"


@dataclass(frozen=True)
class Asked:
    """What a request says."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    header: Mapping[str, str]
    body: Mapping[str, Any]

    def at(self, source: Source) -> Any:
        """What is said there; None when nothing is."""
        found = getattr(self, source.place).get(source.name)
        return None if found == "" and source.place != "body" else found


@dataclass(frozen=True)
class Value:
    """One variable: where it is said, what it may be, and what becomes of it."""

    sources: tuple[Source, ...]  # the first that says something counts
    convert: Callable[[Any, Source], Any]
    schema: Mapping[str, Any]  # JSON Schema of what may be said, with its description
    default: Any = ABSENT  # of the variable, not of what is said
    required: bool = False
    identifies: str | None = None  # the type of the object that it names, which may not exist

    def read(self, asked: Asked) -> Any:
        """The variable, or ABSENT.

        Raises:
            BadUserInput: it is missing, or it cannot be used.
            NothingThere: it is part of the path and names nothing.
        """
        for source in self.sources:
            if (said := asked.at(source)) is not None:
                return self.convert(said, source)
        if self.required:
            raise BadUserInput(f"{self.sources[0]} is missing: {self.schema['description']}")
        return self.default


def path(name: str) -> Source:
    return Source("path", name)


def query(name: str) -> Source:
    return Source("query", name)


def body(name: str) -> Source:
    return Source("body", name)


def gid(
    type_name: str, source: Source, *, keys: Collection[str] | None = None, required: bool = False
) -> Value:
    """The id of an object. Where all `keys` are known, any other in the path is nothing there."""

    def convert(said: Any, at: Source) -> str:
        if keys is not None and said not in keys and said not in [global_id(type_name, key) for key in keys]:
            raise NothingThere
        if not isinstance(said, str):
            raise BadUserInput(f"{at} must be the id of a {type_name}, a text.")
        try:
            type_and_key(said)  # an id of another type passes too: the graph says which one it expects
        except BadUserInput:
            return global_id(type_name, said)
        return said

    schema = {"type": "string", "description": f"Id of a {type_name}, as any answer gives it, or its key."}
    required = required or source.place == "path"
    return Value((source,), convert, schema, required=required, identifies=type_name)


def enum(type_: type[Enum], *sources: Source, default: Enum | None = None, required: bool = False) -> Value:
    """A value of an enum of the graph; UNKNOWN, which nobody can ask for, is not among the words."""
    names = [member.name for member in type_ if member.name != "UNKNOWN"]
    words = {name.lower().replace("_", "-"): name for name in names}
    return choice(words, *sources, default=default.name if default else None, required=required)


def choice(
    words: Mapping[str, str], *sources: Source, default: str | None = None, required: bool = False
) -> Value:
    """What a word stands for; `-` and `_` are the same, and so are capitals."""

    def convert(said: Any, at: Source) -> str:
        found = words.get(said.lower().replace("_", "-")) if isinstance(said, str) else None
        if found is None:
            raise BadUserInput(f"{at} must be one of: {', '.join(words)}.")
        return found

    schema: dict[str, Any] = {"type": "string", "enum": [*words], "description": "One of the words listed."}
    if default is not None:
        schema["default"] = next(word for word, value in words.items() if value == default)
    return Value(sources, convert, schema, ABSENT if default is None else default, required)


def limit(default: int) -> Value:
    """The size of a page."""

    def convert(said: str, at: Source) -> int:
        if not (said.isascii() and said.isdigit() and len(said) <= 3 and 1 <= int(said) <= PAGE_SIZE_MAX):
            raise BadUserInput(f"{at} must be a whole number from 1 to {PAGE_SIZE_MAX}.")
        return int(said)

    schema = {
        "type": "integer",
        "minimum": 1,
        "maximum": PAGE_SIZE_MAX,
        "default": default,
        "description": "Rows at most.",
    }
    return Value((query("limit"),), convert, schema, default)


def offset() -> Value:
    """Where a page begins."""

    def convert(said: str, at: Source) -> str | None:
        if not (said.isascii() and said.isdigit() and len(said) <= OFFSET_DIGITS_MAX):
            raise BadUserInput(f"{at} must be a whole number from 0, of {OFFSET_DIGITS_MAX} digits at most.")
        return cursor(int(said) - 1) if int(said) else None

    schema = {"type": "integer", "minimum": 0, "default": 0, "description": "Rows to skip."}
    return Value((query("offset"),), convert, schema)


def flag(source: Source, *, default: bool) -> Value:
    """True or false, in the body."""

    def convert(said: Any, at: Source) -> bool:
        if not isinstance(said, bool):
            raise BadUserInput(f"{at} must be true or false.")
        return said

    schema = {"type": "boolean", "default": default, "description": "True or false."}
    return Value((source,), convert, schema, default)


def key() -> Value:
    """What makes a repeated request the same request. Nothing is made up for who sends none."""

    def convert(said: str, at: Source) -> str:
        if not _UUID.fullmatch(said):
            raise BadUserInput(f"{at} must be a UUID.")
        return said

    description = "A UUID of your own; send the same one again when you repeat this request."
    schema = {"type": "string", "format": "uuid", "description": description}
    return Value((Source("header", "Idempotency-Key"),), convert, schema, required=True)


def fixed(value: Any) -> Value:
    """A variable that no request changes."""
    return Value((), lambda said, at: said, {}, value)


def never(source: Source, reason: str, *, unless: str | None = None) -> Value:
    """What cannot be done, and why; `unless` is the one word for not wanting it."""

    def convert(said: str, at: Source) -> None:
        if said.lower() != unless:
            raise BadUserInput(f"{at} cannot be done: {reason}.")

    return Value((source,), convert, {"type": "string", "description": f"Refused: {reason}."})
