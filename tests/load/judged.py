"""Judges an answer given while services failed: what `explained.py` holds, and what stale answers owe.

On top of the nulls and their errors:

- a service that failed is STALE, MISSING or CACHED in `extensions.upstreams`, one that was well is not
- what is stale has the time it was received, not the time it was asked for
- no service is asked more often than the call contract says, nor tried more than twice for one question
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from explained import complaints
from graphql import FieldDefinitionNode, GraphQLObjectType, StringValueNode, parse
from test_outages import published_schema

from bff.operations import stored_operations

ATTEMPTS_AT_MOST = 2  # of one question
CODES = {
    "down": {"SERVICE_UNAVAILABLE", "CIRCUIT_OPEN"},
    "hang": {"SERVICE_TIMEOUT", "CIRCUIT_OPEN"},
    "slow:2000": {"SERVICE_TIMEOUT", "CIRCUIT_OPEN"},
    "error": {"SERVICE_FAILED", "CIRCUIT_OPEN"},
    "garbage": {"SERVICE_CONTRACT_BROKEN"},
    "rate-limited": {"RATE_LIMITED"},
    "flapping": {"SERVICE_UNAVAILABLE", "CIRCUIT_OPEN"},
}
NOT_RETRYABLE = {"SERVICE_CONTRACT_BROKEN"}
SOMETIMES_LIVE = {"flapping"}
ANY_FAILURE = "SERVICE_UNAVAILABLE"  # what `complaints` is told, once the real code was judged here


@dataclass(frozen=True)
class Received:
    """The body of an answer, and how long it took."""

    body: dict[str, Any]
    took_s: float

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(self.body.get("errors", []))

    @property
    def uses(self) -> dict[str, dict[str, Any]]:
        """What was asked of each service, by its slug."""
        return {use["service"]: use for use in self.body.get("extensions", {}).get("upstreams", [])}


def unexplained(
    document: str, healthy: Any, received: Received, fault: str, failed: Collection[str]
) -> list[str]:
    """What an answer's nulls and errors leave unexplained while `failed` have `fault`."""
    found = [*_wrong_codes(received, fault, failed)]
    named = {error["extensions"].get("service") for error in received.errors}
    missing = {name for name, use in received.uses.items() if use["state"] == "MISSING"}
    accused = {service for service in failed if service in named | missing}
    found += complaints(
        published_schema(),
        parse(stored_operations().get(document, document)),
        healthy,
        received.body["data"],
        [_with_any_code(error) if _service(error) in failed else error for error in received.errors],
        dict.fromkeys(accused, ANY_FAILURE),
    )
    if fault in SOMETIMES_LIVE:  # one of its calls may have failed, and the timeline's have succeeded
        found = [each for each in found if ".timeline misses" not in each and ".timeline counts" not in each]
        found += _wrong_timelines(received.body["data"], failed)
    return found


def unmarked(
    received: Received, fault: str, failed: Collection[str], failed_since: datetime
) -> Iterator[str]:
    """What an answer does not say of how fresh it is."""
    for service, use in received.uses.items():
        may_be = {"LIVE", "CACHED"}
        if service in failed:
            may_be = {"STALE", "MISSING", "CACHED"} | ({"LIVE"} if fault in SOMETIMES_LIVE else set())
        if use["state"] not in may_be:
            yield f"{service} is {use['state']}"
    if fault not in SOMETIMES_LIVE:
        for key, as_of in _answered_at(received.body["data"]):
            if _owner_of(key) in failed and as_of >= failed_since:
                yield f"{key} is as of {as_of}, and its owner failed at {failed_since}"


def overasked(received: Received, at_most: Mapping[str, int]) -> Iterator[str]:
    """Where a service was asked more often than the operation's contract allows."""
    for service, use in received.uses.items():
        if use["calls"] > at_most[service]:
            yield f"{service} was asked {use['calls']} questions, and {at_most[service]} are allowed"
        if use["attempts"] > use["calls"] * ATTEMPTS_AT_MOST:
            yield f"{service} got {use['attempts']} requests for {use['calls']} questions"


def _wrong_codes(received: Received, fault: str, failed: Collection[str]) -> Iterator[str]:
    for error in received.errors:
        code, retryable = error["extensions"]["code"], error["extensions"]["retryable"]
        if _service(error) in failed and code not in CODES[fault]:
            yield f"{error['path']} says {code} of {_service(error)}, which has {fault}"
        if retryable is (code in NOT_RETRYABLE):
            yield f"{error['path']} says {code} and retryable: {retryable}"
        if code == "RATE_LIMITED" and not error["extensions"]["retryAfterMs"]:
            yield f"{error['path']} says {code} and not when to come back"


def _wrong_timelines(data: Any, failed: Collection[str]) -> Iterator[str]:
    if isinstance(data, dict):
        missing = data.get("missingServices", [])
        if not set(missing) <= set(failed) or (
            "missingServices" in data and bool(missing) is not (data["totalCount"] is None)
        ):
            yield f"a timeline misses {missing}, and counts {data['totalCount']}"
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _wrong_timelines(each, failed)


def _with_any_code(error: dict[str, Any]) -> dict[str, Any]:
    return error | {"extensions": error["extensions"] | {"code": ANY_FAILURE, "retryable": True}}


def _service(error: dict[str, Any]) -> str | None:
    service: str | None = error["extensions"].get("service")
    return service


def _answered_at(data: Any) -> Iterator[tuple[str, datetime]]:
    """The key and the `asOf` of each object that has one."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, dict) and value.get("asOf"):
                yield key, datetime.fromisoformat(value["asOf"])
            yield from _answered_at(value)
    elif isinstance(data, list):
        for item in data:
            yield from _answered_at(item)


@cache
def _owner_of(name: str) -> str | None:
    """The one service behind every field of this name; None where there are several."""
    services = {
        argument.value.value
        for kind in published_schema().type_map.values()
        if isinstance(kind, GraphQLObjectType) and name in kind.fields
        for directive in (kind.fields[name].ast_node or FieldDefinitionNode()).directives or ()
        if directive.name.value == "upstream"
        for argument in directive.arguments
        if isinstance(argument.value, StringValueNode)
    }
    return services.pop() if len(services) == 1 else None
