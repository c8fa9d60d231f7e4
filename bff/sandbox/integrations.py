"""Integrations: connections, syncs, what the syncs found, and the cases opened for it.

Quirks kept: it alone checks who asks for one dispute (403); a missing sync is a 500; disputes come with a
total and results without; times carry an offset and up to six digits, except those that its code set.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox import pace
from bff.sandbox.connection_desk import ConnectionDesk
from bff.sandbox.dispute_desk import DisputeDesk, dispute_of
from bff.sandbox.door import Manners, express, x_headers
from bff.sandbox.reading import (
    Claims,
    Endpoint,
    SignedIn,
    guarded,
    query_int,
    v8_complaint,
    window,
)
from bff.sandbox.sync_desk import SyncDesk
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, js_number, js_time, now, unsuccessful

_CONNECTION_NEWS = {
    "active": "Your {} integration is working properly",
    "expired": "Your {} integration has expired. Please reconnect to continue.",
    "revoked": "Your {} integration has been revoked. Please reconnect to continue.",
}
_SYNC_NEWS = {
    "running": "Opside is syncing... {current_step} ({progress}% complete)",
    "completed": "Sync completed successfully",
    "failed": "Sync failed - please try again",
    "cancelled": "Sync was cancelled",
}
_FULL_SYNC_S = 300


MANNERS = Manners(
    failure=lambda: unsuccessful(500, "Failed to fetch integration statuses"),
    too_many=lambda: unsuccessful(429, "Too many requests from this IP, please try again later."),
    malformed=lambda body: unsuccessful(400, v8_complaint(body)),
    limit_headers=x_headers,
)


def app(
    world: World, *, secret: str, cancel_repaired: bool = False, search_broken: bool = False
) -> Starlette:
    """Build the service over ``world``.

    Args:
        world: where its rows are.
        secret: what its tokens are signed with.
        cancel_repaired: its table knows `cancelled`, so that a running sync can be cancelled.
        search_broken: its queue lacks a method, as published, so that asking for a search is a 500.
    """
    hub, connections, cases = _Integrations(world), ConnectionDesk(world), DisputeDesk(world)
    syncs = SyncDesk(world, cancel_repaired=cancel_repaired, search_broken=search_broken)

    def own(handler: SignedIn) -> Endpoint:
        return guarded(
            handler,
            secret,
            missing=lambda: unsuccessful(401, "Access token required"),
            bad=lambda: unsuccessful(403, "Invalid or expired token"),
        )

    v1, detection = "/api/v1/integrations", "/api/enhanced-detection"
    routes = [
        Route("/health", hub.health),
        Route(f"{v1}/status", own(hub.connections)),
        Route(f"{v1}/status/{{provider}}", own(hub.connection)),
        Route(f"{v1}/sync/history", own(hub.sync_history)),
        Route("/api/enhanced-sync/history", own(hub.sync_history)),
        Route(f"{v1}/sync/status/{{sync_id:path}}", own(hub.sync_status)),  # with encoded slashes, as Express
        Route("/api/enhanced-sync/status/{sync_id}", own(hub.sync_status)),
        Route("/api/enhanced-sync/progress/{sync_id}", own(hub.sync_progress)),
        Route(f"{detection}/results", own(hub.results)),
        Route(f"{detection}/results/{{sync_id}}", own(hub.results)),
        Route(f"{detection}/statistics", own(hub.statistics)),
        Route(f"{detection}/disputes", own(hub.disputes)),
        Route(f"{detection}/disputes/{{id}}", own(hub.dispute)),
        Route(f"{detection}/disputes/{{id}}/audit-log", own(hub.audit_log)),
        Route("/api/amazon/auth", own(connections.connect_amazon)),
        Route("/api/gmail/connect", own(connections.connect_gmail), methods=["POST"]),
        Route("/api/stripe/connect", own(connections.connect_stripe), methods=["POST"]),
        Route(f"{v1}/reconnect/{{provider}}", own(connections.reconnect), methods=["PATCH"]),
        Route("/api/{connector}/disconnect", own(connections.disconnect), methods=["DELETE"]),
        Route(f"{v1}/sync/start", own(syncs.start), methods=["POST"]),
        Route("/api/enhanced-sync/start", own(syncs.start), methods=["POST"]),
        Route("/api/enhanced-sync/cancel/{sync_id}", own(syncs.cancel), methods=["DELETE"]),
        Route(f"{v1}/detections/run", own(syncs.search), methods=["POST"]),
        Route(f"{detection}/disputes", own(cases.open), methods=["POST"]),
        Route(f"{detection}/disputes/{{id}}/submit", own(cases.submit), methods=["POST"]),
    ]
    return express(routes, lambda request: unsuccessful(404, f"Route {request.url.path} not found"))


class _Integrations:
    def __init__(self, world: World) -> None:
        self._world = world

    async def health(self, request: Request) -> Response:
        return answer(
            {
                "success": True,
                "message": "Integrations Backend is running",
                "timestamp": js_time(now()),
                "environment": "sandbox",
            }
        )

    async def connections(self, request: Request, token: Claims) -> Response:
        rows = [row for row in self._world.connections.values() if row["user_id"] == token.get("id")]
        rows.sort(key=lambda row: row["updated_at"], reverse=True)
        return answer({"success": True, "data": [_connection(row) for row in rows]})

    async def connection(self, request: Request, token: Claims) -> Response:
        key = (token.get("id"), request.path_params["provider"])
        for row in self._world.connections.values():
            if (row["user_id"], row["provider"]) == key:
                return answer({"success": True, "data": _connection(row)})
        return unsuccessful(404, "Integration status not found")

    async def sync_history(self, request: Request, token: Claims) -> Response:
        pace.move_on(self._world)
        rows = _newest_first(row for row in self._world.syncs.values() if row["user_id"] == token.get("id"))
        cut = window(rows, query_int(request, "limit", 10), query_int(request, "offset", 0))
        return (
            unsuccessful(500, "Failed to get sync history")
            if cut is None
            else answer({"success": True, "data": cut})
        )

    async def sync_status(self, request: Request, token: Claims) -> Response:
        data = self._progress(request, token)
        return (
            unsuccessful(500, "Sync not found") if data is None else answer({"success": True, "data": data})
        )

    async def sync_progress(self, request: Request, token: Claims) -> Response:
        """Tell the same as ``sync_status``, but here what is missing is a 404."""
        data = self._progress(request, token)
        return (
            unsuccessful(404, "Sync not found") if data is None else answer({"success": True, "data": data})
        )

    def _progress(self, request: Request, token: Claims) -> Row | None:
        pace.move_on(self._world)
        row = self._world.syncs.get(request.path_params["sync_id"])
        if row is None or row["user_id"] != token.get("id"):
            return None
        data = {
            "syncId": row["sync_id"],
            "step": row["step"],
            "totalSteps": row["total_steps"],
            "currentStep": row["current_step"],
            "status": row["status"],
            "progress": row["progress"],
            "message": _SYNC_NEWS[row["status"]].format(**row),
            "metadata": row["metadata"],
            "updatedAt": row["updated_at"],
            "detectionPipelineStatus": row["detectionPipelineStatus"],
            "disputeCasesCreated": row["disputeCasesCreated"],
        }
        if 0 < row["progress"] < 100:
            data["estimatedTimeRemaining"] = round(_FULL_SYNC_S * (100 - row["progress"]) / 100)
        return data

    async def results(self, request: Request, token: Claims) -> Response:
        sync_id = request.path_params.get("sync_id") or request.query_params.get("syncId")
        status = request.query_params.get("status")
        rows = _newest_first(
            row
            for row in self._world.detections.values()
            if row["seller_id"] == token.get("id")
            and (not sync_id or row["sync_id"] == sync_id)
            and (not status or row["status"] == status)
        )
        limit, offset = query_int(request, "limit", 100), query_int(request, "offset", 0)
        cut = window(rows, limit, offset)
        if cut is None:
            return unsuccessful(500, f"Failed to fetch detection results: {_pg_complaint(limit, offset)}")
        return answer({"success": True, "data": cut})

    async def statistics(self, request: Request, token: Claims) -> Response:
        found = [row for row in self._world.detections.values() if row["seller_id"] == token.get("id")]
        cases = [row for row in self._world.disputes.values() if row["seller_id"] == token.get("id")]
        data = {
            "total_anomalies": len(found),
            "total_value": _sum(found, "estimated_value"),
            "by_severity": _figures(found, "severity"),
            "by_type": _figures(found, "anomaly_type"),
            "dispute_cases": len(cases),
            "total_claimed": _sum(cases, "claim_amount"),
        }
        return answer({"success": True, "data": data})

    async def disputes(self, request: Request, token: Claims) -> Response:
        query = request.query_params
        wanted = {"status": "status", "caseType": "case_type", "provider": "provider"}
        rows = _newest_first(
            row
            for row in self._world.disputes.values()
            if row["seller_id"] == token.get("id")
            and all(row[column] == query[name] for name, column in wanted.items() if query.get(name))
            and (not query.get("dateFrom") or row["created_at"] >= query["dateFrom"])
            and (not query.get("dateTo") or row["created_at"] <= query["dateTo"])
        )
        limit, offset = query_int(request, "limit", 100), query_int(request, "offset", 0)
        cut = window(rows, limit, offset)
        if cut is None:
            return unsuccessful(500, f"Failed to fetch dispute cases: {_pg_complaint(limit, offset)}")
        pagination = {"limit": limit, "offset": offset, "total": len(rows)}
        return answer({"success": True, "data": {"cases": cut, "total": len(rows), "pagination": pagination}})

    async def dispute(self, request: Request, token: Claims) -> Response:
        row = dispute_of(self._world, request.path_params["id"], token)
        return row if isinstance(row, Response) else answer({"success": True, "data": row})

    async def audit_log(self, request: Request, token: Claims) -> Response:
        return unsuccessful(500, "supabase is not defined")


def _connection(row: Row) -> Row:
    synced = row["metadata"].get("last_synced_at")
    extra = {"lastSyncedAt": synced} if synced else {}
    return {**row, **extra, "message": _CONNECTION_NEWS[row["status"]].format(row["provider"])}


def _newest_first(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["created_at"], reverse=True)


def _pg_complaint(limit: int | None, offset: int | None) -> str:
    if limit is None or offset is None:
        return 'column "nan" does not exist'
    return "LIMIT must not be negative" if limit < 0 else "OFFSET must not be negative"


def _sum(rows: Iterable[Row], column: str) -> float:
    return js_number(sum(row[column] for row in rows))


def _figures(rows: list[Row], column: str) -> dict[str, Row]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return {
        word: {"count": len(group), "value": _sum(group, "estimated_value")} for word, group in groups.items()
    }
