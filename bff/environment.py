"""What is wrong with an environment, told to whoever wrote it; no value of it is shown."""

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from bff.settings.audit import AuditSettings
from bff.settings.settings import Settings

S = TypeVar("S", bound=AuditSettings)

_WORDS = {
    "extra_forbidden": "there is no such setting",
    "tuple_type": 'must be a JSON list, as ["first", "second"]',
    "dict_type": 'must be a JSON object, as {"name": ["first", "second"]}',
    "model_type": "is a group: set what is in it, with two underscores between",
    "path_not_file": "must be the path of a file that is there",
}


class BadEnvironment(Exception):
    """The settings cannot be used; the text says which, and what to write."""


def told(settings: type[S], **given: Any) -> S:
    """The settings that the environment holds, beside those given.

    Raises:
        BadEnvironment: they cannot be used.
    """
    try:
        return settings(**given)
    except ValidationError as exc:
        raise BadEnvironment("\n  ".join(["The settings cannot be used.", *complaints(exc)])) from None


def refused(said: str) -> SystemExit:
    """What to raise when a command cannot be carried out; `said` is told before."""
    print(said, file=sys.stderr)  # noqa: T201  # there may be no log yet
    return SystemExit(2)


def misspelt(environ: Mapping[str, str]) -> str | None:
    """A sentence about the `BFF_…` names in an environment that no setting has; None where each has one."""
    name_of = {f"BFF_{field}".upper(): _name_of(field) for field in Settings.model_fields}
    known = set(name_of.values())
    unknown = sorted(
        f"{name} (it is {name_of[name.upper()]})" if name.upper() in name_of else name
        for name in environ
        if name.upper().startswith("BFF_") and name.upper().split("__")[0] not in known
    )
    return (
        f"Unknown settings: {', '.join(unknown)}. bff/settings/ lists those that exist." if unknown else None
    )


def complaints(error: ValidationError) -> list[str]:
    """What is wrong with an environment, by the names that are used there."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = _name_at(problem["loc"])
        message = _WORDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        lines.append(f"{name}: {message}" if name else message)
    return lines


def _name_at(place: tuple[str | int, ...]) -> str:
    if not place:
        return ""
    first, *steps = place
    names = [str(step).upper() for step in steps if isinstance(step, str)]
    numbers = [f" (number {step + 1})" for step in steps if isinstance(step, int)]
    return "__".join([_name_of(str(first)), *names]) + "".join(numbers)


def _name_of(field: str) -> str:
    """What a setting is called in the environment; `field` may be that name already."""
    found = Settings.model_fields.get(field)
    if found is None:
        return field
    return str(found.validation_alias or f"BFF_{field}".upper())
