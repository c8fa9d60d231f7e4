"""GraphiQL, from our own files: the page asks no other host for anything."""

from functools import cache
from pathlib import Path

import orjson
from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

FILES = Path(__file__).parent / "static" / "graphiql"
CONFIG_ELEMENT = '<script id="opside-config" type="application/json">{}</script>'
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def mount_graphiql(app: FastAPI, *, token: str) -> None:
    """Serve GraphiQL under `/graphiql/`, with a token filled in. For development only."""

    @app.get("/graphiql", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def to_the_page() -> Response:
        return RedirectResponse("/graphiql/")

    @app.get("/graphiql/", include_in_schema=False)
    async def page() -> Response:
        config = orjson.dumps({"token": token, "endpoint": "/graphql"}).decode().replace("<", "\\u003c")
        return Response(
            _index().replace(CONFIG_ELEMENT, CONFIG_ELEMENT.replace("{}", config)),
            media_type="text/html",
            headers={"cache-control": "no-store", "content-security-policy": CONTENT_SECURITY_POLICY},
        )

    app.mount("/graphiql", StaticFiles(directory=FILES), name="graphiql")


@cache
def _index() -> str:
    return (FILES / "index.html").read_text()
