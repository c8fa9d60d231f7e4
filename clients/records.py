"""What all records share: frozen, strict on what we use, deaf to what we do not; times in UTC.

A record is what an upstream sent, in its own words. `Word` is a status, compared in lower case and
trimmed; which graph value it stands for is the resolvers' to say.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetPydanticSchema, StringConstraints
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function, str_schema, union_schema

# Whatever fits is read alike by `datetime.fromisoformat` and by pydantic.
WRITTEN_IN_UTC = r"^[0-9]{4}(-[0-9]{2}){2}T([01][0-9]|2[0-3])(:[0-9]{2}){2}(\.[0-9]{1,6})?(Z|\+00:00)$"


class Record(BaseModel):
    """One thing an upstream sent."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True)


def _in_utc(time: datetime) -> datetime:
    """Some services send an offset, mcde sends none and means UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _utc_time(source: type[datetime], handler: GetCoreSchemaHandler) -> CoreSchema:
    """Most times are written in UTC and read without a line of Python; a page carries a thousand of them."""
    read = no_info_after_validator_function(datetime.fromisoformat, str_schema(pattern=WRITTEN_IN_UTC))
    other = no_info_after_validator_function(_in_utc, handler(source))
    # One error, not one of each way to read it.
    return union_schema([read, other], mode="left_to_right", custom_error_type="datetime_type")


UtcTime = Annotated[datetime, GetPydanticSchema(_utc_time)]


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
