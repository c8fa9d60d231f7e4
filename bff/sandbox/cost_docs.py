"""Cost docs: the files that prove a claim. Whoever has a token reads every file.

Quirks kept: `/search` is taken for an id, because `/{id}` was declared first; reading one document answers
404 whatever went wrong; /health costs a request of the quota; page 0 and a bad limit are a 500; a document
to be generated is only ever queued, and nobody but staff can ask what became of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import ceil

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.sandbox.door import Manners, draft6_headers, express
from bff.sandbox.reading import (
    Claims,
    Endpoint,
    SignedIn,
    bearer,
    claims_of,
    guarded,
    json_of,
    prisma_page,
    query_int,
    v8_complaint,
)
from bff.sandbox.world import Row, World
from bff.sandbox.writing import answer, js_time, now

LINK_LIFETIME_S = 3600
_NAMED_IN_OVERVIEW = ("id", "originalName", "uploadedAt", "claimId", "skuId")
_FILTERS = ("claimId", "skuId", "fileType", "uploadedBy")


def _error(status: int, error: str) -> Response:
    return answer({"success": False, "error": error}, status)


def _no_token() -> Response:
    return answer({"error": "Access token required"}, 401)


def _bad_token() -> Response:
    return answer({"error": "Invalid or expired token"}, 403)


# Its 500s hand out what the ORM says, paths and hosts included: whoever passes messages on has to know.
_ORM = (
    "\nInvalid `prisma.costDocument.{call}()` invocation in\n"
    "/srv/app/src/services/costDocumentService.ts:243:47\n\n{why}"
)
_NO_DATABASE = _ORM.format(call="count", why="Can't reach database server at 127.0.0.1:5432")

MANNERS = Manners(
    failure=lambda: _error(500, _NO_DATABASE),
    too_many=lambda: answer({"error": "Too many requests from this IP, please try again later."}, 429),
    malformed=lambda body: _error(500, v8_complaint(body)),
    limit_headers=draft6_headers,
)


def app(
    world: World, *, secret: str, link: Callable[[str, int], str], search_reachable: bool = False
) -> Starlette:
    """Build the service over ``world``.

    Args:
        world: where its rows are.
        secret: what its tokens are signed with.
        link: makes a signed link from a file's key and a lifetime in seconds.
        search_reachable: declare ``/search`` before ``/{id}``, as its authors meant to.
    """
    docs = _CostDocs(world, link)

    def own(handler: SignedIn) -> Endpoint:
        return guarded(handler, secret, missing=_no_token, bad=_bad_token)

    def lost(request: Request) -> Response:
        if request.url.path.startswith("/api/"):  # the token is looked at before the path
            token = bearer(request)
            if token is None:
                return _no_token()
            if claims_of(token, secret) is None:
                return _bad_token()
        return answer({"success": False, "error": "Endpoint not found", "path": request.url.path}, 404)

    root = "/api/v1/cost-docs"
    routes = [
        Route("/health", docs.health),
        Route(f"{root}/claim/{{claim_id}}", own(docs.of_claim)),
        Route(f"{root}/sku/{{sku}}", own(docs.of_sku)),
        Route(f"{root}/stats/overview", own(docs.overview)),
        Route(f"{root}/{{id}}", own(docs.document)),
        Route("/api/v1/cost-documentation/generate/auto", own(docs.generate), methods=["POST"]),
    ]
    if search_reachable:
        routes.insert(1, Route(f"{root}/search", own(docs.search)))
    return express(routes, lost)


class _CostDocs:
    def __init__(self, world: World, link: Callable[[str, int], str]) -> None:
        self._world = world
        self._link = link

    async def health(self, request: Request) -> Response:
        return answer(
            {
                "status": "healthy",
                "timestamp": js_time(now()),
                "service": "cost-documentation-module",
                "version": "1.1.0",
            }
        )

    async def of_claim(self, request: Request, token: Claims) -> Response:
        return _page(request, self._where({"claimId": request.path_params["claim_id"]}))

    async def of_sku(self, request: Request, token: Claims) -> Response:
        return _page(request, self._where({"skuId": request.path_params["sku"]}))

    async def search(self, request: Request, token: Claims) -> Response:
        query = request.query_params
        rows = self._where({name: query[name] for name in _FILTERS if query.get(name)})
        since, until = query.get("dateFrom"), query.get("dateTo")
        return _page(
            request,
            [
                row
                for row in rows
                if (not since or row["uploadedAt"] >= since) and (not until or row["uploadedAt"] <= until)
            ],
        )

    async def overview(self, request: Request, token: Claims) -> Response:
        rows = self._where({"uploadedBy": token.get("id")})
        types = Counter(row["fileType"] for row in rows)
        data = {
            "totalDocuments": len(rows),
            "totalSize": sum(row["fileSize"] for row in rows),
            "documentsByType": [{"_count": {"fileType": n}, "fileType": name} for name, n in types.items()],
            "recentUploads": [{name: row[name] for name in _NAMED_IN_OVERVIEW} for row in rows[:10]],
        }
        return answer({"success": True, "data": data})

    async def document(self, request: Request, token: Claims) -> Response:
        row = self._world.documents.get(request.path_params["id"])
        if row is None or not row["isActive"]:
            return _error(404, "Document not found")
        data = {
            **row,
            "auditLogs": row["auditLogs"][:10],
            "downloadUrl": self._link(row["fileKey"], LINK_LIFETIME_S),
            "downloadUrlExpires": LINK_LIFETIME_S,
        }
        return answer({"success": True, "data": data})

    async def generate(self, request: Request, token: Claims) -> Response:
        evidence = await json_of(request)
        if not all(evidence.get(name) for name in ("anomaly_id", "type", "sku")):
            return _error(400, "Missing required fields: anomaly_id, type, sku")
        self._world.document_jobs += 1
        job_id, anomaly_id = str(self._world.document_jobs), evidence["anomaly_id"]
        self._world.note(
            "cost-docs", "generateAuto", job_id=job_id, user_id=token.get("id"), anomaly_id=anomaly_id
        )
        message = "Cost documentation job queued successfully"
        body = {"success": True, "message": message, "job_id": job_id, "anomaly_id": anomaly_id}
        return answer(body, 202)

    def _where(self, wanted: Row) -> list[Row]:
        """Pick the documents that are not deleted and match, newest first."""
        rows: Iterable[Row] = (
            row
            for row in self._world.documents.values()
            if row["isActive"] and all(row[name] == value for name, value in wanted.items())
        )
        return sorted(rows, key=lambda row: row["uploadedAt"], reverse=True)


def _page(request: Request, rows: list[Row]) -> Response:
    page, limit = query_int(request, "page", 1), query_int(request, "limit", 20)
    cut = None if page is None or limit is None else prisma_page(rows, page, limit)
    if cut is None or limit is None:
        return _error(500, _ORM.format(call="findMany", why="Invalid value for skip or take argument"))
    data = {
        "documents": [{**row, "auditLogs": row["auditLogs"][:5]} for row in cut],
        "total": len(rows),
        "page": page,
        "limit": limit,
        "totalPages": ceil(len(rows) / limit) if limit else None,  # x / 0 is no JSON number
    }
    return answer({"success": True, "data": data})
