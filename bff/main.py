"""The process under a server: `uvicorn bff.main:app`. The only place that reads the environment."""

import os

from bff.app import create_app
from bff.environment import BadEnvironment, misspelt, refused, told
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from bff.trusted import BadManifest

if unknown := misspelt(os.environ):
    raise refused(unknown)
try:
    settings = told(Settings)
except BadEnvironment as exc:
    raise refused(str(exc)) from None

configure_logging(readable=False)
try:
    app = create_app(settings)
except BadManifest as exc:
    raise refused(f"BFF_TRUSTED_DOCUMENTS cannot be used.\n  {exc}") from None
