"""The refund engine: claims and the ledger. Decimals and counts are text, and only lists know whose they are.

Quirks kept: 500 for an id that is no UUID and for a bad limit; any tenant reads any claim by id or number;
a token without `id` owns nothing, and is told so with 200; statistics have no bucket for `paid`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox.claim_desk import ClaimDesk, failed, one
from bff.sandbox.door import Manners, express, x_headers
from bff.sandbox.reading import (
    Claims,
    Endpoint,
    SignedIn,
    date_of,
    guarded,
    is_uuid,
    query_int,
    v8_complaint,
    window,
)
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, erroneous, js_time, now

_SORTABLE = {"created_at", "updated_at", "claim_amount", "status", "case_number", "days_since_purchase"}
_LEDGER_SORTABLE = {"created_at", "updated_at", "amount"}
_DECIMALS = {"claim_amount", "amount"}
_STATES = ("pending", "approved", "rejected", "processing")
_TWENTY_PLACES = Decimal(1).scaleb(-20)


MANNERS = Manners(
    failure=lambda: failed("retrieve claims"),
    too_many=lambda: erroneous(429, "Too many requests from this IP, please try again later."),
    malformed=lambda body: erroneous(400, "Internal Server Error", v8_complaint(body)),
    limit_headers=x_headers,
    counts=lambda path: path.startswith("/api/"),
)


def app(world: World, *, secret: str) -> Starlette:
    """Build the service over ``world``; ``secret`` is what its tokens are signed with."""
    engine, desk = _RefundEngine(world), ClaimDesk(world)

    def own(handler: SignedIn) -> Endpoint:
        return guarded(
            handler,
            secret,
            missing=lambda: erroneous(
                401, "Access token required", "Please provide a valid JWT token in the Authorization header"
            ),
            bad=lambda: erroneous(401, "Invalid token", "The provided token is invalid or expired"),
        )

    routes = [
        Route("/health", engine.health),
        Route("/api/v1/claims", own(engine.claims)),
        Route("/api/v1/claims", own(desk.create), methods=["POST"]),
        Route("/api/v1/claims/stats", own(engine.claim_stats)),
        Route("/api/v1/claims/search", own(engine.search)),
        # `path`, as Express decodes a segment after it has matched: an encoded slash stays in it.
        Route("/api/v1/claims/case/{number:path}", own(engine.claim_by_number)),
        Route("/api/v1/claims/{id}", own(engine.claim)),
        Route("/api/v1/claims/{id}", own(desk.update), methods=["PUT"]),
        Route("/api/v1/ledger", own(engine.ledger)),
        Route("/api/v1/ledger/stats", own(engine.ledger_stats)),
        Route("/api/v1/ledger/case/{id}", own(engine.ledger_of_case)),
        Route("/api/v1/ledger/{id}", own(engine.ledger_entry)),
    ]
    return express(routes, lambda request: erroneous(404, "Not Found", f"Route {request.url.path} not found"))


class _RefundEngine:
    def __init__(self, world: World) -> None:
        self._world = world

    async def health(self, request: Request) -> Response:
        database = "connected" if self._world.database_connected else "disconnected"
        return answer(
            {"status": "healthy", "timestamp": js_time(now()), "database": database, "version": "1.0.0"}
        )

    async def claims(self, request: Request, token: Claims) -> Response:
        wanted = _wanted(request, "status", "product_category")
        rows = self._owned(self._world.claims.values(), token, wanted)
        ordered = None if rows is None else _sorted(rows, request, _SORTABLE)
        return _page(request, ordered) or failed("retrieve claims")

    async def claim_stats(self, request: Request, token: Claims) -> Response:
        rows = self._owned(self._world.claims.values(), token)
        if rows is None:
            return failed("retrieve claims statistics")
        predictions = [Decimal(row["ml_prediction"]) for row in rows if row["ml_prediction"] is not None]
        average = sum(predictions, Decimal()) / len(predictions) if predictions else None
        data = {
            "total": str(len(rows)),
            **{state: str(sum(row["status"] == state for row in rows)) for state in _STATES},
            "total_amount": str(sum(Decimal(row["claim_amount"]) for row in rows)),
            "avg_prediction": "0" if average is None else str(average.quantize(_TWENTY_PLACES)),
        }
        return answer({"success": True, "data": data})

    async def search(self, request: Request, token: Claims) -> Response:
        query = request.query_params.get("q", "")
        if not query:
            return erroneous(
                400, "Search query required", 'Please provide a search term in the "q" parameter'
            )
        rows = self._owned(self._world.claims.values(), token)
        needle = query.casefold()
        fields = ("case_number", "claim_description", "product_category")
        found = [row for row in rows or () if any(needle in (row[name] or "").casefold() for name in fields)]
        cut = window(_newest_first(found), query_int(request, "limit", 10), 0)
        if rows is None or cut is None:
            return failed("search claims")
        return answer({"success": True, "data": cut, "search": {"query": query, "results_count": len(cut)}})

    async def claim(self, request: Request, token: Claims) -> Response:
        key = request.path_params["id"]
        if not is_uuid(key):
            return failed("retrieve claim")
        return one(self._world.claims.get(key.lower()))  # whoever asks

    async def claim_by_number(self, request: Request, token: Claims) -> Response:
        number = request.path_params["number"]
        return one(next((row for row in self._world.claims.values() if row["case_number"] == number), None))

    async def ledger(self, request: Request, token: Claims) -> Response:
        wanted = _wanted(request, "case_id", "status", "entry_type")
        rows = self._owned(self._world.ledger.values(), token, wanted)
        if rows is None or ("case_id" in wanted and not is_uuid(wanted["case_id"])):
            return failed("retrieve ledger entries")
        dated = _dated(rows, request)
        ordered = None if dated is None else _sorted(dated, request, _LEDGER_SORTABLE)
        return _page(request, ordered) or failed("retrieve ledger entries")

    async def ledger_stats(self, request: Request, token: Claims) -> Response:
        owned = self._owned(self._world.ledger.values(), token)
        rows = None if owned is None else _dated(owned, request)
        if rows is None:
            return failed("retrieve ledger statistics")
        data = {
            "total_entries": len(rows),
            "total_amount": _sum(rows),
            **{
                f"{state}_amount": _sum(row for row in rows if row["status"] == state)
                for state in ("pending", "completed", "failed")
            },
            "by_type": {
                kind: {"count": len(of_kind), "amount": _sum(of_kind)}
                for kind in ("claim", "refund", "fee", "adjustment")
                for of_kind in [[row for row in rows if row["entry_type"] == kind]]
            },
        }
        filters = {name: request.query_params.get(name) for name in ("date_from", "date_to")}
        return answer({"success": True, "data": data, "filters": filters})

    async def ledger_of_case(self, request: Request, token: Claims) -> Response:
        key = request.path_params["id"]
        if not is_uuid(key):
            return failed("retrieve ledger entries")
        rows = _newest_first([row for row in self._world.ledger.values() if row["case_id"] == key.lower()])
        return answer({"success": True, "data": rows, "case_id": key, "count": len(rows)})

    async def ledger_entry(self, request: Request, token: Claims) -> Response:
        key = request.path_params["id"]
        if not is_uuid(key):
            return failed("retrieve ledger entry")
        return one(self._world.ledger.get(key.lower()), what="Ledger entry")

    def _owned(self, table: Iterable[Row], token: Claims, wanted: Row | None = None) -> list[Row] | None:
        """Pick the rows of the token's user; None when PostgreSQL cannot read the id as a UUID."""
        user_id = token.get("id")
        if user_id is None:
            return []  # user_id = NULL is true of no row
        if not is_uuid(user_id):
            return None
        owned = (row for row in table if row["user_id"] == user_id)
        return [row for row in owned if all(row[name] == value for name, value in (wanted or {}).items())]


def _wanted(request: Request, *names: str) -> Row:
    return {name: value for name in names if (value := request.query_params.get(name))}


def _dated(rows: list[Row], request: Request) -> list[Row] | None:
    """Keep the rows between the dates asked for; None when one of them is no date."""
    bounds = {name: date_of(text) for name, text in _wanted(request, "date_from", "date_to").items()}
    if None in bounds.values():
        return None
    since, until = (js_time(at) if (at := bounds.get(name)) else None for name in ("date_from", "date_to"))
    return [
        row
        for row in rows
        if (since is None or row["created_at"] >= since) and (until is None or row["created_at"] <= until)
    ]


def _newest_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["created_at"], reverse=True)


def _sorted(rows: list[Row], request: Request, sortable: set[str]) -> list[Row] | None:
    """Order as asked; None for a column or direction that SQL would not swallow."""
    column = request.query_params.get("sort_by", "created_at")
    direction = request.query_params.get("sort_order", "DESC").upper()
    if column not in sortable or direction not in ("ASC", "DESC"):
        return None

    def key(row: Row) -> object:
        return Decimal(row[column]) if column in _DECIMALS else row[column]

    return sorted(rows, key=key, reverse=direction == "DESC")  # type: ignore[arg-type]


def _page(request: Request, rows: list[Row] | None) -> Response | None:
    limit, offset = query_int(request, "limit", 10), query_int(request, "offset", 0)
    cut = None if rows is None else window(rows, limit, offset)
    if rows is None or cut is None or limit is None or offset is None:
        return None
    has_more = offset + limit < len(rows)
    pagination = {"total": len(rows), "limit": limit, "offset": offset, "has_more": has_more}
    return answer({"success": True, "data": cut, "pagination": pagination})


def _sum(rows: Iterable[Row]) -> float:
    return float(sum(Decimal(row["amount"]) for row in rows))
