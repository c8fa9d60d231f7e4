"""ClaimConnection: a page of claims."""

from __future__ import annotations

from datetime import datetime

import strawberry

from clients.refund_engine import ClaimRecord
from clients.transport import Page
from resolvers.claims.claim import Claim
from resolvers.connections import Connection, Window


@strawberry.type(description="A claim and its place in a connection.")
class ClaimEdge:
    cursor: str = strawberry.field(description="Opaque position.")
    node: Claim = strawberry.field(description="The claim.")


@strawberry.type(description="A page of claims.")
class ClaimConnection(Connection[Claim, ClaimEdge]):
    edge = ClaimEdge

    total_count: int | None = strawberry.field(
        description="How many match in all; null for a search, which is not counted."
    )
    is_truncated: bool = strawberry.field(
        description="Whether matches exist that no page reaches. Only a search can be: it ends after 100."
    )
    as_of: datetime = strawberry.field(description="When the owner's answer was received.")

    @classmethod
    def of_page(cls, page: Page[ClaimRecord], part: Window, *, truncated: bool = False) -> ClaimConnection:
        """A page of the owner's list, or all that a search found (`part.offset` 0, no total)."""
        return cls(
            nodes=[Claim.from_record(row, page.as_of) for row in page.rows],
            total_count=page.total,
            is_truncated=truncated,
            as_of=page.as_of,
            offset=part.offset,
            has_next_page=part.offset + len(page.rows) < (page.total or 0) and bool(page.rows),
        )
