"""The documents that we trust: our own stored operations, and those that clients were built with.

A manifest is Apollo's, as `generate-persisted-query-manifest` writes it:

    {"format": "apollo-persisted-query-manifest", "version": 1,
     "operations": [{"id": "…", "name": "…", "type": "query", "body": "…"}]}

or a plain map of ids to documents, as GraphQL code generator writes it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from graphql import GraphQLError, OperationDefinitionNode, parse

FORMAT = "apollo-persisted-query-manifest"
VERSION = 1


class Trust(StrEnum):
    """What becomes of a document that is not trusted."""

    OFF = "off"  # it runs
    WARN = "warn"  # it runs, and the log names it
    ONLY = "only"  # it is refused


class BadManifest(Exception):
    """A manifest that cannot be used. The message names the file and the entry."""


class TrustedDocuments:
    """Documents by their ids, and by their hashes: automatic persisted queries know no other id."""

    def __init__(self, by_id: Mapping[str, str]) -> None:
        by_hash = {sha256(document): document for document in by_id.values()}
        self._hashes = frozenset(by_hash)
        self._by_id = {**by_hash, **by_id}

    def by_id(self, id: str) -> str | None:
        """The document of an id or a hash; None when it has none."""
        return self._by_id.get(id)

    def __contains__(self, document: str) -> bool:
        """Whether the document is one of them, to the letter: nothing is parsed to find out."""
        return sha256(document) in self._hashes


def sha256(document: str) -> str:
    """The hash by which clients know a document, in hex."""
    return hashlib.sha256(document.encode()).hexdigest()


def trusted_documents(own: Iterable[str], manifest: Path | None) -> TrustedDocuments:
    """Our own documents, always trusted, under their hashes; and those of a manifest, where there is one.

    Raises:
        BadManifest: it cannot be read, or an entry of it cannot.
    """
    read = read_manifest(manifest) if manifest else {}
    return TrustedDocuments({**read, **{sha256(document): document for document in own}})


def read_manifest(path: Path) -> dict[str, str]:
    """The documents of a manifest, by their ids.

    Raises:
        BadManifest: it cannot be read, or an entry of it cannot.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as exc:
        raise BadManifest(f"{path}: cannot be read: {exc.strerror}") from exc
    except orjson.JSONDecodeError as exc:
        raise BadManifest(f"{path}: is not JSON: {exc}") from exc
    documents: dict[str, str] = {}
    for entry, key, body in _entries(path, content):
        if not isinstance(key, str) or not key or not isinstance(body, str):
            raise BadManifest(f"{path}: {entry} has no id or no document; both are text")
        if documents.setdefault(key, body) != body:
            raise BadManifest(f"{path}: {entry} has the id of another document, {key}")
        try:
            definitions = parse(body, no_location=True).definitions
        except GraphQLError as exc:
            raise BadManifest(f"{path}: the document of {entry} is not GraphQL: {exc.message}") from exc
        if not any(isinstance(definition, OperationDefinitionNode) for definition in definitions):
            raise BadManifest(f"{path}: the document of {entry} holds no operation")
    if not documents:
        raise BadManifest(f"{path}: holds no operations")
    return documents


def manifest_of(operations: Mapping[str, str]) -> dict[str, Any]:
    """A manifest, in Apollo's format, of documents of one operation each, by their names."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "operations": [
            {"id": sha256(body), "name": name, "type": _operation_type(body), "body": body}
            for name, body in sorted(operations.items())
        ],
    }


def _operation_type(document: str) -> str:
    return next(
        definition.operation.value
        for definition in parse(document, no_location=True).definitions
        if isinstance(definition, OperationDefinitionNode)
    )


def _entries(path: Path, content: object) -> Iterator[tuple[str, object, object]]:
    """What to call each entry, its id and its document; whatever these are."""
    if not isinstance(content, dict):
        raise BadManifest(f"{path}: a manifest is a JSON object")
    if "operations" not in content and "format" not in content:
        yield from ((f"entry {key!r}", key, body) for key, body in content.items())
        return
    if (content.get("format"), content.get("version")) != (FORMAT, VERSION):
        raise BadManifest(f'{path}: is not of the format "{FORMAT}", version {VERSION}')
    if not isinstance(content.get("operations"), list):
        raise BadManifest(f"{path}: `operations` is not a list")
    for place, given in enumerate(content["operations"]):
        operation = given if isinstance(given, dict) else {}
        yield f"operation {place} ({operation.get('name')!r})", operation.get("id"), operation.get("body")
