"""A request for each row of the table, made from the row: a new row is asked without a word here."""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from bff_under_test import Bff
from read_operations import detections_of, richest_claim, uploaded_document
from write_operations import claim_to_file, running_sync

from bff.app import dev_token
from bff.dev_issuer import DevIssuer
from bff.rest.row import Row
from bff.rest.values import Source
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Seller, World

UNKNOWN = {
    "Claim": "5e11e200-dead-4000-8000-000000000000",
    "DetectionRun": "sync-1700000000000-unknown",
    "Document": "5e11e200-dead-4000-8000-000000000000",
    "ServiceHealth": "orchestrator",
    "Sync": "sync-1700000000000-unknown",
}


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: Mapping[str, str]
    query: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    def saying(self, source: Source, said: Any) -> "Request":
        """The same request, with something else said in one place."""
        return replace(self, **{source.place: {**getattr(self, source.place), source.name: said}})


def keys_of(world: World, seller: Seller) -> dict[str, str]:
    """Type → the key of an object that is the seller's, the one with the most to it."""
    claim = richest_claim(world, seller)
    found_in = Counter(row["sync_id"] for row in detections_of(world, seller))
    sync_id = found_in.most_common(1)[0][0]
    return {
        "Claim": claim["id"],
        "DetectionRun": sync_id,
        "Document": uploaded_document(world, claim, by=seller.user_id)["id"],
        "ServiceHealth": "refund-engine",
        "Sync": sync_id,
    }


def keys_to_change(world: World, seller: Seller) -> dict[str, str]:
    """Type → the key of an object of the seller's with which something can be done."""
    return {"Claim": claim_to_file(world, seller)["id"], "Sync": running_sync(world, seller)["sync_id"]}


def ended_sync(world: World, seller: Seller) -> str:
    """The key of a sync that cannot be stopped any more."""
    rows = [row for row in world.syncs.values() if row["user_id"] == seller.user_id]
    return str(next(row["sync_id"] for row in rows if row["status"] == "completed"))


def request_for(row: Row, keys: Mapping[str, str]) -> Request:
    """A request that says what must be said, and chooses just this row."""
    request = Request(row.method, {})
    for value in row.variables.values():
        if value.sources and (value.required or value.sources[0].name == row.when):
            request = request.saying(value.sources[0], _said(value.identifies, value.schema, keys))
    return request


def _said(type_name: str | None, schema: Mapping[str, Any], keys: Mapping[str, str]) -> Any:
    if type_name is not None:
        return keys[type_name]
    return schema["enum"][0] if "enum" in schema else str(uuid.uuid4())


def wrong_requests(row: Row, keys: Mapping[str, str]) -> Iterator[tuple[str, Request]]:
    """Requests that no row may accept, each with what is wrong."""
    good = request_for(row, keys)
    yield "an unknown parameter", good.saying(Source("query", "claim_type"), "lost")
    if row.method == "POST":
        yield "an unknown field", good.saying(Source("body", "claim_type"), "lost")
    for value in row.values:
        silent = good
        for source in value.sources if value.sources and value.sources[0].place != "path" else ():
            silent = silent.saying(source, None)
        if value.required and silent is not good and value.sources[0].name != row.when:
            yield f"no {value.sources[0].name}", silent
        for source in value.sources:
            for said in _wrong(row, value.schema, source):
                yield f"{source.name}={said!r}", silent.saying(source, said)
            if source.place == "query":
                yield f"{source.name} twice", silent.saying(source, ["1", "1"])


def _wrong(row: Row, schema: Mapping[str, Any], source: Source) -> Iterator[Any]:
    if "enum" in schema:
        yield from ("unknown", "nonsense", "é", "x" * 5000)
    elif schema["type"] == "integer":
        yield from ("-1", "x", "1.5", "1e1", "²", "9" * 10, *(["0", "101"] if "maximum" in schema else []))
    elif schema["type"] == "boolean":
        yield from ("true", 1, [])
    elif schema["description"].startswith("Refused"):
        yield "true"
    elif row.changes and source.place != "header":
        pass  # an id that is none is a person's mistake in a mutation: 422
    elif source.place == "path" and row.asks:
        yield from ("nonsense", "1", "'", "x" * 2000)
    elif source.place != "path":
        yield from ("nonsense", "1")
    if source.place == "body":
        yield from (["x"], {"x": 1})


def token_of(bff: Bff, **changed: Any) -> str:
    """A token of the first seller, but for what is given."""
    seller = SELLERS[0]
    usual = {
        "user_id": seller.user_id,
        "email": seller.email,
        "name": seller.name,
        "stripe_user_id": seller.stripe_user_id,
    }
    return DevIssuer(bff.settings.jwt_secret).token(**{**usual, **changed})


async def send(
    bff: Bff, row: Row, request: Request, *, seller: Seller = SELLERS[0], token: str | None = None
) -> httpx.Response:
    """Send a request as a seller, or with some other token; without any when that is empty."""
    bearer = dev_token(bff.settings, seller) if token is None else token
    path = row.path
    for name, said in request.path.items():
        path = path.replace(f"{{{name}}}", said)
    return await bff.http.request(
        request.method,
        path,
        params={name: said for name, said in request.query.items() if said is not None},
        json={name: said for name, said in request.body.items() if said is not None} or None,
        headers={
            **({"authorization": f"Bearer {bearer}"} if bearer else {}),
            **{name: said for name, said in request.header.items() if said is not None},
        },
    )
