"""What all records share: frozen, strict on what we use, deaf to what we do not; times in UTC.

A record is what an upstream sent, in its own words. `Word` is a status, compared in lower case and
trimmed; which graph value it stands for is the resolvers' to say.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, TypeVar

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    StringConstraints,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import (
    chain_schema,
    decimal_schema,
    float_schema,
    no_info_after_validator_function,
    str_schema,
    union_schema,
)

T = TypeVar("T")

# Whatever fits is read alike by `datetime.fromisoformat` and by pydantic.
WRITTEN_IN_UTC = r"^[0-9]{4}(-[0-9]{2}){2}T([01][0-9]|2[0-3])(:[0-9]{2}){2}(\.[0-9]{1,6})?(Z|\+00:00)$"

DECIMAL_TEXT = r"^-?[0-9]{1,15}(\.[0-9]{1,30})?$"


class Record(BaseModel):
    """One thing an upstream sent."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True)


def _in_utc(time: datetime) -> datetime:
    """Some services send an offset, mcde sends none and means UTC."""
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:  # at the edge of the calendar
        raise ValueError("no time in UTC") from None


def _utc_time(source: type[datetime], handler: GetCoreSchemaHandler) -> CoreSchema:
    """Most times are written in UTC and read without a line of Python; a page carries a thousand of them."""
    read = no_info_after_validator_function(datetime.fromisoformat, str_schema(pattern=WRITTEN_IN_UTC))
    other = no_info_after_validator_function(_in_utc, handler(source))
    # One error, not one of each way to read it.
    return union_schema([read, other], mode="left_to_right", custom_error_type="datetime_type")


UtcTime = Annotated[datetime, GetPydanticSchema(_utc_time)]


def _decimal(_source: type[Decimal], _handler: GetCoreSchemaHandler) -> CoreSchema:
    """Without an exponent: `1E+1000000` is ten letters, and a megabyte of them when it is written out."""
    text = no_info_after_validator_function(Decimal, str_schema(pattern=DECIMAL_TEXT))
    number = float_schema(strict=True, allow_inf_nan=False, gt=-(10.0**15), lt=10.0**15)
    return union_schema(
        [text, chain_schema([number, decimal_schema(strict=False)])],
        mode="left_to_right",
        custom_error_type="decimal_type",
    )


Decimal15 = Annotated[Decimal, GetPydanticSchema(_decimal)]  # 15 digits before the point; text or number


def number(amount: Decimal) -> orjson.Fragment:
    """An amount as a JSON number, digit for digit: no float stands between."""
    return orjson.Fragment(format(amount, "f"))


Word = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]  # what GraphQL's Int carries
Finite = Annotated[float, Field(allow_inf_nan=False)]  # what GraphQL's Float carries
CountText = Annotated[Int32, Field(strict=False)]  # the refund engine sends counts as text
UuidText = Annotated[
    str,
    StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
]
# The first row that is not as agreed ends the reading: a page of 300,000 empty ones has four million faults.
Rows = Annotated[list[T], FailFast()]
