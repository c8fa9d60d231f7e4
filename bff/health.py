"""What an orchestrator's probes ask: is the process alive, is it ready. Nothing here depends on a service.

route      answers
/livez     200 while the process can answer at all
/readyz    200 once it has started, 503 once it was told to stop; 503 as well while it has not read the keys
           of callers' tokens for the first time, since it could let nobody in

How the services are is asked at `/health` and `/api/services/…`, rows of `rest/table.py`.
"""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter, Response

from bff.drain import Drain


def health_routes(
    shelf_state: Callable[[], str], drain: Drain, waits_for: Callable[[], list[str]]
) -> APIRouter:
    """The routes of the table above.

    Args:
        shelf_state: whether what replicas share is there: own, shared or lost.
        drain: whether the process is leaving.
        waits_for: what it cannot serve anybody without, and does not have yet.
    """
    router = APIRouter()

    @router.get("/livez", tags=["health"], summary="Whether the process can answer at all.")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", tags=["health"], summary="Whether it has started, and is not leaving.")
    async def readyz() -> Response:
        if drain.draining:
            return _json({"status": "draining"}, 503)
        if missing := waits_for():
            return _json({"status": "starting", "waitsFor": missing}, 503)
        # The server accepts no request before the start is over, so whoever reads this is served; without
        # what replicas share it is served as well, only with more calls.
        return _json({"status": "ready", "shelf": shelf_state()}, 200)

    return router


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
