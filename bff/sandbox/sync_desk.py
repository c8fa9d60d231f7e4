"""The sync desk of integrations: where a sync is started and cancelled, and a search asked for.

Quirks kept: each start is a new run; a missing type is a 500; cancelling succeeds for what is unknown, ended
or another's, and fails for what runs, as its table does not know the word; a second search hides the first.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bff.sandbox import pace
from bff.sandbox.reading import Claims, json_of
from bff.sandbox.world import World
from bff.sandbox.writing import answer, now, pg_time, unsuccessful

_ESTIMATE_S = 300  # a constant, whatever is synced


def coded(status: int, code: str, message: str) -> Response:
    """Refuse as integrations does on its newer routes."""
    return answer({"success": False, "error": {"code": code, "message": message}}, status)


class SyncDesk:
    """Writes syncs and the triggers of searches."""

    def __init__(self, world: World, *, cancel_repaired: bool, search_broken: bool) -> None:
        self._world = world
        self._cancel_repaired = cancel_repaired
        self._search_broken = search_broken

    async def start(self, request: Request, token: Claims) -> Response:
        body = await json_of(request)
        kind = body.get("syncType")
        if not kind:
            return unsuccessful(500, "Sync type is required")
        search = bool(body.get("enableDetection", True))
        row = pace.begin(self._world, str(token.get("id")), str(kind), search=search)
        self._world.note(
            "integrations", "startSync", sync_id=row["sync_id"], user_id=row["user_id"], sync_type=kind
        )
        data = {
            "syncId": row["sync_id"],
            "message": "Enhanced sync started successfully",
            "estimatedDuration": _ESTIMATE_S,
            "detectionPipelineEnabled": search,
        }
        return answer({"success": True, "data": data})

    async def cancel(self, request: Request, token: Claims) -> Response:
        pace.move_on(self._world)
        row = self._world.syncs.get(request.path_params["sync_id"])
        if row is not None and row["user_id"] == token.get("id") and row["status"] == "running":
            if not self._cancel_repaired:
                return unsuccessful(500, "Failed to cancel sync")
            row.update(status="cancelled", updated_at=pg_time(now()))
            self._world.note("integrations", "cancelSync", sync_id=row["sync_id"], user_id=row["user_id"])
        return answer({"success": True, "message": "Enhanced sync operation cancelled successfully"})

    async def search(self, request: Request, token: Claims) -> Response:
        body = await json_of(request)
        sync_id, kind = body.get("syncId"), body.get("triggerType") or "inventory"
        if not sync_id:
            return coded(400, "VALIDATION_ERROR", "syncId is required")
        if self._search_broken:
            return coded(500, "INTERNAL_ERROR", "redisClient.zadd is not a function")
        seller_id = str(token.get("id"))
        pace.fire(self._world, seller_id, str(sync_id), now())  # whether or not there is such a sync
        self._world.note(
            "integrations", "runDetection", sync_id=sync_id, user_id=seller_id, trigger_type=kind
        )
        return answer({"success": True, "job": {"sync_id": sync_id, "trigger_type": kind}})
