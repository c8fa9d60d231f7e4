"""No unexplained null, whatever is asked and whatever fails: documents nobody wrote, faults nobody planned.

Each example is a document that hypothesis made from the schema, with ids and cursors of this world or none,
and a fault or none on each service. The answer is compared with that to the same document when all was well.
`make drills` runs more of them: `HYPOTHESIS_EXAMPLES`.
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import anyio
import pytest
from bff_under_test import limits, running
from explained import complaints
from graphql import (
    REMOVE,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    IntValueNode,
    NameNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Visitor,
    build_ast_schema,
    parse,
    print_ast,
    print_schema,
    visit,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import nodes, queries
from read_operations import claims_of, detections_of, payments_of, uploads_of
from test_outages import published_schema

from bff.app import create_dev_app
from bff.cli import dev_settings
from bff.sandbox.faults import SERVICES
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.schema import build_schema
from resolvers.connections import cursor
from resolvers.global_ids import global_id

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "60"))
generated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # examples are small as they are, and shrinking them takes minutes
)
CLAIMS = 12
LEVELS_AT_MOST = 7  # of selection sets; deeper ones are cut
BUDGET_S = 30.0  # a service that hangs is left long before; on a busy machine the others need some of it
FAULTS = ("ok", "ok", "ok", "down", "hang", "error", "garbage", "rate-limited")
CODES = {
    "down": {"SERVICE_UNAVAILABLE", "CIRCUIT_OPEN"},
    "hang": {"SERVICE_TIMEOUT", "CIRCUIT_OPEN"},
    "error": {"SERVICE_FAILED", "CIRCUIT_OPEN"},
    "garbage": {"SERVICE_CONTRACT_BROKEN"},
    "rate-limited": {"RATE_LIMITED"},
}
ANY_FAILURE = "SERVICE_UNAVAILABLE"  # what `complaints` is told, once the real code was judged here
CLIENTS_OWN = {"BAD_USER_INPUT", "FORBIDDEN"}  # the same whether services are well or not


@cache
def plain_schema() -> GraphQLSchema:
    """The graph without federation's own fields and directives, which hypothesis-graphql does not read."""

    class Federation(Visitor):
        def enter(self, node: Any, *_: Any) -> Any:
            if node.kind in ("directive", "directive_definition", "schema_definition", "schema_extension"):
                return REMOVE
            own = isinstance(getattr(node, "name", None), NameNode) and node.name.value.startswith(
                ("_", "link__")
            )
            return REMOVE if own and node.kind.endswith("_definition") else None

    return build_ast_schema(visit(parse(print_schema(build_schema()._schema)), Federation()))


@cache
def ids() -> list[str]:
    """Ids of the first seller's things, of the second's, and of nothing."""
    world = seed(CLAIMS)
    found = []
    for seller in SELLERS:
        [sync_id, *_] = [row["sync_id"] for row in world.syncs.values() if row["user_id"] == seller.user_id]
        found += [
            *(global_id("Claim", row["id"]) for row in claims_of(world, seller)[:4]),
            *(global_id("Detection", row["id"]) for row in detections_of(world, seller)[:2]),
            *(global_id("Document", row["id"]) for row in uploads_of(world, seller)[:3]),
            *(global_id("Payment", row["id"]) for row in payments_of(world, seller)[:2]),
            *(global_id(kind, sync_id) for kind in ("Sync", "DetectionRun")),
        ]
    return [*found, global_id("ServiceHealth", "mcde"), global_id("Integration", "AMAZON"), "rubbish", ""]


@cache
def values() -> dict[str, st.SearchStrategy[Any]]:
    """Argument → what to give it, where a made-up value would nearly always be refused."""
    numbers = [row["case_number"] for row in claims_of(seed(CLAIMS), SELLERS[0])]
    return {
        "id": st.sampled_from(ids()).map(nodes.String),
        "caseNumber": st.sampled_from([*numbers[:4], "CASE-1900-000001"]).map(nodes.String),
        "after": st.sampled_from([cursor(0), cursor(3), "rubbish"]).map(nodes.String),
        "query": st.sampled_from(["kitchen", "toys", "ü", "a" * 101]).map(nodes.String),
        "first": st.sampled_from([1, 3, 20, 100, 0, 101]).map(nodes.Int),
    }


@cache
def timeline_selection() -> SelectionSetNode:
    text = "{ asOf totalCount missingServices edges { node { id type service outcome } } }"
    [operation] = parse(text).definitions
    assert isinstance(operation, OperationDefinitionNode)
    return operation.selection_set


@st.composite
def documents(draw: st.DrawFn, schema: GraphQLSchema | None = None) -> DocumentNode:
    """A query of the graph with values that make sense, or nearly, cut where it grows too deep."""
    made = draw(
        queries(
            schema or plain_schema(),
            custom_scalars={"DateTime": st.just(nodes.String("2026-01-01T00:00:00Z"))},
            print_ast=lambda document: document,
        )
    )
    assert isinstance(made, DocumentNode)

    class Fitting(Visitor):
        level = 0

        def enter_selection_set(self, node: SelectionSetNode, *_: Any) -> Any:
            self.level += 1
            if self.level < LEVELS_AT_MOST:
                return None
            self.level -= 1  # it is not left again
            return SelectionSetNode(selections=(FieldNode(name=NameNode(value="__typename")),))

        def leave_selection_set(self, *_: Any) -> None:
            self.level -= 1

        def enter_field(self, node: FieldNode, *_: Any) -> Any:
            if node.name.value != "timeline":
                return None
            # On a page of it others move up for what is missing, and `explained.py` reads what is missing.
            return FieldNode(
                alias=node.alias,
                name=node.name,
                arguments=(ArgumentNode(name=NameNode(value="first"), value=IntValueNode(value="100")),),
                selection_set=timeline_selection(),
            )

        def leave_argument(self, node: ArgumentNode, *_: Any) -> Any:
            fitting = values().get(node.name.value)
            if fitting is None or (isinstance(node.value, IntValueNode) and node.value.value == "100"):
                return None
            return ArgumentNode(name=node.name, value=draw(fitting))

    fitted: DocumentNode = visit(made, Fitting())
    return fitted


def refused(errors: list[dict[str, Any]]) -> set[tuple[tuple[str | int, ...], str]]:
    """Path and code of the errors that are the client's own."""
    return {
        (tuple(error.get("path") or ()), error["extensions"]["code"])
        for error in errors
        if error["extensions"]["code"] in CLIENTS_OWN
    }


def unexplained(document: DocumentNode, healthy: Any, answer: Any, faults: dict[str, str]) -> Iterator[str]:
    """What an answer under faults leaves unexplained, or invents."""
    everything = [*healthy.errors, *answer.errors]
    yield from (f"{error}" for error in everything if error["extensions"]["code"] == "INTERNAL_SERVER_ERROR")
    if invented := refused(answer.errors) - refused(healthy.errors):
        yield f"refused {invented}, and not when all is well"
    if healthy.data is None or answer.data is None:
        if healthy.data is not answer.data:
            yield f"data is {answer.data}, and {healthy.data} when all is well"
        return
    theirs = [error for error in answer.errors if error["extensions"]["code"] not in CLIENTS_OWN]
    for error in theirs:
        service, code = error["extensions"]["service"], error["extensions"]["code"]
        if code not in CODES.get(faults[service], set()):
            yield f"{error['path']} says {code} of {service}, which is {faults[service]}"
    missing = {use["service"] for use in answer.extensions.get("upstreams", []) if use["state"] == "MISSING"}
    missing |= {error["extensions"]["service"] for error in theirs}
    retryable = {"code": ANY_FAILURE, "retryable": True}
    found = complaints(
        published_schema(),
        document,
        healthy.data,
        answer.data,
        [error | {"extensions": error["extensions"] | retryable} for error in theirs],
        dict.fromkeys(missing, ANY_FAILURE),
    )
    # `Query.node` names no service: its owner follows from the id. Nothing else at the root is like it.
    yield from (each for each in found if not re.fullmatch(r"\w+ (is null|has an error).*\[\]", each))


async def answered_with_faults(text: str, faults: dict[str, str], *, warm: bool) -> list[str]:
    """Ask when all is well and with faults, two processes or one that has kept the first answer."""
    hanging, world = {service for service, fault in faults.items() if fault == "hang"}, seed(CLAIMS)
    told = dev_settings().model_copy(update={"operation_budget_s": BUDGET_S})
    told = told.model_copy(update=limits(hanging, told))

    async def process() -> Any:
        sandbox = Sandbox(world, mcde_repaired=True)
        return running(create_dev_app(sandbox, told, seller=SELLERS[0]), sandbox, told)

    async with await process() as well, await process() as other:
        healthy = await well.ask(text)
        failing = well if warm else other
        for service, fault in faults.items():
            failing.sandbox.faults[service] = fault
        answer = await failing.ask(text)
    return [*unexplained(parse(text), healthy, answer, faults)]


@pytest.mark.timeout(600)
@generated
@given(
    document=documents().map(print_ast),
    faults=st.fixed_dictionaries({service: st.sampled_from(FAULTS) for service in SERVICES}),
    warm=st.booleans(),
)
def test_no_null_without_its_error(document: str, faults: dict[str, str], warm: bool) -> None:
    """No null without its error, no error without its null, and never a broken BFF, whatever is asked."""
    found = anyio.run(lambda: answered_with_faults(document, faults, warm=warm))

    assert not found, f"{found}\n{document}"
