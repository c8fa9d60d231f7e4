"""One process for all attacks, a client that behaves well beside it, and the judgement after each of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from attacked_server import settings
from integration.processes import free_port, wait_until_ready
from target import AVERY, GROWTH_AT_MOST_BYTES, NOOR, WAIT_AT_MOST_S, Bystander, Ledger, Target

from bff.app import dev_token

HERE = Path(__file__).parent
MB = 1024 * 1024
# uvicorn's own lines, one for each connection that made no sense.
OF_UVICORN = (
    "WARNING:  Invalid HTTP request received.",
    "WARNING:  Unsupported upgrade request.",
    "ERROR:    ASGI callable returned without completing response.",
    "Rejected WebSocket connection from origin",
)


@pytest.fixture(scope="session")
def ledger() -> Iterator[Ledger]:
    """What was measured; printed in the end with `-rP`, or `-s`."""
    ledger = Ledger()
    yield ledger
    print(f"\n{ledger}")  # noqa: T201


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The BFF under attack; what it logs of errors must be nothing."""
    port, log = free_port(), tmp_path_factory.mktemp("attacked") / "log"
    env = os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE}"}
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, HERE / "attacked_server.py", str(port)], stdout=out, stderr=out, env=env
        ) as running,
    ):
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/livez")
            yield port
            assert running.poll() is None, "it died"
        finally:
            running.terminate()
            running.wait(timeout=60)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    broken = [line for line in lines if line["level"] in ("error", "critical")]
    other = [line for line in log.read_text().splitlines() if not line.startswith(("{", *OF_UVICORN))]
    assert (broken[:3], other[:20]) == ([], [])


@pytest.fixture(scope="session")
def bystander(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bystander]:
    """A client of another seller, asking every 50 ms from here to the end."""
    written = tmp_path_factory.mktemp("bystander") / "waits"
    env = os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE}"}
    command = [sys.executable, HERE / "bystander.py", str(port), dev_token(settings(), AVERY)]
    with written.open("wb") as out, subprocess.Popen(command, stdout=out, env=env) as running:
        try:
            while written.read_bytes().count(b"\n") < 3:  # it is asking: from now on it would notice
                assert running.poll() is None, "the client beside the attack did not start"
                time.sleep(0.05)
            yield Bystander(written)
        finally:
            running.kill()


@pytest.fixture
async def target(
    request: pytest.FixtureRequest, port: int, bystander: Bystander, ledger: Ledger
) -> AsyncIterator[Target]:
    """The process, judged when the attack is over: it answers, gave nothing away, kept nobody waiting."""
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15, limits=limits) as http:
        target = Target(port, dev_token(settings(), NOOR), http)
        ledger.rss_bytes = ledger.rss_bytes or (await target.account())["rss_bytes"]
        began_s = time.monotonic()
        yield target
        ended_s = time.monotonic()
        await bystander.until_asked_at(ended_s)
        after = await target.account()
        worst_s, said = bystander.between(began_s, ended_s)
        ledger.rows[request.node.name.removeprefix("test_")] = (
            target.tried,
            worst_s,
            after["rss_bytes"] / MB,
        )
        assert target.wrong[:5] == []
        assert said[:3] == [], "somebody else's answer was not whole"
        assert worst_s < WAIT_AT_MOST_S, "somebody else waited"
        assert after["rss_bytes"] - ledger.rss_bytes < GROWTH_AT_MOST_BYTES
        assert target.tried > 0
