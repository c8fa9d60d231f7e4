"""Breaks of the audit log that somebody has looked into: each is accepted by a row of the log itself.

The row names the break by its mark: a hash of the row that was found there, all of it, and of where it was
found. It is sealed like every row. Whatever is changed afterwards has another mark, and is a new break.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from clients.store.audit_keys import AuditKeys
from clients.store.audit_rows import Entry, Kind, fault_of
from clients.store.database import Database
from clients.store.tables import audit_rows

REASON_CHARS = 64
NO_MARK = "-"  # where no row was found that could be marked


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that is not as it was written."""

    number: int
    why: str
    mark: str | None = None  # of the row that is there; None where there is none

    def __str__(self) -> str:
        return f"Row {self.number}: {self.why}."


@dataclass(frozen=True, slots=True)
class Accepted:
    """A break that is known."""

    number: int
    by: str
    reason: str
    at_ms: int


class NotThatBreak(Exception):
    """What was to be accepted is not the first break."""

    def __init__(self, first: Broken | None) -> None:
        super().__init__(f"The first break is another one. {first}" if first else "No row is broken.")


def mark_of(row: Any, number: int, previous_hash: str) -> str:
    """What is found where the row of this number should be, which should follow this hash."""
    found = [number, previous_hash, *(row._mapping[column.name] for column in audit_rows.c)]
    return hashlib.sha256(orjson.dumps(found)).hexdigest()


def acceptance(number: int, mark: str | None, *, by: str, reason: str) -> Entry:
    """What is written down when a break is accepted."""
    return Entry(Kind.ACCEPTED, "audit", machine=by, object_id=f"{number} {mark or NO_MARK}", outcome=reason)


async def accepted_breaks(database: Database, keys: AuditKeys) -> Mapping[str, Accepted]:
    """The breaks that were accepted, by their marks.

    Raises:
        StoreUnavailable: the database did not answer within a second.
    """
    rows = await database.read(select(audit_rows).where(audit_rows.c.kind == Kind.ACCEPTED))
    accepted = {}
    for row in rows:
        if fault_of(row, row.number, row.previous_hash, keys) is None:  # else nobody of ours has written it
            number, _, mark = (row.object_id or "").partition(" ")
            accepted[mark] = Accepted(int(number), row.machine or "", row.outcome or "", row.at_ms)
    return accepted
