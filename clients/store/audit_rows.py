"""One row of the audit log: what it says, and how it is bound to the row before.

hash   SHA-256 over everything that the row says, in plain text, and the hash of the row before
seal   HMAC over number and hash, with a key that is not in the database

Whoever can write the table can work out hashes, and no seal. A new key changes seals and what is hidden, and
no hash: a hash that an auditor has written down stays good.
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from clients.store.audit_keys import AuditKeys, Unreadable
from clients.store.tables import audit_rows

NOTHING = "0" * 64  # the hash before the first row
_BLIND_BYTES = 16


class Kind(StrEnum):
    """What a row is about."""

    BEGUN = "mutation.begun"
    ENDED = "mutation.ended"
    REFUSED = "refusal"
    READ = "read"
    ACCEPTED = "break.accepted"  # an operator has looked into a break; `clients/store/audit_breaks.py`
    BROKEN = "chain.broken"  # a writer found the end of the chain changed, and says so in the chain itself


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written down. No e-mail address, no input, no token: ids, names and codes."""

    kind: Kind
    action: str  # name of the mutation, of the field, or of what was refused
    viewer_id: str | None = None
    machine: str | None = None  # name of the program that showed its key
    source: str | None = None  # network address; hidden in the table
    object_id: str | None = None  # global id
    outcome: str | None = None  # DONE, or a code of docs/errors.md, or the reason of a refusal
    support_code: str | None = None
    correlation_id: str | None = None
    work: str | None = None  # the same in the two rows of one mutation
    times: int = 1


_SAID = ("kind", "action", "viewer_id", "machine", "object_id", "outcome", "support_code", "correlation_id")
_ROOM = {name: audit_rows.c[name].type.length for name in (*_SAID, "work")}  # type: ignore[attr-defined]


def row_of(entry: Entry, number: int, at_ms: int, previous_hash: str, keys: AuditKeys) -> dict[str, Any]:
    """The row of an entry, ready to be inserted."""
    row: dict[str, Any] = {name: _fitting(getattr(entry, name), room) for name, room in _ROOM.items()}
    row |= {"number": number, "at_ms": at_ms, "times": entry.times, "previous_hash": previous_hash}
    # Something random with it, or its hash would tell an address to whoever tries them all.
    source = f"{secrets.token_hex(_BLIND_BYTES)} {entry.source[:64]}" if entry.source else None
    row["source"] = keys.hidden(source, _place(number)) if source else None
    row["hash"] = _hash(row, source)
    row["seal"] = keys.seal(sealed(number, row["hash"]))
    return row


def source_of(row: Any, keys: AuditKeys) -> str | None:
    """The network address in a row.

    Raises:
        Unreadable: it cannot be read with these keys.
    """
    return None if row.source is None else keys.shown(row.source, _place(row.number)).partition(" ")[2]


def fault_of(row: Any, number: int, previous_hash: str, keys: AuditKeys) -> str | None:
    """What is wrong with the row that should have this number and follow this hash; None if nothing is."""
    if row.number != number:
        return f"it is missing; the next one is {row.number}"
    if row.previous_hash != previous_hash:
        return "it does not follow the row before it"
    try:
        source = None if row.source is None else keys.shown(row.source, _place(number))
    except Unreadable as exc:
        return f"its source cannot be read: {exc}"
    if row.hash != _hash(row._mapping, source):
        return "what it says was changed"
    try:
        keys.check(row.seal, sealed(number, row.hash))
    except Unreadable as exc:
        return f"its seal is not good: {exc}"
    if row.kind == Kind.BROKEN:
        return f"a writer found the end of the chain changed before it: {row.outcome}"
    return None


def sealed_anew(row: Any, keys: AuditKeys) -> dict[str, Any]:
    """What the newest key makes of a row that was found good: its hash stays."""
    place = _place(row.number)
    return {
        "source": None if row.source is None else keys.hidden(keys.shown(row.source, place), place),
        "seal": keys.seal(sealed(row.number, row.hash)),
    }


def sealed(number: int, hash_: str) -> str:
    """What the seal of a row is over."""
    return f"row {number} {hash_}"


def end_sealed(name: str, number: int, hash_: str) -> str:
    """What the seal of an end of the chain is over: that of a row must not pass for it."""
    return f"{name} {number} {hash_}"


def _hash(row: Any, source: str | None) -> str:
    said = [1, row["number"], row["at_ms"], *(row[name] for name in _SAID), source, row["work"], row["times"]]
    return hashlib.sha256(orjson.dumps([*said, row["previous_hash"]])).hexdigest()


def _place(number: int) -> str:
    return f"audit_rows.source {number}"


def _fitting(value: str | None, room: int) -> str | None:
    return None if value is None else str(value)[:room]
