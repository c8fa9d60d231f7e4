"""Plain values of settings: how they may be written, and what is said of one that is no such value."""

import re

from pydantic import AfterValidator, BeforeValidator


def _parted(given: object) -> object:
    if not isinstance(given, str):
        return given
    return [part.strip() for part in given.split(",") if part.strip()]


COMMAS = BeforeValidator(_parted)
"""For a list of plain texts: they may be written with commas between, or as JSON."""


def written_as(pattern: str, like: str) -> AfterValidator:
    """For a text of a certain form. `like` follows "must be", with an example."""

    def checked(given: str) -> str:
        if not re.fullmatch(pattern, given, re.ASCII):
            raise ValueError(f"must be {like}")
        return given

    return AfterValidator(checked)
