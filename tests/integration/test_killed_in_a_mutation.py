"""`bff serve` killed between a service's answer and its own: the next one finds out what was done."""

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import free_port, process, wait_until_ready
from pydantic import SecretStr

from bff.auth import DevIssuer
from bff.operations import stored_operations
from bff.sandbox import serve as sandbox_ports
from bff.sandbox.sandbox import DEV_SECRETS, Sandbox
from bff.sandbox.seed import SELLERS, seed

BFF = str(Path(sys.executable).parent / "bff")
SECRET = "a-secret-of-this-drill-and-of-nothing-else"
KNOWN_WITHIN_S = 20.0  # the lease of the one that was killed has to run out
FIRST = SELLERS[0]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[Sandbox, dict[str, int]]]:
    """The six services on ports of their own."""
    made = Sandbox(seed(30))
    ports = {name: free_port() for name in made.apps}
    serving = asyncio.create_task(sandbox_ports.serve(made, ports=ports, control_port=free_port()))
    yield made, ports
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


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


@contextlib.contextmanager
def served(env: dict[str, str], cwd: Path) -> Any:
    """`bff serve` on a free port."""
    port = free_port()
    with process([BFF, "serve", "--port", str(port)], cwd=cwd, env=env) as running:
        yield f"http://127.0.0.1:{port}", running


async def ready(address: str) -> None:
    await asyncio.to_thread(wait_until_ready, f"{address}/readyz")


async def start_sync(address: str, variables: dict[str, Any]) -> dict[str, Any]:
    token = DevIssuer(SecretStr(SECRET)).token(
        user_id=FIRST.user_id, email=FIRST.email, name=FIRST.name, stripe_user_id=FIRST.stripe_user_id
    )
    async with httpx.AsyncClient(timeout=15) as http:
        answer = await http.post(
            f"{address}/graphql",
            json={"query": stored_operations()["StartSync"], "variables": variables},
            headers={"authorization": f"Bearer {token}"},
        )
    body: dict[str, Any] = answer.json()
    return body


async def until(so: Any) -> None:
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110  # another process tells nobody
            await asyncio.sleep(0.01)  # another task's doing, which tells nobody
