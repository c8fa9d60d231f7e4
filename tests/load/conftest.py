"""Drills under load: a BFF over the sandbox, a quiet log, and an account of the cores that others took."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from bff_under_test import Bff, MakeBff, bff
from bff_under_test import make_hurried_bff as make_bff
from stolen import stolen

__all__ = ["Bff", "MakeBff", "bff", "make_bff", "stolen"]


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Write no log: at these rates it would be most of what is measured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
