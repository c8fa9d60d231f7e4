"""Drills under load: a BFF over the sandbox, a quiet log, and an account of the cores that others took."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from bff_under_test import Bff, MakeBff, bff, make_bff
from stolen import Stolen

__all__ = ["Bff", "MakeBff", "bff", "make_bff"]


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Write no log: at these rates it would be most of what is measured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
async def stolen() -> AsyncIterator[Stolen]:
    """How long the machine let this process wait for a core."""
    stolen = Stolen()
    watching = asyncio.create_task(stolen.watch())
    yield stolen
    watching.cancel()
