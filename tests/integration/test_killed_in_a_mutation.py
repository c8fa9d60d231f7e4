"""`bff serve` killed between a service's answer and its own: the next one finds out what was done."""

import asyncio
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from bff_commands import SECRET, ready, sandbox, served, start_sync
from late import LATE_S, WITHIN_S

from bff.sandbox.sandbox import DEV_SECRETS, Sandbox

__all__ = ["sandbox"]

KNOWN_WITHIN_S = 20.0 + LATE_S  # the lease of the one that was killed has to run out

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_killed_process_leaves_no_outcome_unknown(
    sandbox: tuple[Sandbox, dict[str, int]], tmp_path: Path
) -> None:
    """The operator kills a pod, the seller presses the button again: one sync, and it is shown."""
    made, ports = sandbox
    env = os.environ | {
        "JWT_SECRET": SECRET,
        "BFF_DEV": "true",  # the sandbox's secrets are known to all
        "DB_URL": f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3",
        "INTEGRATIONS_URL": f"http://127.0.0.1:{ports['integrations']}",
        **{
            f"BFF_{name.upper().replace('-', '_')}__JWT_SECRET": secret
            for name, secret in DEV_SECRETS.items()
        },
    }
    variables = {"input": {"kind": "INVENTORY", "idempotencyKey": str(uuid.uuid4())}}

    with served(env, tmp_path) as (address, first):
        await ready(address)
        made.faults["integrations"] = "after:hang"  # it starts the sync, and its answer never comes
        asking = asyncio.create_task(start_sync(address, variables))
        await until(lambda: len(made.writes) == 1)
        os.killpg(first.pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await asking
    made.faults.clear()

    with served(env, tmp_path) as (address, _):
        await ready(address)
        body: dict[str, Any] = {}
        async with asyncio.timeout(KNOWN_WITHIN_S):
            while not body.get("sync"):
                body = (await start_sync(address, variables))["data"]["startSync"]
                await asyncio.sleep(0.5)

    [write] = made.writes
    assert body["sync"]["id"]
    assert write.operation == "startSync"


async def until(so: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not so():  # noqa: ASYNC110  # another process tells nobody
            await asyncio.sleep(0.01)  # another task's doing, which tells nobody
