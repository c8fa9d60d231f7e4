"""The sandbox: six services over one world, with knobs to break them and a book of who was asked what."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, MutableSet
from typing import NamedTuple

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.sandbox import cost_docs, integrations, mcde, predictor, refund_engine, stripe
from bff.sandbox.door import Door
from bff.sandbox.faults import SERVICES, Fault, Faults, Faulty
from bff.sandbox.files import SignedFiles
from bff.sandbox.world import World, Write
from bff.sandbox.writing import PYTHON_JSON, answer

__all__ = ["CONTROL_PORT", "DEV_SECRETS", "PORTS", "SERVICES", "Call", "Sandbox", "Write"]

PORTS: Mapping[str, int] = {
    "integrations": 3001,
    "stripe": 4000,
    "cost-docs": 3003,
    "refund-engine": 3002,
    "mcde": 8000,
    "predictor": 8010,  # its own 8000 is mcde's
}
CONTROL_PORT = 8020

DEV_SECRETS: Mapping[str, str] = {
    "refund-engine": "dev-only-secret-of-the-refund-engine-0001",
    "integrations": "dev-only-secret-of-integrations-000000002",
    "cost-docs": "dev-only-secret-of-cost-docs-000000000003",
    "stripe": "dev-only-secret-of-stripe-payments-000004",
}
"""One for each service that reads tokens; they open nothing but the sandbox."""

_REMEMBERED_CALLS = 10_000
_MCDE_PATIENCE_S = 5.0


class Call(NamedTuple):
    """One request that reached for a service, whether or not the service was well."""

    service: str
    method: str
    path: str
    query: str


class Sandbox:
    """The six services, ready to be mounted, driven in process or served on ports."""

    def __init__(
        self,
        world: World,
        *,
        secrets: Mapping[str, str] = DEV_SECRETS,
        faults: Faults | None = None,
        quota: int | None = None,
        search_reachable: bool = False,
        mcde_repaired: bool = False,
        cancel_repaired: bool = False,
        search_broken: bool = False,
        files_url: str = f"http://127.0.0.1:{CONTROL_PORT}/files",
    ) -> None:
        """Put the services together.

        Args:
            world: the rows; see ``bff.sandbox.seed.seed``.
            secrets: what each service's tokens are signed with.
            faults: what is wrong from the start; nothing when not given.
            quota: requests each of the four counting services grants in 15 minutes. None: the headers of
                a limit of 1 000 000, which nobody reaches.
            search_reachable: cost docs' search route works, instead of being taken for an id.
            mcde_repaired: mcde estimates costs, instead of always failing.
            cancel_repaired: integrations cancels a running sync, instead of failing on its own table.
            search_broken: integrations cannot queue a search, as published; the trigger is refused with 500.
            files_url: where the control app's ``/files`` is, as a browser sees it; links start with it.
        """
        self.world = world
        self.faults = Faults() if faults is None else faults
        self.calls: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)
        self._files = SignedFiles(world, files_url, secrets["cost-docs"])

        doors = {
            "refund-engine": Door(
                refund_engine.app(world, secret=secrets["refund-engine"]), refund_engine.MANNERS, quota
            ),
            "integrations": Door(
                integrations.app(
                    world,
                    secret=secrets["integrations"],
                    cancel_repaired=cancel_repaired,
                    search_broken=search_broken,
                ),
                integrations.MANNERS,
                quota,
            ),
            "cost-docs": Door(
                cost_docs.app(
                    world,
                    secret=secrets["cost-docs"],
                    link=self._files.link,
                    search_reachable=search_reachable,
                ),
                cost_docs.MANNERS,
                quota,
            ),
            "stripe": Door(stripe.app(world, secret=secrets["stripe"]), stripe.MANNERS, quota),
            "mcde": Door(
                mcde.app(
                    world, refund_engine_is_healthy=self._refund_engine_is_healthy, repaired=mcde_repaired
                ),
                mcde.MANNERS,
                quota,
            ),
            "predictor": Door(predictor.app(world), predictor.MANNERS, quota),
        }
        self._services = {name: Faulty(name, doors[name], self.faults) for name in SERVICES}
        self.apps: dict[str, ASGIApp] = {name: self._noted(name, app) for name, app in self._services.items()}
        self.control = Starlette(
            routes=[
                Route("/faults", self._show_faults),
                Route("/faults", self._set_faults, methods=["PUT"]),
                Route("/files/{key:path}", self._files.fetch),
            ]
        )

    @property
    def down(self) -> MutableSet[str]:
        """The services that refuse connections: ``sandbox.down.add("cost-docs")``."""
        return self.faults.down

    @property
    def writes(self) -> list[Write]:
        """What was really done to the world, oldest first: two equal entries are one thing done twice."""
        return self.world.writes

    def calls_of(self, service: str) -> list[Call]:
        """List what a service was asked, oldest first."""
        return [call for call in self.calls if call.service == service]

    def _noted(self, service: str, app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                query = scope.get("query_string", b"").decode("latin-1")
                self.calls.append(Call(service, scope["method"], scope["path"], query))
            await app(scope, receive, send)

        return noted

    async def _refund_engine_is_healthy(self) -> bool:
        """Ask as mcde asks: GET /health, five seconds at most. Not noted: nobody outside has asked."""
        try:
            async with asyncio.timeout(_MCDE_PATIENCE_S):
                return await _status_of_health(self._services["refund-engine"]) == 200
        except (OSError, TimeoutError):
            return False

    async def _show_faults(self, request: Request) -> Response:
        return answer(self.faults.as_words(), media_type=PYTHON_JSON)

    async def _set_faults(self, request: Request) -> Response:
        """Change the services that are named, or nothing at all."""
        try:
            words = orjson.loads(await request.body())
            if not isinstance(words, dict):
                raise ValueError('Send a JSON object of service and fault: {"stripe": "down"}.')
            changes = {_service(name): Fault.of(str(word)) for name, word in words.items()}
        except ValueError as exc:
            return answer({"error": str(exc)}, 400, media_type=PYTHON_JSON)
        for service, fault in changes.items():
            self.faults[service] = fault
        return await self._show_faults(request)


def _service(name: str) -> str:
    if name not in SERVICES:
        raise ValueError(f"{name!r} is not a service. Say one of: {', '.join(SERVICES)}.")
    return name


async def _status_of_health(app: ASGIApp) -> int:
    status = 0
    never = asyncio.Event()

    async def receive() -> Message:
        await never.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/health",
        "raw_path": b"/health",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "server": ("refund-engine", 80),
        "client": ("mcde", 0),
    }
    await app(scope, receive, send)
    return status
