"""Time that the machine took from us: a busy core is not the BFF's fault."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

TICK_S = 0.01


class Stolen:
    """How long the machine let this process wait for a core."""

    def __init__(self) -> None:
        self.total_s = 0.0

    async def watch(self) -> None:
        """Count until cancelled."""
        while True:
            began_s, busy_s = time.perf_counter(), time.process_time()
            await asyncio.sleep(TICK_S)
            worked_s = time.process_time() - busy_s
            self.total_s += max(0.0, time.perf_counter() - began_s - TICK_S - worked_s)


@pytest.fixture
async def stolen() -> AsyncIterator[Stolen]:
    """How long the machine has let this process wait for a core so far."""
    stolen = Stolen()
    watching = asyncio.create_task(stolen.watch())
    yield stolen
    watching.cancel()
