"""What every test gets: one event loop kind, and a database that is waited for on a slow disk."""

import os

import pytest
from late import WITHIN_S

# For processes that tests start, too. How long production waits is tests/integration/test_postgres.py's.
os.environ["BFF_DB_PATIENCE_S"] = str(WITHIN_S)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
