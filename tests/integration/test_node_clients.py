"""What our users use, in their own language: each file of `js/` against a `bff dev` of its own.

`make clients` installs the packages first, and fails where Node is missing; other runs say so and leave these
tests out.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import free_port, process, wait_until_ready

from bff.app import dev_token
from bff.cli import dev_settings
from bff.sandbox.seed import SELLERS

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "js"
BFF = str(Path(sys.executable).parent / "bff")
FILES = sorted(path.name for path in CLIENTS.glob("*.test.js"))
ANSWERED_WITHIN_S = 100
REQUIRED = "NODE_CLIENTS_REQUIRED"  # set by `make clients`: nothing may be left out then

pytestmark = [
    pytest.mark.timeout(ANSWERED_WITHIN_S + 20),
    pytest.mark.skipif(
        REQUIRED not in os.environ and not (shutil.which("node") and (CLIENTS / "node_modules").is_dir()),
        reason="Node or its packages are not here: `make clients` installs the packages and runs this",
    ),
]


@pytest.fixture
def address() -> Iterator[str]:
    """A `bff dev` that nobody else breaks or fills."""
    port = free_port()
    with process([BFF, "dev", "--port", str(port), "--claims", "120"], cwd=ROOT, env=os.environ):
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{address}/readyz")
        yield address


@pytest.mark.parametrize("file", FILES)
def test_clients_work(file: str, address: str):
    """The packages that people point at this graph work with it as they come."""
    tokens = [dev_token(dev_settings(), seller) for seller in SELLERS]

    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", file],
        cwd=CLIENTS,
        env=os.environ
        | {
            "BFF_ADDRESS": address,
            "BFF_COMMAND": BFF,
            "BFF_TOKEN_FIRST": tokens[0],
            "BFF_TOKEN_SECOND": tokens[1],
            "BFF_SCHEMA_FILE": str(ROOT / "schema.graphql"),
            "BFF_OPERATIONS_FOLDER": str(ROOT / "operations"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=ANSWERED_WITHIN_S,
    )

    print(done.stdout)  # noqa: T201 - what Node says is what tells why it failed
    assert done.returncode == 0, f"node --test {file} failed: its output is below"
    assert "ℹ pass 0" not in done.stdout
