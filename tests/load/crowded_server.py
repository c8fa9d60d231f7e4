"""`python crowded_server.py PORT`: a BFF over the sandbox, where the first seller has 50,000 claims.

The refund engine repeats what it has answered to a seller: its own sorting of 50,000 rows, in this process,
would be what the drill measures.
"""

import itertools
import logging
import sys
import uuid
from collections.abc import MutableMapping
from typing import Any

import jwt
from fastapi import FastAPI
from hostile.attacked_server import TellStolen, watched
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from stolen import Stolen

from bff import server
from bff.app import create_app
from bff.cli import dev_settings
from bff.rates import RateSettings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from clients.embedded import EmbeddedTransport

CLAIMS = 50_000
SEEDED = 200


class Repeating:
    """ASGI wrapper: answers a GET as it answered the same seller before."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: dict[tuple[Any, ...], list[MutableMapping[str, Any]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = dict(scope.get("headers", ())).get(b"authorization", b"").decode().removeprefix("Bearer ")
        if scope["type"] != "http" or scope["method"] != "GET" or not shown:
            await self._app(scope, receive, send)
            return
        whose = jwt.decode(shown, options={"verify_signature": False})["id"]
        asked = whose, scope["path"], scope["query_string"]
        if asked not in self._answers:
            said: list[Message] = []

            async def keep(message: Message) -> None:
                said.append(message)

            await self._app(scope, receive, keep)
            self._answers[asked] = said
        for message in self._answers[asked]:
            await send(dict(message))


def settings() -> Settings:
    """Rates are off: what is left of fairness without them is what the drill is about."""
    return dev_settings().model_copy(update={"rates": RateSettings(mode="off")})


def app() -> FastAPI:
    world = seed(SEEDED)
    rows = [row for row in world.claims.values() if row["user_id"] == SELLERS[0].user_id]
    for row, _ in zip(itertools.cycle(rows), range(CLAIMS - len(rows)), strict=False):
        key = str(uuid.uuid4())
        world.claims[key] = row | {"id": key}
    sandbox = Sandbox(world)
    sandbox.apps["refund-engine"] = Repeating(sandbox.apps["refund-engine"])
    made, stolen = (
        create_app(
            settings(),
            base=lambda name, _: EmbeddedTransport(app=sandbox.apps[name]),
            stripe_claim_ids=world.stripe_claim_ids,
        ),
        Stolen(),
    )
    made.add_middleware(TellStolen, stolen=stolen)
    watched(made, stolen)
    return made


if __name__ == "__main__":
    configure_logging(readable=False, level=logging.ERROR)
    server.run(app(), settings(), "127.0.0.1", int(sys.argv[1]))
