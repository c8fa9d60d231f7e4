"""The commands for scripts, as somebody calls them who has mistyped something."""

from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner, Result

from bff.cli import main
from bff.sandbox.seed import SELLERS


def bff(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["token", "--viewer", "garbage"], "first, second or a user id"),
        (["token", "--expires", "99999999999999"], "--expires"),
        (["serve", "--port", "99999"], "--port"),
        (["dev", "--port", "-1"], "--port"),
        (["explain", "Dashboard", "--variables", "5"], "a JSON object"),
        (["explain", "Dashboard", "--variables", "[1]"], "a JSON object"),
        (["explain", "Dashboard", "--variables", "{"], "Invalid value"),
        (["explain", "{tmp_path}/picture.png"], "no GraphQL document"),
        (["explain", "{tmp_path}/lost.graphql"], "No such file"),
        (["schema", "--output", "{tmp_path}/lost/schema.graphql"], "cannot be written"),
        (["contracts", "--output", "{tmp_path}/lost/contracts.json"], "cannot be written"),
        (["manifest", "--output", "{tmp_path}/lost/manifest.json"], "cannot be written"),
    ],
    ids=lambda words: "-".join(words[:2]) if isinstance(words, list) else None,
)
def test_a_mistake_is_told_in_words(words: list[str], said: str, tmp_path: Path):
    """A traceback says where we stand, and not what was mistyped."""
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")

    done = bff(*(word.format(tmp_path=tmp_path) if "tmp_path" in word else word for word in words))

    assert (done.exit_code, type(done.exception)) == (2, SystemExit)
    assert said in done.stderr
    assert done.stdout == ""


def test_a_token_is_of_whom_one_names():
    """What the check above lets through is what the BFF lets in."""
    someone = "5E11E200-0A00-4000-8000-00000000ABCD"
    names = {"first": SELLERS[0].user_id, "second": SELLERS[1].user_id, someone: someone}
    for viewer, user_id in names.items():
        token = bff("token", "--viewer", viewer).stdout.strip()
        assert jwt.decode(token, options={"verify_signature": False})["user_id"] == user_id


def test_what_is_printed_can_be_written(tmp_path: Path):
    """A build step asks for a file."""
    assert bff("manifest", "--output", str(tmp_path / "manifest.json")).exit_code == 0
    assert (tmp_path / "manifest.json").read_text() == bff("manifest").stdout
