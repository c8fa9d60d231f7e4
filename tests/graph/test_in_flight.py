"""Identical queries that are in flight at once are executed once: for one viewer, and for nobody else."""

import asyncio
import uuid
from typing import Any

import pytest
from write_operations import new_claim

from bff.execution.executor import LevelExecutor
from bff.sandbox.seed import SELLERS

QUERY = "query ($first: Int!) { claims(first: $first) { nodes { id submission { status } } } }"

SLOW = "slow:1500"  # a busy process lets two requests of a viewer begin in each quarter of a second


@pytest.fixture
def executed(monkeypatch) -> list[Any]:
    """The operations that were executed."""
    found = []
    build = LevelExecutor.build.__func__

    def counted(cls: Any, *given: Any, **named: Any) -> Any:
        executor = build(cls, *given, **named)
        found.append(executor.operation)
        return executor

    monkeypatch.setattr(LevelExecutor, "build", classmethod(counted))
    return found


async def test_many_tabs_of_one_viewer_are_one_execution(bff, executed):
    """Each has its own support code, and the answer that it would have had alone."""
    bff.sandbox.faults["refund-engine"] = SLOW
    answers = await asyncio.gather(*(bff.ask(QUERY, first=3) for _ in range(8)))

    assert len(executed) == 1
    assert answers[0].data["claims"]["nodes"]
    assert [answer.data for answer in answers] == [answers[0].data] * 8
    assert bff.calls() == {"refund-engine": 1, "integrations": 1}


async def test_each_is_told_what_failed(bff, executed):
    """An error names its own request, and requests are counted once."""
    bff.sandbox.faults["refund-engine"] = SLOW
    bff.sandbox.down.add("integrations")
    answers = await asyncio.gather(*(bff.ask(QUERY, first=3) for _ in range(4)))

    assert len(executed) == 1
    for answer in answers:
        assert [error["extensions"]["code"] for error in answer.errors] == ["SERVICE_UNAVAILABLE"] * 3
        assert "MISSING" in [use["state"] for use in answer.extensions["upstreams"]]
    assert len({answer.errors[0]["extensions"]["supportCode"] for answer in answers}) == 4
    attempts = [sum(use["attempts"] for use in answer.extensions["upstreams"]) for answer in answers]
    assert sum(attempts) == max(attempts) > 0, "what one has sent is told to one"


@pytest.mark.parametrize(
    "other",
    [
        {"seller": SELLERS[1]},
        {"first": 4},
        {"budget_ms": 3000},
        {"headers": {"x-coalesce": "no"}},
    ],
    ids=["another viewer", "other variables", "another budget", "a client that wants its own"],
)
async def test_what_differs_is_executed_apart(bff, executed, other):
    """Another viewer above all: nobody is shown what somebody else asked for."""
    own, others = await asyncio.gather(bff.ask(QUERY, first=3), bff.ask(QUERY, **{"first": 3, **other}))

    assert len(executed) == 2
    assert own.errors == others.errors == []
    if "seller" in other:
        ids = [{node["id"] for node in answer.data["claims"]["nodes"]} for answer in (own, others)]
        assert not ids[0] & ids[1]


async def test_variables_beyond_comparing_are_executed_apart(bff, executed):
    """What nobody can compare is no reason to refuse, and none to break."""
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    answers = await asyncio.gather(*(bff.ask("{ viewer { userId } }", unused=deep) for _ in range(2)))
    assert [answer.errors for answer in answers] == [[], []]
    assert len(executed) == 2


async def test_one_after_the_other_are_two(bff, executed):
    """An answer is shared while it is being made, and never kept."""
    for _ in range(2):
        await bff.ask(QUERY, first=3)
    assert len(executed) == 2


async def test_mutations_never_share(bff, executed):
    """The receipt of the key sees to it that both do it once; an answer that was shared proves nothing."""
    given = new_claim(idempotencyKey=str(uuid.uuid4()))
    await asyncio.gather(*(bff.ask("CreateClaim", input=given) for _ in range(2)))
    assert len(executed) == 2


async def test_what_was_written_is_in_whatever_is_asked_after_it(bff, executed):
    """A refetch that joined a query from before the mutation would show the text from before it."""
    claim_id = (await bff.ask("{ claims(first: 1) { nodes { id } } }")).data["claims"]["nodes"][0]["id"]
    query = "query ($id: ID!) { claim(id: $id) { description documents { totalCount } } }"
    bff.sandbox.faults["cost-docs"] = "slow:2000"
    own = asyncio.create_task(bff.ask(query, id=claim_id))
    others = asyncio.create_task(bff.ask(QUERY, first=2, seller=SELLERS[1]))
    await asyncio.sleep(0.3)  # it has read the claim, and waits for its documents

    written = await bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "Found in a box."})
    again = await bff.ask(query, id=claim_id)

    assert written.data["updateClaim"]["claim"]["description"] == "Found in a box."
    assert again.data["claim"]["description"] == "Found in a box."
    assert (await own).data["claim"]["documents"], "whoever waited is answered"
    assert (await others).errors == []


async def test_when_the_first_leaves_the_others_are_answered(bff, executed):
    """Its work is ended, as it is its own; one of those that wait begins anew."""
    bff.sandbox.faults["refund-engine"] = SLOW
    first = asyncio.create_task(bff.ask(QUERY, first=3))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(bff.ask(QUERY, first=3)) for _ in range(3)]
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    answers = await asyncio.gather(*others)

    assert all(answer.data["claims"]["nodes"] and not answer.errors for answer in answers)
    assert len(executed) == 2
