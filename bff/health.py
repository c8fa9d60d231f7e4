"""What probes and status pages ask: is the process alive, is it ready, how are the services.

route                               answers
/livez                              200 while the process can answer at all
/readyz                             200 once it has started, 503 once told to stop; never depends on a service
/health                             200 always, the state is in the body; needs no token
/api/services/status                every service; with the caller's token
/api/services/{service}/health      one service; with the caller's token
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.requests import HTTPConnection

from bff.drain import Drain
from bff.operations import stored_operations
from bff.schema import Schema
from clients.caller import Viewer
from resolvers.context import Context
from resolvers.global_ids import global_id

NOBODY = Viewer(
    user_id="00000000-0000-0000-0000-000000000000",
    email=None,
    name=None,
    stripe_user_id=None,
    scopes=frozenset(),
    expires_at=datetime.max.replace(tzinfo=UTC),
)


def health_routes(
    schema: Schema,
    context_of: Callable[[HTTPConnection], Context],
    context_for: Callable[[HTTPConnection, Viewer], Context],
    shelf_state: Callable[[], str],
    drain: Drain,
) -> APIRouter:
    """The routes of the table above.

    Args:
        context_of: the context of the caller whom a request's token names.
        context_for: the context of a viewer, whoever sent the request and whatever its headers ask for.
        shelf_state: whether what replicas share is there: own, shared or lost.
        drain: whether the process is leaving.
    """
    router = APIRouter()

    async def answer(operation: str, context: Context, field: str, **variables: Any) -> Response:
        result = await schema.execute(
            stored_operations()[operation],
            variable_values=variables,
            context_value=context,
            operation_name=operation,
        )
        body: dict[str, Any] = {"data": (result.data or {}).get(field)}
        if result.errors:
            body["errors"] = [error.formatted for error in result.errors]
        return _json(body, 500 if result.errors else 200)

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz() -> Response:
        if drain.draining:
            return _json({"status": "draining"}, 503)
        # The server accepts no request before the start is over, so whoever reads this is served; without
        # what replicas share it is served as well, only with more calls.
        return _json({"status": "ready", "shelf": shelf_state()}, 200)

    @router.get("/health")
    async def health(request: Request) -> Response:
        return await answer("HealthSummary", context_for(request, NOBODY), "serviceHealth")

    @router.get("/api/services/status")
    async def services_status(request: Request) -> Response:
        return await answer("SystemStatus", context_of(request), "serviceHealth")

    @router.get("/api/services/{service}/health")
    async def service_health(request: Request, service: str) -> Response:
        context = context_of(request)
        if context.health.state(service) is None:
            return _json({"data": None}, 404)
        return await answer("OneServiceHealth", context, "node", id=global_id("ServiceHealth", service))

    return router


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
