"""`python live_server.py PORT`: a BFF over the sandbox, a knob that touches claims, an account of itself."""

import logging
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from bff.app import create_dev_app
from bff.cli import dev_settings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.writing import js_time
from bff.server import config_of
from bff.settings.settings import Settings
from bff.telemetry import configure_logging

PAGE_BYTES = 4096


def app(settings: Settings) -> FastAPI:
    sandbox = Sandbox(seed(60))
    made = create_dev_app(sandbox, settings, seller=SELLERS[0])

    @made.post("/drill/touch")
    async def touch() -> int:
        """Change every claim a little, as a nightly job does."""
        for row in sandbox.world.claims.values():
            row["updated_at"] = js_time(datetime.now(UTC))
        return len(sandbox.world.claims)

    @made.get("/drill")
    def account() -> dict[str, object]:
        """Resident memory in bytes, upstream requests so far without /health, open polls and streams."""
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
        calls = Counter(call.path for call in sandbox.calls if call.path != "/health")
        return {
            "rss_bytes": resident,
            "calls": calls,
            "polls": made.state.watchers.polls,
            "streams": len(made.state.streams),
        }

    return made


if __name__ == "__main__":
    configure_logging(readable=False, level=logging.ERROR)
    settings = dev_settings()
    uvicorn.Server(config_of(app(settings), settings, "127.0.0.1", int(sys.argv[1]))).run()
