"""Times in records: whatever way a service writes one, it is the same moment in UTC."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from clients.records import Record, UtcTime


class Timed(Record):
    at: UtcTime
    done_at: UtcTime | None = None


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("2025-09-30T14:05:00Z", 0),
        ("2025-09-30T14:05:00.25Z", 250_000),
        ("2025-09-30T14:05:00.123456+00:00", 123_456),
        ("2025-09-30T14:05:00.1234569Z", 123_456),
        ("2025-09-30T14:05:00.5", 500_000),
        ("2025-09-30T16:05:00.5+02:00", 500_000),
        ("2025-09-30T09:05:00-05:00", 0),
        ("2025-09-30 14:05:00Z", 0),
    ],
)
def test_a_time_is_read_in_utc_however_it_is_written(written: str, micros: int):
    """With an offset, with none, with more digits than we keep: rows of all services sort together."""
    read = Timed.model_validate_json(f'{{"at": "{written}"}}').at

    assert read == datetime(2025, 9, 30, 14, 5, 0, micros, tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "written",
    [
        '"2025-13-01T00:00:00Z"',
        '"2025-09-31T00:00:00Z"',
        '"2025-09-30T24:00:00Z"',
        '"2025-W40-2T14:05:00Z"',
        '"20250930T140500Z"',
        '"soon"',
        "1759241100",
        "null",
    ],
)
def test_what_is_no_time_is_one_error_of_its_field(written: str):
    """The log names the field that broke the contract, and names it once."""
    with pytest.raises(ValidationError) as refused:
        Timed.model_validate_json(f'{{"at": {written}, "done_at": null}}')

    assert [(error["loc"], error["type"]) for error in refused.value.errors()] == [(("at",), "datetime_type")]
