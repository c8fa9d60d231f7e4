"""`bff audit` and `bff doctor`, as an operator, an auditor and a person of support use them."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from databases import patient_store
from typer.testing import CliRunner, Result

from bff.cli import main
from clients.store.audit import Audit
from clients.store.audit_keys import AuditKeys
from clients.store.audit_rows import Entry, Kind

KEY, NEW_KEY = "Qz7w2Er5Ty8Ui1Op4As6Df9Gh3Jk0Lxy", "Bn4m7Kl2Jh9Gf5Ds1Ap8Oi3Uy6Tr0Ewq"
ANN, BOB = "5e11e200-0a00-4000-8000-000000000001", "5e11e200-0a00-4000-8000-000000000002"
ENTRIES = [
    Entry(Kind.BEGUN, "submitClaim", ANN, source="203.0.113.77", support_code="OP-00000001", work="1"),
    Entry(Kind.ENDED, "submitClaim", ANN, outcome="DONE", support_code="OP-00000001", work="1"),
    Entry(Kind.BEGUN, "startSync", BOB, support_code="OP-00000002", work="2"),
    Entry(Kind.READ, "Document.signedUrl", BOB, object_id="a document", support_code="OP-00000003"),
]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database with four rows, and an environment that leads there."""
    file = tmp_path / "bff.sqlite3"
    url = f"sqlite+aiosqlite:///{file}"
    monkeypatch.setenv("DB_URL", url)
    monkeypatch.setenv("CRYPTO_SECRET", KEY)

    async def written() -> None:
        store = patient_store(url)
        await store.open()
        audit = Audit(store.database, AuditKeys([KEY]))
        for entry in ENTRIES:
            await audit.append(entry)
        await audit.close()
        await store.close()

    asyncio.run(written())
    yield file
    structlog.reset_defaults()  # the commands are silent


def bff(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [orjson.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_a_whole_log_is_proven_against_a_hash_that_was_kept(file: Path):
    """What a cron job runs every night."""
    head = bff("audit", "head").stdout.strip()

    proven = bff("audit", "verify", "--head", head)

    assert (proven.exit_code, proven.stdout) == (0, f"4 rows are as they were written. Head {head}\n")
    assert bff("audit", "verify", "--head", f"4:{'f' * 64}").exit_code == 1
    assert bff("audit", "verify", "--head", "four").exit_code == 2


def test_a_broken_row_is_named(file: Path):
    """Exit code 1 is what an alert listens to."""
    with sqlite3.connect(file) as database:
        database.execute("UPDATE audit_rows SET viewer_id = ? WHERE number = 2", [BOB])
    database.close()

    found = bff("audit", "verify")

    assert (found.exit_code, found.stderr) == (1, "BROKEN. Row 2: what it says was changed.\n")
    assert bff("audit", "rotate").exit_code == 1


def test_a_break_that_was_looked_into_is_accepted(file: Path):
    """Else one row, restored from an old backup, would ring the bell every night, and nobody would listen."""
    with sqlite3.connect(file) as database:
        database.execute("UPDATE audit_rows SET viewer_id = ? WHERE number = 2", [BOB])
    database.close()

    assert bff("audit", "accept-break", "3", "--reason", "why not").exit_code == 2
    assert bff("audit", "accept-break", "2", "--reason", "x" * 65).exit_code == 2
    done = bff("audit", "accept-break", "2", "--reason", "restored from a backup, OPS-7", "--by", "ann")
    assert done.exit_code == 0, done.output
    found = bff("audit", "verify")

    assert found.exit_code == 0
    known, proven = found.stdout.splitlines()
    assert known.startswith("Row 2 is not, and that is known: accepted by ann at 20")
    assert known.endswith(": restored from a backup, OPS-7")
    assert proven.startswith("4 rows are as they were written. Head 5:")
    assert "No row is broken." in bff("audit", "accept-break", "2", "--reason", "again").stderr
    row = rows(bff("audit", "show"))[-1]
    told = (row["kind"], row["machine"], row["outcome"])
    assert told == ("break.accepted", "ann", "restored from a backup, OPS-7")

    with sqlite3.connect(file) as database:
        database.execute("UPDATE audit_rows SET viewer_id = NULL WHERE number = 2")
    database.close()
    assert bff("audit", "verify").stderr == "BROKEN. Row 2: what it says was changed.\n"


def test_support_finds_one_sellers_doings(file: Path):
    """And no other's."""
    assert [row["number"] for row in rows(bff("audit", "show", "--viewer", ANN))] == [1, 2]
    assert [row["number"] for row in rows(bff("audit", "show", "--viewer", BOB))] == [3, 4]
    [row] = rows(bff("audit", "show", "--object", "a document"))
    assert (row["action"], row["kind"]) == ("Document.signedUrl", "read")
    assert rows(bff("audit", "show"))[0]["source"] == "203.0.113.77"
    assert rows(bff("audit", "show", "--since", "2199-01-01")) == []


def test_the_doctor_says_where_to_look(file: Path):
    """A seller reads a support code out on the telephone."""
    done = bff("doctor", "--support-code", "OP-00000001")
    assert len(rows(done)) == 2
    assert "receipt.left_open" in done.stdout
    assert "was begun" not in done.stdout
    assert (
        "startSync was begun, and nothing says how it ended"
        in bff("doctor", "--support-code", "OP-00000002").stdout
    )
    assert "does not know it" in bff("doctor", "--support-code", "OP-FFFFFFFF").stdout


def test_keys_are_replaced(file: Path, monkeypatch: pytest.MonkeyPatch):
    """The four steps of docs/running.md."""
    head = bff("audit", "head").stdout.strip()
    monkeypatch.delenv("CRYPTO_SECRET")
    monkeypatch.setenv("BFF_AUDIT_KEYS", f'["{NEW_KEY}", "{KEY}"]')

    assert bff("audit", "rotate").stdout == "4 rows are sealed anew.\n"

    monkeypatch.setenv("BFF_AUDIT_KEYS", f'["{NEW_KEY}"]')
    assert bff("audit", "verify", "--head", head).exit_code == 0
    monkeypatch.setenv("BFF_AUDIT_KEYS", f'["{KEY}"]')
    assert bff("audit", "verify").exit_code == 1


def test_what_cannot_be_looked_at_is_not_called_whole(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A job that looks at the wrong database must not report that all is well."""
    monkeypatch.setenv("DB_URL", f"sqlite+aiosqlite:///{tmp_path}/another.sqlite3")
    lost = bff("audit", "verify")
    assert (lost.exit_code, "there is no file" in lost.stderr) == (2, True)
    assert not (tmp_path / "another.sqlite3").exists()  # or the next to look would find an empty one
    (tmp_path / "another.sqlite3").touch()
    wrong = bff("audit", "verify")
    assert (wrong.exit_code, "no database with an audit log" in wrong.stderr) == (2, True)
    monkeypatch.delenv("CRYPTO_SECRET")
    assert "BFF_AUDIT_KEYS must be a secret" in bff("audit", "verify").stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DB_URL", f"postgres://u:{KEY}@db/bff", "DB_URL: must be as postgresql+asyncpg://"),
        ("BFF_AUDIT_KEYS", KEY, "BFF_AUDIT_KEYS: must be a JSON list"),
        ("BFF_AUDIT_KEY", KEY, "Unknown settings: BFF_AUDIT_KEY."),
        ("BFF_DB_URL", KEY, "Unknown settings: BFF_DB_URL (it is DB_URL)."),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
):
    """A job at night has nobody who reads tracebacks, and its mail must hold no secret."""
    monkeypatch.setenv(name, value)
    refused = bff("audit", "verify")
    assert (refused.exit_code, said in refused.stderr) == (2, True)
    assert "Traceback" not in refused.output
    assert KEY not in refused.output
