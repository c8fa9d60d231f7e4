"""Programs that show a key of their own: a router that reads the schema, a Prometheus that reads `/metrics`.

A key opens these two and nothing else: no seller's data. We keep its SHA-256 only; a key is long and random
(`bff key`), so that its hash says nothing. Each program may have two keys while one replaces the other.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

KEY_HEADER = "x-api-key"
KEY_CHARS_AT_MOST = 512

log = structlog.get_logger()


class Machine(NamedTuple):
    """A program that has shown its key."""

    name: str
    alone: bool  # whether it shows no viewer's token besides


class Machines:
    """The programs that have keys."""

    def __init__(self, hashes: Mapping[str, Sequence[str]]) -> None:
        """
        Args:
            hashes: by a program's name, the SHA-256 of each of its keys, in hexadecimal.
        """
        self._hashes = [(name, known) for name, each in hashes.items() for known in each]

    def admitted(self, connection: HTTPConnection, door: str) -> Machine | None:
        """The program whose key a request shows, as `X-API-Key` or as a bearer token; None without one.

        Args:
            door: what it wants, for the log, which names whoever is let in.
        """
        machine = self._shown(connection.headers)
        if machine:
            log.info("machine.admitted", machine=machine.name, door=door)
        return machine

    def _shown(self, headers: Headers) -> Machine | None:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (name := self._name(bearer.strip())):
            return Machine(name, alone=True)
        if name := self._name(headers.get(KEY_HEADER, "")):
            return Machine(name, alone="authorization" not in headers)
        return None

    def _name(self, key: str) -> str | None:
        if not key or len(key) > KEY_CHARS_AT_MOST:
            return None
        shown = hashlib.sha256(key.encode()).hexdigest()
        found = None
        for name, known in self._hashes:  # all of them, always: time must not tell which one came near
            if hmac.compare_digest(shown, known):
                found = name
        return found
