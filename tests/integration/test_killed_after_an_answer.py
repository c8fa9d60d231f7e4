"""`bff serve` killed right after it answered a mutation: the audit log knows what was answered."""

import os
import signal
import sqlite3
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from bff_commands import BFF, SECRET, ready, sandbox, served, start_sync

from bff.sandbox.sandbox import DEV_SECRETS, Sandbox

__all__ = ["sandbox"]

AUDIT_KEY = "Qz7w2Er5Ty8Ui1Op4As6Df9Gh3Jk0Lxy"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_kill_loses_no_row_of_an_answered_mutation(
    sandbox: tuple[Sandbox, dict[str, int]], tmp_path: Path
) -> None:
    """What the seller was told was done is written down; the commands find it, and prove it."""
    _, ports = sandbox
    url = f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3"
    env = os.environ | {
        "JWT_SECRET": SECRET,
        "BFF_DEV": "true",  # the sandbox's secrets are known to all
        "CRYPTO_SECRET": AUDIT_KEY,
        "DB_URL": url,
        "INTEGRATIONS_URL": f"http://127.0.0.1:{ports['integrations']}",
        **{
            f"BFF_{name.upper().replace('-', '_')}__JWT_SECRET": secret
            for name, secret in DEV_SECRETS.items()
        },
    }
    variables = {"input": {"kind": "INVENTORY", "idempotencyKey": str(uuid.uuid4())}}
    with served(env, tmp_path) as (address, running):
        await ready(address)
        body: dict[str, Any] = await start_sync(address, variables)
        os.killpg(running.pid, signal.SIGKILL)

    def bff(*words: str) -> subprocess.CompletedProcess[str]:
        told = {name: value for name, value in env.items() if name in ("PATH", "CRYPTO_SECRET", "DB_URL")}
        command = [BFF, *words]
        return subprocess.run(command, env=told, capture_output=True, text=True, timeout=120, check=False)

    sync_id = body["data"]["startSync"]["sync"]["id"]
    shown = bff("audit", "show", "--object", sync_id).stdout
    assert '"kind":"mutation.ended"' in shown
    assert '"outcome":"DONE"' in shown
    head = bff("audit", "head").stdout.strip()
    proven = bff("audit", "verify", "--head", head)
    assert (proven.returncode, proven.stdout.startswith("2 rows are as they were written")) == (0, True)
    code = shown.split('"support_code":"')[1].split('"')[0]
    assert "receipt.left_open" in bff("doctor", "--support-code", code).stdout

    with sqlite3.connect(tmp_path / "bff.sqlite3") as database:
        database.execute("DELETE FROM audit_rows WHERE number = 2")
    database.close()
    found = bff("audit", "verify")
    assert (found.returncode, "Row 2: it is missing" in found.stderr) == (1, True)
