"""`bff serve` in front of `bff sandbox`: the network between them, and a service process that dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import free_port, process, wait_until_ready
from pydantic import SecretStr

from bff.auth import DevIssuer
from bff.operations import stored_operations
from bff.sandbox.sandbox import DEV_SECRETS, PORTS
from bff.sandbox.seed import SELLERS

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-this-drill-and-of-nothing-else"
BFF = str(Path(sys.executable).parent / "bff")

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox() -> Iterator[subprocess.Popen[bytes]]:
    """The six services on their real ports."""
    with process([BFF, "sandbox"], cwd=ROOT, env=os.environ) as running:
        for port in PORTS.values():
            wait_until_ready(f"http://127.0.0.1:{port}/health")
        yield running


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """`bff serve`, started on its own: with or without services behind it."""
    port = free_port()
    env = os.environ | {
        "JWT_SECRET": SECRET,
        "BFF_DEV": "true",  # the sandbox's secrets are known to all
        "DB_URL": f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3",
        **{
            f"BFF_{name.upper().replace('-', '_')}__JWT_SECRET": secret
            for name, secret in DEV_SECRETS.items()
        },
    }
    with process([BFF, "serve", "--port", str(port)], cwd=tmp_path, env=env):
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"


def dashboard(address: str) -> dict[str, Any]:
    """What a client receives for the first screen."""
    first = SELLERS[0]
    token = DevIssuer(SecretStr(SECRET)).token(
        user_id=first.user_id,
        email=first.email,
        name=first.name,
        stripe_user_id=first.stripe_user_id,
        expires_in=timedelta(minutes=5),
    )
    answer = httpx.post(
        f"{address}/graphql",
        json={"query": stored_operations()["Dashboard"]},
        headers={"authorization": f"Bearer {token}"},
        timeout=10,
    )
    return answer.json()


def test_starts_before_its_services_and_finds_them(address: str, request: pytest.FixtureRequest) -> None:
    """The BFF starts with every service down, says so field by field, and serves them once they are there."""
    alone = dashboard(address)

    assert alone["data"]["dashboard"]["claimMetrics"] is None
    assert {error["extensions"]["code"] for error in alone["errors"]} == {"SERVICE_UNAVAILABLE"}

    request.getfixturevalue("sandbox")
    together = dashboard(address)

    assert "errors" not in together
    assert together["data"]["dashboard"]["claimMetrics"]["totalCount"] == 60


def test_services_that_die_cost_their_fields_only(sandbox: subprocess.Popen[bytes], address: str) -> None:
    """With connections open, the services are killed: what was seen comes again, and money is explained."""
    before = dashboard(address)
    assert "errors" not in before

    os.killpg(sandbox.pid, signal.SIGKILL)
    sandbox.wait(timeout=10)
    after = dashboard(address)

    missing = [name for name, branch in after["data"]["dashboard"].items() if branch is None]
    assert missing == ["paymentMetrics"]  # charges are never given from memory
    claims = after["data"]["dashboard"]["recentClaims"]["nodes"]
    assert [claim["payments"] for claim in claims] == [None] * 5
    assert sorted(error["path"][-1] for error in after["errors"]) == ["paymentMetrics", *["payments"] * 5]
    states = {use["service"]: use["state"] for use in after["extensions"]["upstreams"]}
    assert states == {
        "refund-engine": "STALE",
        "integrations": "STALE",
        "cost-docs": "CACHED",  # fresh for a minute
        "stripe": "MISSING",
    }
