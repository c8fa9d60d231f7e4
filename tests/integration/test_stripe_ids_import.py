"""`bff stripe-ids import`: old payments are entered by hand once, and a slip of that hand is money."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
HEADER = "claim_id,stripe_id"


def imported(tmp_path: Path, *lines: str) -> "subprocess.CompletedProcess[str]":
    """Run the command over a list, as an operator does: of the settings only DB_URL is there."""
    file = tmp_path / "old.csv"
    file.write_text("\n".join((HEADER, *lines)))
    return subprocess.run(
        [Path(sys.executable).with_name("bff"), "stripe-ids", "import", file],
        env={"PATH": os.environ["PATH"], "DB_URL": f"sqlite+aiosqlite:///{tmp_path / 'bff.sqlite3'}"},
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
