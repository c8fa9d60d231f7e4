"""The list of payments made before the map existed: CSV, one claim and its integer a line.

claim_id,stripe_id
3fa85f64-5717-4562-b3fc-2c963f66afa6,4711
"""

import csv
from typing import NamedTuple
from uuid import UUID

from clients.store.tables import LARGEST_STRIPE_ID

COLUMNS = ["claim_id", "stripe_id"]


class BadLine(Exception):
    """One line of the list cannot be entered, so none is."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"Line {line}: {problem}")


class ListedClaim(NamedTuple):
    """One line that may be entered."""

    line: int  # counted from 1, the header included
    claim_id: str  # canonical UUID text
    stripe_id: int


def checked_list(content: bytes) -> list[ListedClaim]:
    """The claims of a list, in its order.

    Raises:
        BadLine: a line is not what it should be, or says again what an earlier one said.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()  # spreadsheets put a mark in front
    except UnicodeDecodeError as exc:
        raise BadLine(content[: exc.start].count(b"\n") + 1, "it is not UTF-8.") from exc
    rows = list(csv.reader(lines))
    if not rows or rows[0] != COLUMNS:
        raise BadLine(1, f"the columns must be `{','.join(COLUMNS)}`.")
    if len(rows) == 1:
        raise BadLine(2, "there is no claim in the list.")
    listed: list[ListedClaim] = []
    line_of: dict[str | int, int] = {}
    for line, row in enumerate(rows[1:], start=2):
        claim = _checked(line, row)
        for value in (claim.claim_id, claim.stripe_id):
            if earlier := line_of.get(value):
                raise BadLine(line, f"{value} is in line {earlier} already.")
            line_of[value] = line
        listed.append(claim)
    return listed


def _checked(line: int, row: list[str]) -> ListedClaim:
    if len(row) != len(COLUMNS):
        raise BadLine(line, f"it has {len(row)} values, not {len(COLUMNS)}.")
    claim_id, stripe_id = row
    try:
        canonical = str(UUID(claim_id))
    except ValueError as exc:
        raise BadLine(line, f"`{claim_id}` is not a UUID.") from exc
    if claim_id.lower() != canonical:  # `UUID` also takes braces, and hyphens anywhere
        raise BadLine(line, f"`{claim_id}` is not a UUID.")
    # Ten digits at most: `int` of a very long text is an error of its own.
    if not (stripe_id.isascii() and stripe_id.isdigit() and len(stripe_id) <= len(str(LARGEST_STRIPE_ID))):
        raise BadLine(line, f"`{stripe_id}` is not a whole number up to {LARGEST_STRIPE_ID}.")
    if not 1 <= int(stripe_id) <= LARGEST_STRIPE_ID:
        raise BadLine(line, f"{stripe_id} is not between 1 and {LARGEST_STRIPE_ID}.")
    return ListedClaim(line, canonical, int(stripe_id))
