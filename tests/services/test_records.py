"""Values in records: times are the same moment in UTC, numbers are exact, and both can be written out."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from clients.records import Decimal15, Record, UtcTime
from clients.refund_engine import CLAIM_PAGE
from clients.stripe import TRANSACTIONS


class Timed(Record):
    at: UtcTime
    done_at: UtcTime | None = None


class Counted(Record):
    amount: Decimal15


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
        '"0001-01-01T00:00:00+01:00"',
        '"9999-12-31T23:59:59.999-01:00"',
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


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        ('"141.80"', "141.80"),
        ('"-0.5"', "-0.5"),
        ('"0.12345678901234567890"', "0.12345678901234567890"),
        ('"999999999999999.99"', "999999999999999.99"),
        ("141.8", "141.8"),
        ("383.7", "383.7"),
        ("0", "0"),
        ("-12", "-12"),
        ("1e2", "100"),
    ],
)
def test_a_number_is_exact_whether_text_or_not(written: str, exact: str):
    """A cent that a float loses is a cent that a seller looks for."""
    read = Counted.model_validate_json(f'{{"amount": {written}}}').amount

    assert read == Decimal(exact)


@pytest.mark.parametrize(
    "written",
    [
        '"NaN"',
        '"Infinity"',
        '"1E+1000000"',
        '"1e-1000000"',
        '"1_0"',
        '" 1"',
        '"１２"',
        '""',
        '"1000000000000000"',
        "1e15",
        "-1e400",
        "true",
        "null",
        "[]",
    ],
)
def test_what_is_no_number_of_ours_is_one_error_of_its_field(written: str):
    """What has no end when it is written out, or no value, must not come as far as an answer."""
    with pytest.raises(ValidationError) as refused:
        Counted.model_validate_json(f'{{"amount": {written}}}')

    assert [(error["loc"], error["type"]) for error in refused.value.errors()] == [
        (("amount",), "decimal_type")
    ]


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (CLAIM_PAGE, '{"data":[%s],"pagination":{"total":1}}'),
        (TRANSACTIONS, '{"data":{"pagination":{"total":1},"transactions":[{"auditTrail":[%s]}]}}'),
    ],
    ids=["rows", "rows of a row"],
)
def test_the_first_row_that_is_not_as_agreed_ends_the_reading(shape, body):
    """A page of empty objects would make a fault of each field of each row: a gigabyte of them for 256 KB."""
    with pytest.raises(ValidationError) as refused:
        shape.validate_json(body % ",".join(["{}"] * 10_000))

    assert refused.value.error_count() < 20
