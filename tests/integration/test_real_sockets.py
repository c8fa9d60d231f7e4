"""`bff serve` in front of the sandbox's services: the network between, and a process of theirs that dies."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from late import WITHIN_S
from processes import free_port, process, wait_until_ready
from pydantic import SecretStr
from sandbox_process import Services, services_on_free_ports

from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations
from bff.sandbox.sandbox import CONTROL_PORT, DEV_SECRETS, PORTS
from bff.sandbox.seed import SELLERS
from bff.settings.settings import Settings

SECRET = "a-secret-of-this-drill-and-of-nothing-else"
BFF = str(Path(sys.executable).parent / "bff")

pytestmark = pytest.mark.slow


@pytest.fixture
def services() -> Services:
    """Where the six services are to be."""
    return services_on_free_ports()


@pytest.fixture
def sandbox(services: Services) -> Iterator[subprocess.Popen[bytes]]:
    """The six services, in one process."""
    with services.running() as running:
        yield running


@pytest.fixture
def address(tmp_path: Path, services: Services) -> Iterator[str]:
    """`bff serve`, started on its own: with or without services behind it."""
    port = free_port()
    env = os.environ | {
        "JWT_SECRET": SECRET,
        **services.addresses,
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
        timeout=WITHIN_S,
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


def test_the_command_serves_where_a_bff_looks() -> None:
    """`bff sandbox` and a BFF that was told no address find each other: it is what the README promises."""
    told = Settings(jwt_secret=SecretStr(SECRET), dev=True).upstreams()
    assert {name: upstream.base_url.port for name, upstream in told.items()} == PORTS
    for port in (*PORTS.values(), CONTROL_PORT):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)), f"another process holds port {port} of this machine"

    with process([BFF, "sandbox"], cwd=Path.cwd(), env=os.environ):
        for port in PORTS.values():
            wait_until_ready(f"http://127.0.0.1:{port}/health")


def test_services_that_die_cost_their_fields_only(sandbox: subprocess.Popen[bytes], address: str) -> None:
    """With connections open, the services are killed: what was seen comes again, the rest is explained."""
    before = dashboard(address)
    assert "errors" not in before

    os.killpg(sandbox.pid, signal.SIGKILL)
    sandbox.wait(timeout=WITHIN_S)
    after = dashboard(address)

    missing = [name for name, branch in after["data"]["dashboard"].items() if branch is None]
    assert missing == ["paymentMetrics"]  # charges are never given from memory
    claims = after["data"]["dashboard"]["recentClaims"]["nodes"]
    assert [claim["payments"] for claim in claims] == [None] * 5
    # Nor does an old list prove that a claim still has no finding.
    bare = [
        not claim["detections"]["nodes"] for claim in before["data"]["dashboard"]["recentClaims"]["nodes"]
    ]
    assert 0 < sum(bare) < 5
    assert [claim["detections"] is None for claim in claims] == bare
    told = sorted(error["path"][-1] for error in after["errors"])
    assert told == ["detections"] * sum(bare) + ["paymentMetrics"] + ["payments"] * 5
    states = {use["service"]: use["state"] for use in after["extensions"]["upstreams"]}
    assert states == {
        "refund-engine": "STALE",
        "integrations": "MISSING",  # of the bare claims; figures and the rest are old
        "cost-docs": "CACHED",  # fresh for a minute
        "stripe": "MISSING",
    }
