"""One seller hammers, another opens their screen: how much longer that takes than on a quiet day."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from crowded_server import CLAIMS, settings
from integration.processes import free_port, process, wait_until_ready

from bff.app import dev_token
from bff.operations import stored_operations
from bff.sandbox.seed import SELLERS

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ANN, BOB = SELLERS
AT_ONCE = 200
ALONE, BESIDE = 40, 25  # dashboards that are opened
PACE_S = 1.0
# SQLite has a second: on a machine that others use, a thread may not get a core in that time.
FOR_WANT_OF_A_CORE = {"STORE_UNAVAILABLE", "SERVICE_TIMEOUT"}
# Times as long as alone, 95 of 100. Without turns it would be all of the 200 lists: 150 and more.
SLOWER_AT_MOST = 30.0


@pytest.fixture
def port() -> Iterator[int]:
    port = free_port()
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{HERE.parent}:{HERE}"}
    with process([sys.executable, str(HERE / "crowded_server.py"), str(port)], cwd=ROOT, env=env):
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield port


async def opened(http: httpx.AsyncClient, count: int, pace_s: float) -> list[float]:
    """Open the dashboard so many times; seconds of each, sorted. None is refused.

    Of each wait the share counts in which the machine let the server work: its cores may be others', too.
    """
    waits = []
    before_s, stolen_ms = 0.0, 0.0
    for _ in range(count + 1):
        began_s = time.perf_counter()
        answer = await http.post("/graphql", json={"query": stored_operations()["Dashboard"]})
        codes = {error["extensions"]["code"] for error in answer.json().get("errors") or ()}
        assert answer.status_code == 200
        assert codes <= FOR_WANT_OF_A_CORE
        now_s, told_ms = time.perf_counter(), float(answer.headers["x-stolen-ms"])
        given = 1 - min(0.9, (told_ms - stolen_ms) / 1000 / (now_s - before_s))
        waits.append((now_s - began_s) * given)
        before_s, stolen_ms = now_s, told_ms
        await asyncio.sleep(max(0.0, pace_s - (now_s - began_s)))
    return sorted(waits[1:])


def p95_ms(waits: list[float]) -> float:
    return 1000 * waits[round(0.95 * (len(waits) - 1))]


async def test_a_sellers_screen_beside_another_who_hammers(port: int):
    """Two hundred lists at once, of a seller with 50,000 claims: the other is slower, and not refused."""
    headers = {"authorization": f"Bearer {dev_token(settings(), BOB)}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as http:
        await opened(http, 5, 0)
        alone_ms = p95_ms(await opened(http, ALONE, 0.1))

        hammer = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "hammer.py"),
            str(port),
            dev_token(settings(), ANN),
            str(AT_ONCE),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{HERE.parent}:{HERE}"},
        )
        assert hammer.stdout
        try:
            while (await hammer.stdout.readline()).endswith(b" 0\n"):
                pass
            beside_ms = p95_ms(await opened(http, BESIDE, PACE_S))
        finally:
            hammer.kill()
        *_, last = (await hammer.stdout.read()).splitlines()
        await hammer.wait()
        refused, lists = map(int, last.split())

    print(  # noqa: T201
        f"alone {alone_ms:.0f} ms, beside {AT_ONCE} lists at once {beside_ms:.0f} ms (p95): "
        f"{beside_ms / alone_ms:.1f} times as long; {lists} lists of {CLAIMS} claims meanwhile"
    )
    assert refused == 0
    assert beside_ms <= SLOWER_AT_MOST * alone_ms
