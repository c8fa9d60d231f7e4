"""How the integrations service is asked, whatever the noun."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter

from clients.addresses import given
from clients.caller import Caller
from clients.records import Record
from clients.transport import Answer, Upstream

T = TypeVar("T")


class Data(Record, Generic[T]):
    """The envelope of its answers."""

    data: T


class Done(Record):
    """What it says where there is nothing to show."""

    success: Literal[True]


class Asking:
    """Asks on behalf of one caller."""

    def __init__(self, upstream: Upstream, caller: Caller) -> None:
        self._upstream = upstream
        self._caller = caller

    async def _get(self, operation: str, path: str, shape: TypeAdapter[T], **params: Any) -> Answer[T]:
        return await self._upstream.call(self._caller, operation, "GET", path, shape, params=given(**params))
