"""What every test gets: one event loop kind, and a log that is quiet unless a test reads it."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
