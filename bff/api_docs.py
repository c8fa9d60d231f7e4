"""Swagger UI at `/docs` and ReDoc at `/redoc`, from our own files: the pages ask no other host."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles

from bff.rest.openapi import api_document

FILES = Path(__file__).parent / "static" / "api_docs"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"
)


def mount_api_docs(app: FastAPI) -> None:
    """Serve the description of the REST routes, and two pages that show it."""

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> dict[str, Any]:
        return api_document(app)

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui() -> Response:
        return _page("swagger-ui.html")

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> Response:
        return _page("redoc.html")

    app.mount("/docs/assets", StaticFiles(directory=FILES), name="api_docs")


def _page(file: str) -> Response:
    return Response(
        (FILES / file).read_text(),
        media_type="text/html",
        headers={"cache-control": "no-store", "content-security-policy": CONTENT_SECURITY_POLICY},
    )
