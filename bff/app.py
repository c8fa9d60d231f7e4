"""Puts the process together, top to bottom: the walk of a request begins here.

Correlation → FastAPI → GraphQLEndpoint → context → schema → resolvers/ → clients/ → a service
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
from fastapi import FastAPI, Request, Response
from starlette.requests import HTTPConnection

from bff.auth import Authenticator, DevIssuer, Unauthenticated
from bff.errors import refusal
from bff.graphiql import mount_graphiql
from bff.graphql_http import GraphQLEndpoint
from bff.health import health_routes
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.world import Seller
from bff.schema import build_schema
from bff.settings import Settings
from bff.telemetry import Correlation
from clients.caller import Caller, Deadline, Viewer
from clients.directory import Directory
from clients.embedded import EmbeddedTransport
from clients.health import HealthMonitor
from clients.store import Store
from clients.transport import UpstreamSettings, network
from resolvers.context import Context
from resolvers.errors import BadUserInput, RequestError
from resolvers.loaders.operation import Loaders

BUDGET_HEADER = "x-request-budget"


def create_app(
    settings: Settings,
    *,
    base: Callable[[str, UpstreamSettings], httpx.AsyncBaseTransport] = lambda _, upstream: network(upstream),
    stripe_claim_ids: Mapping[str, int] | None = None,
) -> FastAPI:
    """The BFF. Opens nothing until it is started, and starts with every service down.

    Args:
        settings: what the process is told.
        base: the last link of each service's chain; the network unless told otherwise.
        stripe_claim_ids: entered into the map of claims to stripe's integers at the start.
    """
    authenticator = Authenticator(settings.jwt_secret)
    monitor = HealthMonitor()
    store = Store(settings.db_url)
    directory = Directory(
        settings.upstreams(), base, reserve_s=settings.reserve_s, on_outcome=monitor.observe
    )
    schema = build_schema()

    def context_for(connection: HTTPConnection, viewer: Viewer) -> Context:
        caller = Caller(viewer, Deadline(_budget_s(connection, settings.operation_budget_s)))
        return Context(
            viewer=viewer,
            caller=caller,
            loaders=Loaders(viewer, directory.clients_for(caller), store),
            health=monitor,
            support_code=connection.state.support_code,
        )

    def context_of(connection: HTTPConnection) -> Context:
        return context_for(connection, authenticator.viewer(connection.headers.get("authorization")))

    async def context(connection: HTTPConnection) -> Context:
        return context_of(connection)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await store.open()
        await store.enter_stripe_ids(stripe_claim_ids or {})
        probing = asyncio.create_task(monitor.run(directory.clients_for))
        try:
            yield
        finally:
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing
            await directory.aclose()
            await store.close()

    app = FastAPI(title="Opside BFF", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Correlation)
    app.include_router(
        GraphQLEndpoint(
            schema, "/graphql", graphql_ide=None, context_getter=context, subscription_protocols=()
        )
    )
    app.include_router(health_routes(schema, context_of, context_for))

    @app.exception_handler(Unauthenticated)
    async def unauthenticated(request: Request, error: Unauthenticated) -> Response:
        return refusal(
            "UNAUTHENTICATED",
            str(error),
            401,
            request.state.support_code,
            headers={"www-authenticate": 'Bearer realm="opside"'},
        )

    @app.exception_handler(RequestError)
    async def bad_request(request: Request, error: RequestError) -> Response:
        return refusal(error.code, str(error), 400, request.state.support_code)

    return app


def create_dev_app(sandbox: Sandbox, settings: Settings, *, seller: Seller) -> FastAPI:
    """The BFF over the six embedded services, with GraphiQL, and knobs to break them under `/sandbox`.

    Args:
        seller: whose token GraphiQL is given.
    """
    app = create_app(
        settings,
        base=lambda name, _: EmbeddedTransport(app=sandbox.apps[name]),
        stripe_claim_ids=sandbox.world.stripe_claim_ids,
    )
    app.mount("/sandbox", sandbox.control)
    mount_graphiql(app, token=dev_token(settings, seller))
    return app


def dev_token(settings: Settings, seller: Seller) -> str:
    """A token of the dev issuer for one of the sandbox's sellers, with every scope."""
    return DevIssuer(settings.jwt_secret).token(
        user_id=seller.user_id,
        email=seller.email,
        name=seller.name,
        stripe_user_id=seller.stripe_user_id,
    )


def _budget_s(connection: HTTPConnection, most_s: float) -> float:
    """The operation's time budget: the process's own, or less when the client asks for less.

    Raises:
        BadUserInput: the header is not a whole number of milliseconds above zero.
    """
    asked_ms = connection.headers.get(BUDGET_HEADER)
    if asked_ms is None:
        return most_s
    if not (asked_ms.isascii() and asked_ms.isdigit() and int(asked_ms[:9]) > 0):
        raise BadUserInput("`X-Request-Budget` is a whole number of milliseconds above zero.")
    return min(most_s, int(asked_ms[:9]) / 1000)
