"""What an orchestrator's probes ask: is the process alive, is it ready. Nothing here depends on a service.

route      answers
/livez     200 while the process can answer at all
/readyz    200 once it has started

How the services are is asked at `/health` and `/api/services/…`, rows of `rest/table.py`.
"""

from collections.abc import Callable

from fastapi import APIRouter


def health_routes(shelf_state: Callable[[], str]) -> APIRouter:
    """The routes of the table above.

    Args:
        shelf_state: whether what replicas share is there: own, shared or lost.
    """
    router = APIRouter()

    @router.get("/livez", tags=["health"], summary="Whether the process can answer at all.")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", tags=["health"], summary="Whether it has started.")
    async def readyz() -> dict[str, str]:
        # The server accepts no request before the start is over, so whoever reads this is served; without
        # what replicas share it is served as well, only with more calls.
        return {"status": "ready", "shelf": shelf_state()}

    return router
