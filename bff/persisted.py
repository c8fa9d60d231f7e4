"""Which document an operation has: the text that came with it, or one that its hash or id stands for.

Automatic persisted queries, as Apollo's clients speak them: a client sends the hash of a document alone
(`extensions.persistedQuery`); when we do not know it, it sends hash and document, once. Trusted documents
come by the same extension, and in the mode `only` nothing else runs. All of it is decided before anything is
parsed, for every transport.

DocumentRefused
├── PersistedQueryNotFound       send the document along: clients know this message by heart
├── PersistedQueryNotSupported   the same: clients then stop to send hashes
├── PersistedQueryNotInList      only trusted documents run, and the id is of none
├── QueryNotInSafelist           only trusted documents run, and this is none
└── PersistedQueryBroken         the extension cannot be read
    └── PersistedQueryMismatch   the hash is not that of the document
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bff.trusted import Trust, TrustedDocuments, sha256
from clients.shelf import Kept, MemoryShelf
from resolvers.errors import RequestError

KEPT_AT_MOST = 1000  # documents in memory, per process; the longest unused goes first
KEPT_BYTES_AT_MOST = 32 * 1024  # of one document: a larger one runs, and is sent in full each time
KEEP_S = 24 * 3600.0
WARN_EVERY_S = 3600.0  # of each unknown document
WARNED_AT_MOST = 1000  # documents remembered for that

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

log = structlog.get_logger()


class DocumentRefused(RequestError):
    """The operation has no document that may run. The message is for the client, as it stands."""


class PersistedQueryNotFound(DocumentRefused):
    """We do not know the hash; the client is to send the document along."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class PersistedQueryNotSupported(DocumentRefused):
    """We keep no documents; the client is to send them in full."""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotSupported")


class PersistedQueryNotInList(DocumentRefused):
    """Only trusted documents run, and the id is of none."""

    code = "PERSISTED_QUERY_NOT_IN_LIST"

    def __init__(self) -> None:
        super().__init__("No document with this id is in the list of those that may run here.")


class QueryNotInSafelist(DocumentRefused):
    """Only trusted documents run, and this is none."""

    code = "QUERY_NOT_IN_SAFELIST"

    def __init__(self) -> None:
        super().__init__("This document is not in the list of those that may run here.")


class PersistedQueryBroken(DocumentRefused):
    """The extension cannot be read."""

    code = "PERSISTED_QUERY_BROKEN"


class PersistedQueryMismatch(PersistedQueryBroken):
    """The hash is not that of the document."""

    code = "PERSISTED_QUERY_HASH_MISMATCH"

    def __init__(self) -> None:
        super().__init__("provided sha does not match query")  # Apollo's words


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operation asked for."""

    document: str | None  # None: it brought neither a document nor a hash
    keep_as: str | None = None  # the hash to keep it under, once it has proven valid
    unknown: bool = False  # not trusted, and the log is to name it


class PersistedDocuments:
    """The documents that operations of all viewers may ask for by hash: they hold nobody's data."""

    def __init__(self, trusted: TrustedDocuments, trust: Trust, shelf: MemoryShelf | None) -> None:
        """Opens nothing.

        Args:
            shelf: where documents of clients are kept, of this process alone: whoever signs in may fill it,
                and what replicas share holds everybody's answers. None to keep none.
        """
        self._trusted = trusted
        self._trust = trust
        self._shelf = None if trust is Trust.ONLY else shelf
        self.turn = asyncio.Lock()  # one new document is read at a time: whoever brings none goes between
        self._warned: OrderedDict[str, float] = OrderedDict()

    async def asked(self, document: str | None, extensions: Mapping[str, Any] | None) -> Asked:
        """The document of an operation, before anything is parsed.

        Args:
            document: as it came with the operation.
            extensions: of the request.

        Raises:
            DocumentRefused: there is none that may run.
        """
        hash_ = _hash_in(extensions)
        if document:
            return self._sent(document, hash_)
        return await self._known(hash_) if hash_ else Asked(None)

    async def accepted(self, asked: Asked, operation: str | None) -> None:
        """Note that the document is valid: keep it where its client asked for that.

        Args:
            operation: the operation's name.
        """
        if asked.document is None:
            return
        if self._shelf and asked.keep_as:
            content = asked.document.encode()
            if len(content) <= KEPT_BYTES_AT_MOST:
                now_s = time.time()
                await self._shelf.put(_key(asked.keep_as), Kept(content, now_s, now_s), keep_s=KEEP_S)
        if asked.unknown:
            self._warn(sha256(asked.document), operation)

    def _sent(self, document: str, hash_: str | None) -> Asked:
        if hash_ and self._trusted.by_id(hash_) == document:
            return Asked(document)
        if hash_ and sha256(document) != hash_:
            raise PersistedQueryMismatch
        if self._trust is Trust.OFF:
            return Asked(document, keep_as=hash_)
        if document in self._trusted:
            return Asked(document)
        if self._trust is Trust.ONLY:
            raise QueryNotInSafelist
        return Asked(document, keep_as=hash_, unknown=True)

    async def _known(self, hash_: str) -> Asked:
        if document := self._trusted.by_id(hash_):
            return Asked(document)
        if self._trust is Trust.ONLY:
            raise PersistedQueryNotInList
        if self._shelf is None:
            raise PersistedQueryNotSupported
        kept = await self._shelf.get(_key(hash_)) if _SHA256.fullmatch(hash_) else None
        if kept is None:
            raise PersistedQueryNotFound
        return Asked(kept.content.decode(), unknown=self._trust is Trust.WARN)

    def _warn(self, hash_: str, operation: str | None) -> None:
        now_s = time.time()
        if now_s - self._warned.get(hash_, float("-inf")) < WARN_EVERY_S:
            return
        log.warning("document.distrusted", sha256=hash_, operation=operation or "unnamed")
        self._warned[hash_] = now_s
        self._warned.move_to_end(hash_)
        if len(self._warned) > WARNED_AT_MOST:
            self._warned.popitem(last=False)


def _hash_in(extensions: Mapping[str, Any] | None) -> str | None:
    """The hash or id in the extension `persistedQuery`; None without that extension."""
    given = (extensions or {}).get("persistedQuery")
    if given is None:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("sha256Hash"), str) or not given["sha256Hash"]:
        raise PersistedQueryBroken('`persistedQuery` is {"version": 1, "sha256Hash": "…"}.')
    if given.get("version") != 1:
        raise PersistedQueryBroken("Unsupported persisted query version")  # Apollo's words
    hash_: str = given["sha256Hash"]
    return hash_


def _key(hash_: str) -> str:
    return f"document:{hash_}"
