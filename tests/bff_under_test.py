"""A BFF over the sandbox: the whole process in memory, the six services below it, nothing mocked.

The fixtures of `tests/graph` and `tests/api`.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.app import create_dev_app, dev_token
from bff.cli import dev_settings
from bff.operations import stored_operations
from bff.sandbox.sandbox import SERVICES, Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import Seller, World
from bff.settings.settings import Settings
from clients.chain.breaker import BreakerSettings
from clients.transport import ServiceSettings

HANGING_FOR_S, PATIENT_FOR_S = 0.3, 30.0


@dataclass
class GraphAnswer:
    """What a client receives."""

    status: int
    data: Any
    errors: list[dict[str, Any]] = field(default_factory=list)
    extensions: dict[str, Any] = field(default_factory=dict)


class Heard(NamedTuple):
    """One request as it reached a service: its path as it was written, and its headers."""

    service: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Bff:
    """One BFF under test, and the sandbox below it."""

    http: httpx.AsyncClient
    sandbox: Sandbox
    settings: Settings
    heard: list[Heard] = field(default_factory=list)
    lost: set[tuple[str, str]] = field(default_factory=set)
    """Service and method of requests whose answers are lost: it does its work, and the connection breaks."""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """Service and method of requests that it refuses, and gives no reason that anybody knows."""

    async def ask(
        self,
        document: str,
        /,
        *,
        seller: Seller = SELLERS[0],
        budget_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
        **variables: Any,
    ) -> GraphAnswer:
        """Send an operation as a seller; `document` is its text, or the name of a stored one."""
        headers = {"authorization": f"Bearer {dev_token(self.settings, seller)}", **(headers or {})}
        if budget_ms is not None:
            headers["x-request-budget"] = str(budget_ms)
        return await self.ask_with(headers, document, **variables)

    async def ask_with(self, headers: dict[str, str], document: str, /, **variables: Any) -> GraphAnswer:
        """Send an operation with just these headers."""
        response = await self.http.post(
            "/graphql",
            json={"query": stored_operations().get(document, document), "variables": variables},
            headers=headers,
        )
        body = response.json()
        return GraphAnswer(
            response.status_code, body.get("data"), body.get("errors", []), body.get("extensions", {})
        )

    async def checked(self) -> dict[str, Any]:
        """The answer of /health, once the monitor has checked every service."""
        for _ in range(500):
            health: dict[str, Any] = (await self.http.get("/health")).json()["data"]
            if health["checkedAt"]:
                return health
            await anyio.sleep(0.01)
        raise AssertionError("the monitor has not checked every service in five seconds")

    def calls(self) -> dict[str, int]:
        """Upstream requests so far, by service, /health aside; then forget them."""
        counted: dict[str, int] = {}
        for call in self.sandbox.calls:
            if call.path != "/health":
                counted[call.service] = counted.get(call.service, 0) + 1
        self.sandbox.calls.clear()
        return counted


def limits(hanging: Collection[str], settings: Settings) -> dict[str, ServiceSettings]:
    """Settings of the services with which one that hangs is left soon, and no other is, however busy we are.

    The circuit of one that hangs stays closed: it would answer for it after ten calls.
    """
    hangs = {"timeout_s": HANGING_FOR_S, "breaker": BreakerSettings(calls_at_least=100_000)}
    return {
        name: getattr(settings, name).model_copy(
            update=hangs if service in hanging else {"timeout_s": PATIENT_FOR_S}
        )
        for service, name in ((service, service.replace("-", "_")) for service in SERVICES)
    }


MakeBff = Callable[..., Awaitable[Bff]]


@contextlib.asynccontextmanager
async def running(app: FastAPI, sandbox: Sandbox, settings: Settings) -> AsyncIterator[Bff]:
    """Start an app, and stop it in the end."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://bff.test") as http,
    ):
        yield Bff(http, sandbox, settings)


def listen(
    sandbox: Sandbox, lost: Collection[tuple[str, str]] = (), refused: Collection[tuple[str, str]] = ()
) -> list[Heard]:
    """Write down all that reaches a sandbox's services, lose some answers and refuse some requests; before
    the BFF is made."""
    heard: list[Heard] = []

    async def unheard(message: Message) -> None:
        pass

    def hearing(service: str, app: ASGIApp) -> ASGIApp:
        async def hear(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            heard.append(Heard(service, scope["method"], scope["raw_path"].decode(), headers))
            if (service, scope["method"]) in refused:
                await JSONResponse({"success": False, "message": "No."}, 422)(scope, receive, send)
                return
            if (service, scope["method"]) in lost:
                await app(scope, receive, unheard)
                raise ConnectionResetError
            await app(scope, receive, send)

        return hear

    sandbox.apps.update({service: hearing(service, app) for service, app in sandbox.apps.items()})
    return heard


@pytest.fixture
async def make_bff() -> AsyncIterator[MakeBff]:
    """Start a BFF over a sandbox: `await make_bff(claims=10, operation_budget_s=0.6, search_reachable=True)`.

    Its services are waited for, however busy the machine is. Options that a `Settings` has go there; the
    rest go to the `Sandbox`. With the `world` of another BFF it is one that has seen and kept nothing yet.
    """
    async with made_bffs(patient=True) as make:
        yield make


@pytest.fixture
async def make_hurried_bff() -> AsyncIterator[MakeBff]:
    """The same, with the times of production."""
    async with made_bffs(patient=False) as make:
        yield make


@contextlib.asynccontextmanager
async def made_bffs(*, patient: bool) -> AsyncIterator[MakeBff]:
    async with contextlib.AsyncExitStack() as stack:
        usual = dev_settings()
        if patient:
            patience = {"operation_budget_s": PATIENT_FOR_S, **limits((), usual)}
            usual = usual.model_copy(update=patience)

        async def make(*, claims: int = 60, world: World | None = None, **options: Any) -> Bff:
            told = {name: options.pop(name) for name in list(options) if name in Settings.model_fields}
            settings = usual.model_copy(update=told)
            sandbox = Sandbox(world or seed(claims), **options)
            lost: set[tuple[str, str]] = set()
            refused: set[tuple[str, str]] = set()
            heard = listen(sandbox, lost, refused)
            app = create_dev_app(sandbox, settings, seller=SELLERS[0])
            made = await stack.enter_async_context(running(app, sandbox, settings))
            made.heard, made.lost, made.refused = heard, lost, refused
            return made

        yield make


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """A BFF over the usual seed."""
    return await make_bff()
