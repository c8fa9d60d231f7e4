"""The outage drill: whatever fails, each screen answers in time, with all it can have and why not more.

Every stored read operation, with each of the six services broken in each way, alone and together. What must
hold of each answer is in `explained.py`.

A service that hangs is left here at its own limit, and the others are waited for: on a busy machine one that
is well would be late as well, and be accused rightly. With everything hanging nobody is well, and the
operation's budget ends it. One of six that hangs to the end of the budget: `tests/load/test_fault_matrix.py`.
"""

import asyncio
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bff_under_test import limits
from explained import complaints
from graphql import GraphQLSchema, build_schema, parse
from late import LATE_S
from read_operations import variables_for

from bff.operations import stored_operations
from bff.sandbox.faults import SERVICES
from bff.sandbox.seed import SELLERS

CODE_OF = {
    "down": "SERVICE_UNAVAILABLE",
    "hang": "SERVICE_TIMEOUT",
    "error": "SERVICE_FAILED",
    "garbage": "SERVICE_CONTRACT_BROKEN",
}
OUTAGES = [
    *((service,) for service in SERVICES),
    ("refund-engine", "stripe"),
    ("integrations", "cost-docs"),
    SERVICES,
]
CLAIMS = 30
BUDGET_S = 1.0
PATIENT_BUDGET_S = 30.0
AT_ONCE = 3  # operations: enough to share the waiting for a service that hangs


@cache
def published_schema() -> GraphQLSchema:
    """The schema as clients know it, with the directives that say who is asked."""
    text = (Path(__file__).parents[2] / "schema.graphql").read_text()
    # The federation's own directives are the router's to define.
    return build_schema(text, assume_valid=True)


def named(outage: tuple[str, ...]) -> str:
    return "everything" if outage == SERVICES else "+".join(outage)


def unexplained(operation: str, healthy: Any, answer: Any, failed: dict[str, str]) -> list[str]:
    """What an answer to a stored operation leaves unexplained."""
    document = parse(stored_operations()[operation])
    return complaints(published_schema(), document, healthy.data, answer.data, answer.errors, failed)


@pytest.mark.parametrize("fault", CODE_OF)
@pytest.mark.parametrize("outage", OUTAGES, ids=named)
async def test_every_read_explains_an_outage(make_bff, outage, fault):
    """One service's outage costs its own fields, each with the reason beside it, and never the screen."""
    well = await make_bff(claims=CLAIMS, mcde_repaired=True)
    variables = variables_for(well.sandbox.world)
    healthy = {operation: await well.ask(operation, **variables[operation]) for operation in variables}
    assert {operation: answer.errors for operation, answer in healthy.items() if answer.errors} == {}
    # A process of its own, which has nothing of this seller from before the outage to show instead.
    hanging, all_hang = (outage, outage == SERVICES) if fault == "hang" else ((), False)
    left_soon = {} if all_hang else limits(hanging, well.settings)
    bff = await make_bff(world=well.sandbox.world, mcde_repaired=True, **left_soon)
    for operation, others in variables_for(well.sandbox.world, SELLERS[1]).items():
        await bff.ask(operation, seller=SELLERS[1], **others)  # it is warm, and knows the other seller's
    for service in outage:
        bff.sandbox.faults[service] = fault
    failed = dict.fromkeys(outage, CODE_OF[fault])
    budget_s = BUDGET_S if all_hang else PATIENT_BUDGET_S
    places = asyncio.Semaphore(AT_ONCE if hanging else 1)

    async def received(operation: str) -> tuple[Any, float]:
        async with places:
            started_s = time.perf_counter()
            answer = await bff.ask(operation, budget_ms=int(budget_s * 1000), **variables[operation])
            return answer, time.perf_counter() - started_s

    def faults_in(operation: str, answer: Any, took_s: float) -> list[str]:
        faults = unexplained(operation, healthy[operation], answer, failed)
        if answer.status != 200:
            faults.append(f"status {answer.status}")
        if took_s > BUDGET_S + LATE_S:  # nobody waits for the patient budget, with a service that is left
            faults.append(f"took {took_s:.2f} s")
        return faults

    # Judged when all are there: to read the schema takes a second, and the others would be late for it.
    answers = zip(variables, await asyncio.gather(*map(received, variables)), strict=True)
    found = {operation: faults_in(operation, *told) for operation, told in answers}

    assert {operation: faults for operation, faults in found.items() if faults} == {}


def forget_the_error(answer: Any) -> None:
    answer.errors.clear()


def tell_it_twice(answer: Any) -> None:
    answer.errors.append(answer.errors[0])


def accuse_another(answer: Any) -> None:
    answer.errors[0]["extensions"]["service"] = "mcde"


def say_another_code(answer: Any) -> None:
    answer.errors[0]["extensions"]["code"] = "SERVICE_TIMEOUT"


def say_more_than_agreed(answer: Any) -> None:
    answer.errors[0]["extensions"]["said"] = "ECONNREFUSED 10.0.0.7:4000"


def point_beside_it(answer: Any) -> None:
    answer.errors[0]["path"] = ["claim", "documents"]


def lose_what_was_well(answer: Any) -> None:
    answer.data["claim"]["submission"] = None


def invent_a_zero(answer: Any) -> None:
    answer.data["claim"]["claimedAmount"]["amount"] = "0.00"


def cut_a_list(answer: Any) -> None:
    answer.data["claim"]["documents"]["nodes"].pop()


def hide_the_gap(answer: Any) -> None:
    answer.data["claim"]["timeline"]["missingServices"].clear()


def fill_the_gap(answer: Any) -> None:
    answer.data["claim"]["timeline"]["edges"][0]["node"]["note"] = "Paid."


@pytest.mark.parametrize(
    "tamper",
    [
        forget_the_error,
        tell_it_twice,
        accuse_another,
        say_another_code,
        say_more_than_agreed,
        point_beside_it,
        lose_what_was_well,
        invent_a_zero,
        cut_a_list,
        hide_the_gap,
        fill_the_gap,
    ],
)
async def test_the_drill_itself(bff, tamper):
    """A drill that overlooks a dishonest answer would vouch for it."""
    variables = variables_for(bff.sandbox.world)["CaseDetail"]
    healthy = await bff.ask("CaseDetail", **variables)
    bff.sandbox.down.add("stripe")
    answer = await bff.ask("CaseDetail", **variables)
    failed = {"stripe": "SERVICE_UNAVAILABLE"}
    assert unexplained("CaseDetail", healthy, answer, failed) == []

    tamper(answer)

    assert unexplained("CaseDetail", healthy, answer, failed) != []
