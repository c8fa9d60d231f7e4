"""`bff serve` over the sandbox's ports, for drills that kill it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import free_port, free_ports, process, wait_until_ready
from pydantic import SecretStr

from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations
from bff.sandbox import serve as sandbox_ports
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed

BFF = str(Path(sys.executable).parent / "bff")
SECRET = "a-secret-of-this-drill-and-of-nothing-else"
FIRST = SELLERS[0]


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[Sandbox, dict[str, int]]]:
    """The six services on ports of their own."""
    made = Sandbox(seed(30))
    control_port, *own = free_ports(1 + len(made.apps))
    ports = dict(zip(made.apps, own, strict=True))
    serving = asyncio.create_task(sandbox_ports.serve(made, ports=ports, control_port=control_port))
    yield made, ports
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


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
