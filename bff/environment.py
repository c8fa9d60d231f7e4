"""What is wrong with an environment, told to whoever wrote it."""

from collections.abc import Mapping

from pydantic import ValidationError

from bff.settings.settings import Settings


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """The `BFF_…` names in an environment that no setting has, sorted."""
    known = {f"BFF_{name}".upper() for name in Settings.model_fields}
    return sorted(
        name
        for name in environ
        if name.upper().startswith("BFF_") and name.upper().split("__")[0] not in known
    )


def complaints(error: ValidationError) -> list[str]:
    """What is wrong with an environment, by the names that are used there; no value of it."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        steps = [str(step) for step in problem["loc"]]
        message = problem["msg"].removeprefix("Value error, ")
        if steps and steps[0] in Settings.model_fields:
            steps[0] = f"BFF_{steps[0]}".upper()
        name = "__".join([*steps[:1], *(step.upper() for step in steps[1:])])
        lines.append(f"{name}: {message}" if name else message)
    return lines
