"""Pages of lists, the Relay way: cursors over an offset, because offsets are what the services know."""

import base64
import binascii
import functools
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar

import strawberry
from strawberry import UNSET

from resolvers.errors import BadUserInput

NodeT = TypeVar("NodeT")
EdgeT = TypeVar("EdgeT")

PAGE_SIZE_MAX = 100
WINDOWS_KEPT = 256  # a field of a hundred objects asks for the same one a hundred times

First = Annotated[int, strawberry.argument(description="Page size, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="Cursor to continue after.")]


@strawberry.federation.type(
    shareable=True,
    description=(
        "Where a page lies in a connection (Relay Cursor Connections). Cursors are opaque; they stand for an "
        "offset, so a row that arrives meanwhile can repeat an item."
    ),
)
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more items follow.")
    has_previous_page: bool = strawberry.field(description="Whether items precede.")
    offset: strawberry.Private[int]
    count: strawberry.Private[int]

    @strawberry.field(description="Cursor of the first item; null when the page is empty.")
    def start_cursor(self) -> str | None:
        return cursor(self.offset) if self.count else None

    @strawberry.field(description="Cursor of the last item; null when the page is empty.")
    def end_cursor(self) -> str | None:
        return cursor(self.offset + self.count - 1) if self.count else None


@strawberry.type
class Connection(Generic[NodeT, EdgeT]):
    """A page of a list. Each kind says what its items and edges are, and whether the list was counted."""

    edge: ClassVar[Any]  # makes an edge of `cursor` and `node`

    @strawberry.field(description="Items with their cursors.")
    def edges(self) -> list[EdgeT]:
        return [
            self.edge(cursor=cursor(self.offset + index), node=node) for index, node in enumerate(self.nodes)
        ]

    nodes: list[NodeT] = strawberry.field(description="Items without their cursors.")

    @strawberry.field(description="Where this page lies.")
    def page_info(self) -> PageInfo:
        return PageInfo(
            has_next_page=self.has_next_page,
            has_previous_page=self.offset > 0,
            offset=self.offset,
            count=len(self.nodes),
        )

    offset: strawberry.Private[int]
    has_next_page: strawberry.Private[bool]


class Window(NamedTuple):
    """The part of a list that `first` and `after` ask for."""

    first: int
    offset: int
    end: int  # the first position behind it


@functools.lru_cache(maxsize=WINDOWS_KEPT)
def window(first: int, after: str | None = None, *, at_most: int = PAGE_SIZE_MAX) -> Window:
    """Read the paging arguments of a field.

    Raises:
        BadUserInput: `first` is out of bounds, or `after` is no cursor of this graph.
    """
    if not 1 <= first <= at_most:
        raise BadUserInput(f"`first` must be from 1 to {at_most}; it was {first}.")
    offset = 0 if after is None or after is UNSET else _position(after) + 1
    return Window(first, offset, offset + first)


def cursor(position: int) -> str:
    """The cursor of the item at a position, counted from 0."""
    return binascii.b2a_base64(b"offset:%d" % position, newline=False).decode()


def _position(after: str) -> int:
    try:
        kind, _, position = base64.b64decode(after, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        kind, position = "", ""
    # Nine digits: an offset beyond a billion is nobody's, and upstreams turn huge ones into a 500.
    if kind != "offset" or not (position.isascii() and position.isdigit() and len(position) <= 9):
        raise BadUserInput(
            "`after` is no cursor of this API. Pass an `endCursor` exactly as it was received."
        )
    return int(position)
