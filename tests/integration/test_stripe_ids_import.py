"""`bff stripe-ids import`: old payments are entered by hand once, and a slip of that hand is money."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
HEADER = "claim_id,stripe_id"


def imported(tmp_path: Path, *lines: str, db_url: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the command over a list, as an operator does: of the settings only DB_URL is there."""
    file = tmp_path / "old.csv"
    file.write_text("\n".join((HEADER, *lines)))
    return subprocess.run(
        [Path(sys.executable).with_name("bff"), "stripe-ids", "import", file],
        env={"PATH": os.environ["PATH"], "DB_URL": db_url or f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3"},
        capture_output=True,
        text=True,
        check=False,
    )


def in_the_map(tmp_path: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(tmp_path / "bff.sqlite3")) as database:
        return dict(database.execute("SELECT claim_id, stripe_id FROM stripe_claim_ids"))


def test_a_list_is_entered_before_the_first_start(tmp_path: Path):
    """Nothing has made the tables yet when an operator moves in: the command does."""
    done = imported(tmp_path, f"{ANNS_CLAIM},7", f"{BOBS_CLAIM},8")

    assert (done.returncode, done.stdout, done.stderr) == (0, "2 claims entered.\n", "")
    assert in_the_map(tmp_path) == {ANNS_CLAIM: 7, BOBS_CLAIM: 8}


def test_a_bad_line_is_named_and_nothing_entered(tmp_path: Path):
    """The operator must know which line, and that the list may be entered again as a whole."""
    assert imported(tmp_path, f"{ANNS_CLAIM},7").returncode == 0

    meets_the_map = imported(tmp_path, f"{BOBS_CLAIM},8", f"{ANNS_CLAIM},9")
    meets_itself = imported(tmp_path, f"{BOBS_CLAIM},8", f"{BOBS_CLAIM},9")

    assert (meets_the_map.returncode, meets_the_map.stdout) == (1, "")
    assert (
        meets_the_map.stderr == f"Line 3: claim {ANNS_CLAIM} has the number 7 already. Nothing was entered.\n"
    )
    assert meets_itself.stderr == f"Line 3: {BOBS_CLAIM} is in line 2 already. Nothing was entered.\n"
    assert in_the_map(tmp_path) == {ANNS_CLAIM: 7}


@pytest.mark.parametrize(
    ("db_url", "said"),
    [
        ("postgres://u:secret@db/bff", "DB_URL must be as postgresql+asyncpg://"),
        ("sqlite+aiosqlite:////nowhere/bff.sqlite3", "DB_URL must lead into a folder that is there"),
        ("postgresql+asyncpg://u:secret@127.0.0.1:1/bff", "cannot be reached or written (ConnectionRefused"),
        ("sqlite+aiosqlite:///{tmp_path}/old.csv", "cannot be reached or written (DatabaseError"),
    ],
    ids=["no driver", "no folder", "dead", "no database"],
)
def test_a_database_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, db_url: str, said: str):
    """Whether the payments are in the map must not have to be read out of a traceback."""
    done = imported(tmp_path, f"{ANNS_CLAIM},7", db_url=db_url.format(tmp_path=tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr
