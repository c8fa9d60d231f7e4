"""The process under a server: `uvicorn bff.main:app`. The only place that reads the environment."""

import os
import sys

from pydantic import ValidationError

from bff.app import create_app
from bff.environment import complaints, misspelt
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from bff.trusted import BadManifest


def _refuse(said: str) -> SystemExit:
    print(said, file=sys.stderr)  # noqa: T201  # there is no log yet
    return SystemExit(2)


if unknown := misspelt(os.environ):
    raise _refuse(f"Unknown settings: {', '.join(unknown)}. bff/settings/ lists those that exist.")
try:
    settings = Settings()  # type: ignore[call-arg]  # pydantic's `False` is a default all the same
except ValidationError as exc:
    raise _refuse("\n  ".join(["The settings cannot be used.", *complaints(exc)])) from None

configure_logging(readable=False)
try:
    app = create_app(settings)
except BadManifest as exc:
    raise _refuse(f"BFF_TRUSTED_DOCUMENTS cannot be used.\n  {exc}") from None
