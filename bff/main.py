"""The process under a server: `uvicorn bff.main:app`. The only place that reads the environment."""

import os

from bff.app import create_app
from bff.settings import Settings, misspelt
from bff.telemetry import configure_logging

if unknown := misspelt(os.environ):
    raise SystemExit(f"Unknown settings: {', '.join(unknown)}. See bff/settings.py for those that exist.")

configure_logging(readable=False)
app = create_app(Settings())  # type: ignore[call-arg]  # the environment gives the rest
