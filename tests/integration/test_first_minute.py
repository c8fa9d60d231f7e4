"""A stranger's first minute: a clean clone on a machine without uv, two commands, one query."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import free_port, process, wait_until_ready

from bff.operations import stored_operations

ROOT = Path(__file__).parents[2]
AS_MAKE_TEST = ["-n", "auto", "-m", "not slow", "-r", "s"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as a stranger gets it: what git has, nothing that lies about."""
    target = tmp_path_factory.mktemp("stranger") / "opside-bff"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


@pytest.fixture(scope="module")
def bare_env() -> dict[str, str]:
    """An environment whose path leads to python3, make and the system's tools, and to no uv."""
    folders = [str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"]
    env = os.environ | {"PATH": ":".join(folders)}
    for ours in ("VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):  # of the make that runs this test
        env.pop(ours, None)
    assert shutil.which("uv", path=env["PATH"]) is None, "this machine has uv where python3 is"
    return env


@pytest.fixture
def running(clone: Path, bare_env: dict[str, str]) -> Iterator[str]:
    """`make run` on a free port; yields its address."""
    port = free_port()
    with process(["make", "run", f"PORT={port}"], cwd=clone, env=bare_env):
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{address}/readyz")
        yield address


def test_make_run_answers_the_dashboard(running: str, clone: Path, bare_env: dict[str, str]) -> None:
    """The README's first command ends with data of all services, on a machine that has nothing."""
    token = subprocess.run(
        [".venv/bin/bff", "token"], cwd=clone, env=bare_env, check=True, capture_output=True, text=True
    ).stdout.strip()

    answer = httpx.post(
        f"{running}/graphql",
        json={"query": stored_operations()["Dashboard"]},
        headers={"authorization": f"Bearer {token}"},
    ).json()

    assert "errors" not in answer
    dashboard = answer["data"]["dashboard"]
    assert all(branch is not None for branch in dashboard.values())
    claims = dashboard["recentClaims"]["nodes"]
    assert len(claims) == 5
    assert all(
        claim[field] is not None for claim in claims for field in ("documents", "detections", "payments")
    )
    assert dashboard["health"]["totalCount"] == 6


def test_the_suite_is_whole_in_the_clone(clone: Path, bare_env: dict[str, str]) -> None:
    """The README's second command finds here what it finds at home: no test needs what git does not have.

    Each test is found and imported, and those that read the files of the tree are run. That all of them pass
    in a clean clone is what CI's own `make check` has just shown: it is not shown twice.
    """
    subprocess.run(["make", ".venv/.ready"], cwd=clone, env=bare_env, check=True)
    at_home, here = (_found(tree, bare_env) for tree in (ROOT, clone))
    assert here == at_home
    assert len(here) > 3000
    said = subprocess.run(
        ["make", "--dry-run", "test"], cwd=clone, env=bare_env, capture_output=True, text=True, check=True
    ).stdout
    assert shlex.split(said) == [".venv/bin/python", "-m", "pytest", *AS_MAKE_TEST]

    done = subprocess.run(
        [".venv/bin/python", "-m", "pytest", *AS_MAKE_TEST, "tests/contract"],
        cwd=clone,
        env=bare_env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


def _found(tree: Path, env: dict[str, str]) -> set[str]:
    """The tests of a tree, by name."""
    command = [".venv/bin/python", "-m", "pytest", "--collect-only", "-q", "-m", "not slow"]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return {line for line in done.stdout.splitlines() if "::" in line}
