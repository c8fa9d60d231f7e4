"""Makes `bff/rest/examples.json` anew: what the sandbox answers to each row, and to what goes wrong.

`make examples` runs it; `test_rest_description.py` compares the file with a new run.
"""

import asyncio
import re
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import orjson
import structlog
from bff_under_test import Bff, running
from rest_requests import UNKNOWN, Request, ended_sync, keys_of, keys_to_change, request_for, send, token_of

from bff.app import create_dev_app
from bff.cli import dev_settings
from bff.rates import RateSettings
from bff.rest.openapi import EXAMPLES
from bff.rest.row import Row
from bff.rest.table import TABLE
from bff.rest.values import query
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import World
from bff.sandbox.writing import now

FAULTS = {502: "error", 503: "down", 504: "hang"}
FAILING = next(row for row in TABLE if row.name == "GET /api/recoveries/{id}")
CANCEL = next(row for row in TABLE if row.name == "POST /api/sync/cancel")
NEWCOMER = "5e11e200-beef-4000-8000-000000000000"  # who has connected nothing yet
PAYMENTS = next(row for row in TABLE if row.name == "GET /api/metrics/payments")

# What differs from run to run: clocks, what is named after them, and what is made up anew.
VOLATILE = re.compile(
    r'("(?:supportCode|url|responseTimeMs|durationMs|checkedAt|id|caseNumber|providerCaseId|startCursor|endCursor)":)("[^"]*"|[\d.]+|null)'
    r'|https?://[^"]*'
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"
)


async def examples() -> dict[str, Any]:
    """Row or status → a body."""
    found: dict[str, Any] = {}
    world = _world()
    async with _started(world) as bff:
        keys = keys_of(bff.sandbox.world, SELLERS[0])
        for row in TABLE:
            if not row.changes:
                found[row.name] = await _body(bff, row, _short(row, request_for(row, keys)), row.success)
        good, unknown = request_for(FAILING, keys), request_for(FAILING, UNKNOWN)
        no_scopes = token_of(bff, scopes=())
        found["400"] = await _body(bff, FAILING, good.saying(query("claim_type"), "lost"), 400)
        found["401"] = await _body(bff, FAILING, good, 401, token="")
        found["403"] = await _body(bff, FAILING, good, 403, token=no_scopes)
        found["404"] = await _body(bff, FAILING, unknown, 404)
        found["422"] = await _body(
            bff, PAYMENTS, request_for(PAYMENTS, keys), 422, token=token_of(bff, stripe_user_id=None)
        )
    async with _started(world, rates=RateSettings(cost_per_minute=60, burst_cost=1)) as bff:
        found["429"] = await _body(bff, FAILING, good, 429)
    for status, fault in FAULTS.items():
        async with _started(world) as bff:
            bff.sandbox.faults["refund-engine"] = fault
            found[str(status)] = await _body(bff, FAILING, good, status)
    for row in TABLE:
        if row.changes:
            found[row.name] = await _done(row)
    async with _started(_world()) as bff:
        ended = request_for(CANCEL, {"Sync": ended_sync(bff.sandbox.world, SELLERS[0])})
        found["409"] = await _body(bff, CANCEL, ended, 409)
    return found


async def _done(row: Row) -> Any:
    """What a row that changes something answers in a world of its own."""
    async with _started(_world()) as bff:
        keys = keys_to_change(bff.sandbox.world, SELLERS[0])
        newcomer = token_of(bff, user_id=NEWCOMER) if row.operation == "ConnectIntegration" else None
        return await _body(bff, row, request_for(row, keys), row.success, token=newcomer)


def _world() -> World:
    """A story that ends now: one that ended at midnight loses charges to the last thirty days by the hour."""
    return seed(60, anchor=now())


def steady(body: Any) -> str:
    """A body without what differs from run to run."""
    return VOLATILE.sub(r"\1~", orjson.dumps(body, option=orjson.OPT_INDENT_2).decode().replace(": ", ":"))


def _short(row: Row, request: Request) -> Request:
    """Lists of one, where that can be asked for."""
    return request.saying(query("limit"), 1) if query("limit") in row.sources else request


async def _body(bff: Bff, row: Row, request: Request, status: int, *, token: str | None = None) -> Any:
    response = await send(bff, row, request, token=token)
    assert response.status_code == status, (row.name, response.status_code, response.text)
    return response.json()


def _started(world: World, **told: Any) -> AbstractAsyncContextManager[Bff]:
    sandbox, settings = Sandbox(world, cancel_repaired=True), dev_settings().model_copy(update=told)
    return running(create_dev_app(sandbox, settings, seller=SELLERS[0]), sandbox, settings)


if __name__ == "__main__":
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    Path(sys.argv[1] if len(sys.argv) > 1 else EXAMPLES).write_bytes(
        orjson.dumps(asyncio.run(examples()), option=orjson.OPT_INDENT_2) + b"\n"
    )
