"""Puts the process together, top to bottom: the walk of a request begins here.

Correlation → HttpGuard → CORS → BrokenTold → UnderWay → BodyDeadline → BodyLimit → KeysLearned → FastAPI
→ LiveEndpoint, or a route of rest/ → Contexts → schema → resolvers/ → clients/
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from bff.api_docs import mount_api_docs
from bff.audit import Book
from bff.auth import Unauthenticated
from bff.body_limit import BodyLimit
from bff.broken import BrokenTold
from bff.contexts import Contexts
from bff.dev_issuer import DevIssuer
from bff.drain import Drain, UnderWay
from bff.errors import Refused, refused
from bff.graphiql import mount_graphiql
from bff.graphql_http import ENDPOINT, astray
from bff.graphql_live import LiveEndpoint
from bff.graphql_ws import Door
from bff.health import health_routes
from bff.http_guard import HttpGuard, cors, origins_allowed
from bff.identity import Identity, KeysLearned
from bff.in_flight import InFlight
from bff.metrics import CONTENT_TYPE, Metrics
from bff.operations import stored_operations
from bff.persisted import KEPT_AT_MOST, PersistedDocuments
from bff.rates import Rates
from bff.rest.routes import astray as astray_in_rest
from bff.rest.routes import is_rest, rest_routes
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.world import Seller
from bff.schema import build_schema
from bff.settings.settings import Settings
from bff.sockets import BodyDeadline
from bff.streams import Streams
from bff.telemetry import Correlation
from bff.trusted import trusted_documents
from bff.turns import Turns
from clients.bus import bus_at
from clients.caller import Caller, Deadline, Viewer
from clients.chain.observed import Outcome
from clients.directory import Directory
from clients.embedded import EmbeddedTransport
from clients.health import HealthMonitor
from clients.shelf import MemoryShelf, shelf_at
from clients.store.audit_keys import AuditKeys
from clients.store.store import Store
from clients.transport import UpstreamSettings, network
from resolvers.errors import Forbidden, RequestError
from resolvers.loaders.operation import Loaders
from resolvers.watching.watchers import Watchers
from resolvers.workshop import Workshop


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

    Raises:
        BadManifest: the trusted documents cannot be read.
    """
    shelf, bus = shelf_at(settings.redis_url), bus_at(settings.redis_url)
    documents_shelf = MemoryShelf(KEPT_AT_MOST)
    documents = PersistedDocuments(
        trusted_documents(stored_operations().values(), settings.trusted_documents),
        settings.trusted_documents_mode,
        documents_shelf if settings.persisted_queries else None,
    )
    monitor = HealthMonitor(bus)
    store = Store(
        settings.db_url, stripe_first_id=settings.stripe_first_id, patience_s=settings.db_patience_s
    )
    drain = Drain()

    def on_outcome(outcome: Outcome) -> None:
        monitor.observe(outcome)
        metrics.call_ended(outcome)

    directory = Directory(
        settings.upstreams(), base, shelf=shelf, reserve_s=settings.reserve_s, on_outcome=on_outcome
    )
    metrics = Metrics(directory)
    workshop = Workshop()
    book = Book(
        store.database,
        AuditKeys(settings.audit_secrets()),
        keep_days=settings.audit_keep_days,
        on_dropped=metrics.audit_dropped,
    )
    metrics.watch_audit(lambda: book.broken is not None)
    identity = Identity(settings, base, book=book, on_refusal=metrics.refused, on_fetch=metrics.keys_fetched)
    metrics.watch_keys(identity.keys_age_s)
    schema = build_schema(settings.limits, settings.executor)
    rates = Rates(
        settings.rates, settings.redis_url, on_limit=metrics.limit_exceeded, on_refusal=book.limited
    )
    streams, turns = Streams(rates.hold_streams, leeway_s=settings.jwt_leeway_s), Turns()
    drain.on_drain(streams.close_all)

    def loaders_for(caller: Caller) -> Loaders:
        assert caller.viewer, "whoever asks has signed in"
        return Loaders(caller.viewer, directory.clients_for(caller), store)

    def begin_round(viewer: Viewer) -> tuple[Caller, Loaders]:
        caller = Caller(viewer, Deadline(settings.operation_budget_s), wants_news=True)
        return caller, loaders_for(caller)

    watchers = Watchers(begin_round, directory, monitor, bus, every_s=settings.watch_every_s, counts=metrics)

    contexts = Contexts(
        settings=settings,
        identity=identity,
        rates=rates,
        book=book,
        metrics=metrics,
        directory=directory,
        health=monitor,
        loaders_for=loaders_for,
        documents=documents,
        in_flight=InFlight(),
        watchers=watchers,
        workshop=workshop,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await store.open()
        await store.stripe_map.enter_stripe_ids(stripe_claim_ids or {})
        await shelf.open()
        await documents_shelf.open()
        await identity.open()
        probing = asyncio.create_task(monitor.run(directory))
        heeding = asyncio.create_task(watchers.run())
        auditing = asyncio.create_task(book.run())
        try:
            yield
        finally:
            await streams.close_all()
            watchers.close()
            probing.cancel()
            heeding.cancel()
            auditing.cancel()
            async with contextlib.AsyncExitStack() as closing:  # the rest is closed whatever one of them says
                closing.push_async_callback(store.close)
                closing.push_async_callback(book.close)
                closing.callback(metrics.close)
                closing.push_async_callback(documents_shelf.close)
                closing.push_async_callback(shelf.close)
                closing.push_async_callback(directory.aclose)
                closing.push_async_callback(bus.close)
                closing.push_async_callback(rates.close)
                closing.push_async_callback(identity.aclose)
                closing.push_async_callback(workshop.close)  # first: its work needs all of the above
                for task in (probing, heeding, auditing):
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    app = FastAPI(
        title="Opside BFF",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect is made of the Host that a request names, whoever wrote it
    )
    app.state.book, app.state.store, app.state.refusals = book, store, identity.refusals
    app.state.drain, app.state.streams, app.state.watchers = drain, streams, watchers
    app.add_middleware(KeysLearned, authenticator=identity.authenticator)
    app.add_middleware(BodyLimit, limit_bytes=settings.body_limit_bytes)
    app.add_middleware(BodyDeadline, wait_s=settings.sockets.body_wait_s)
    app.add_middleware(UnderWay, drain=drain)
    app.add_middleware(BrokenTold)
    app.add_middleware(cors(settings.cors, dev=settings.dev))
    origin_allowed = origins_allowed(settings.cors, dev=settings.dev)
    app.add_middleware(
        HttpGuard,
        hosts=settings.trusted_hosts,
        origin_allowed=origin_allowed,
        on_refusal=identity.refusals.guard,
    )
    app.add_middleware(Correlation)  # the last is the outermost
    app.include_router(
        LiveEndpoint(
            schema,
            ENDPOINT,
            context_of=contexts.of,
            door=Door(identity.viewer, contexts.for_viewer),
            streams=streams,
            drain=drain,
            turns=turns,
            settings=settings.streams,
            limits=settings.limits,
            origin_allowed=origin_allowed,
            on_foreign=lambda connection: identity.refusals.guard(connection, "origin"),
        ),
        include_in_schema=False,
    )
    app.include_router(health_routes(lambda: shelf.state, drain, identity.waits_for))
    app.include_router(rest_routes(schema, contexts.of, contexts.for_viewer, turns))
    if settings.docs:
        mount_api_docs(app)

    @app.get("/metrics", include_in_schema=False)
    async def counted(request: Request) -> Response:
        identity.let_read_metrics(request)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.exception_handler(Refused)
    async def refused_(request: Request, error: Refused) -> Response:
        return refused(request, error)

    @app.exception_handler(Unauthenticated)
    async def unauthenticated(request: Request, error: Unauthenticated) -> Response:
        return refused(
            request,
            Refused(
                str(error),
                code=error.code,
                status=error.status,
                headers=error.headers,
                retry_after_ms=error.retry_after_ms,
            ),
        )

    @app.exception_handler(RequestError)
    async def bad_request(request: Request, error: RequestError) -> Response:
        status = 403 if isinstance(error, Forbidden) else 400
        return refused(request, Refused(str(error), code=error.code, status=status))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        if is_rest(request.url.path):
            return astray_in_rest(request, error)
        return refused(request, astray(request, error))

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
    assert settings.jwt_secret, "in development the secret is there"
    return DevIssuer(settings.jwt_secret).token(
        user_id=seller.user_id,
        email=seller.email,
        name=seller.name,
        stripe_user_id=seller.stripe_user_id,
    )
