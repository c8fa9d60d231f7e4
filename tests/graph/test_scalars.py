"""How times leave the graph."""

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from resolvers.scalars import SCALARS


@pytest.mark.parametrize("offset_h", [0, 2, -5])
def test_a_time_is_written_as_iso_8601_in_utc(offset_h: int):
    """Any year, any fraction, any zone: the text is that of `isoformat`, ending in Z."""
    write, chance = SCALARS[datetime].serialize, random.Random(7)
    assert write
    zone = timezone(timedelta(hours=offset_h))
    times = [
        datetime(chance.randint(2, 9998), 1, 1, tzinfo=zone)
        + timedelta(days=chance.randint(0, 364), seconds=chance.randint(0, 86_399), microseconds=micros)
        for micros in (0, 1, 1_000, 250_000, 999_999)
        for _ in range(40)
    ]

    texts = [write(time) for time in times]

    assert texts == [time.astimezone(UTC).isoformat().replace("+00:00", "Z") for time in times]
