"""The process under a server: `uvicorn bff.main:app`. The only place that reads the environment."""

import os

from pydantic import ValidationError

from bff.app import create_app
from bff.settings import Settings, misspelt
from bff.telemetry import configure_logging
from bff.trusted import BadManifest

if unknown := misspelt(os.environ):
    raise SystemExit(f"Unknown settings: {', '.join(unknown)}. bff/settings.py lists those that exist.")
try:
    settings = Settings()  # type: ignore[call-arg]  # the environment gives the rest
except ValidationError as exc:
    raise SystemExit(f"The settings cannot be used.\n{exc}") from None

configure_logging(readable=False)
try:
    app = create_app(settings)
except BadManifest as exc:
    raise SystemExit(f"BFF_TRUSTED_DOCUMENTS cannot be used.\n{exc}") from None
