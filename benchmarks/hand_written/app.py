"""FastAPI over the screens: verify the token, ask, join, write. Served by uvicorn as the BFF is."""

import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response

from benchmarks.hand_written.screens import dashboard, fields_of, long_list, one_claim, recoveries
from benchmarks.hand_written.services import Services, Viewer, time_text, viewer


def run(port: int, ports: Mapping[str, int], stripe_claim_ids: Mapping[str, int]) -> None:
    """Serve until told to stop."""
    app = create_app(ports, stripe_claim_ids)
    gc.collect()
    gc.freeze()  # as the BFF does
    uvicorn.run(
        app,
        port=port,
        server_header=False,
        access_log=False,
        proxy_headers=False,
        log_config=None,
        log_level=logging.WARNING,
    )


def create_app(ports: Mapping[str, int], stripe_claim_ids: Mapping[str, int]) -> FastAPI:
    """The endpoint; its services are asked on these ports."""
    opened: list[Services] = []
    checked_at = time_text(datetime.now(UTC))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        opened.append(Services(ports, stripe_claim_ids))
        yield
        await opened.pop().aclose()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/dashboard")
    async def _(request: Request, claims: int) -> Response:
        return answer(await dashboard(opened[0], _who(request), claims, checked_at))

    @app.get("/recoveries")
    async def _(request: Request, claims: int) -> Response:
        return answer(await recoveries(opened[0], _who(request), claims))

    @app.get("/list")
    async def _(request: Request, rows: int) -> Response:
        return answer(await long_list(opened[0], _who(request), rows))

    @app.get("/fields/{which}")
    async def _(request: Request, which: str) -> Response:
        return answer(await fields_of(opened[0], _who(request), which))

    @app.get("/claim/{claim_id}")
    async def _(request: Request, claim_id: str) -> Response:
        return answer(await one_claim(opened[0], _who(request), claim_id))

    @app.get("/typename")
    async def _(request: Request) -> Response:
        _who(request)
        return answer({"__typename": "Query"})

    return app


def answer(data: Any) -> Response:
    """The data as the graph sends it."""
    return Response(orjson.dumps({"data": data}), media_type="application/json")


def _who(request: Request) -> Viewer:
    try:
        return viewer(request.headers.get("authorization", ""))
    except jwt.PyJWTError as exc:
        raise HTTPException(401, "Sign in again.") from exc
