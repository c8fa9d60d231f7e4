"""The stored operations with either executor, over the six services, well and failing."""

import re
from collections import Counter
from typing import Any

import orjson
import pytest
from graphql.execution import Executor
from read_operations import variables_for

from bff.sandbox.faults import SERVICES

# Times that are now, to the microsecond; how long a probe took, and a link that is signed anew.
NOW = re.compile(rb'"[\d-]{10}T[\d:]{8}\.\d{6}Z"|(?<="responseTimeMs":)[\d.]+|(?<="url":)"[^"]*"')
CLAIMS = 30


def comparable(data: Any) -> bytes:
    """Data without what depends on when it was asked for; with the order of its keys."""
    return NOW.sub(b"0", orjson.dumps(data))


@pytest.mark.parametrize("down", [None, *SERVICES])
async def test_either_executor_gives_the_same_answer(make_bff, down):
    """Whole screens: each field as it is declared in the graph, with a service missing as well."""
    levels = await make_bff(claims=CLAIMS, mcde_repaired=True)
    stock = await make_bff(world=levels.sandbox.world, mcde_repaired=True, executor="stock")
    for bff in (levels, stock):
        await bff.checked()
        if down:
            bff.sandbox.down.add(down)

    for operation, variables in variables_for(levels.sandbox.world).items():
        ours = await levels.ask(operation, **variables)
        theirs = await stock.ask(operation, **variables)
        assert comparable(ours.data) == comparable(theirs.data), operation
        assert told(ours.errors) == told(theirs.errors), operation
    assert levels.calls() == stock.calls()


def told(errors: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    return Counter((str(each["path"]), each["message"], each["extensions"]["code"]) for each in errors)


async def test_nothing_is_left_to_graphql_core_but_the_root(make_bff, monkeypatch):
    """A field that falls back costs ten times as much, and nobody would notice."""
    bff = await make_bff(claims=CLAIMS, mcde_repaired=True)
    executed: Counter[str] = Counter()
    execute_field = Executor.execute_field

    def counted(self: Any, parent_type: Any, source: Any, details: Any, path: Any, context: Any) -> Any:
        if path.prev is not None:
            executed[f"{parent_type.name}.{path.key}"] += 1
        return execute_field(self, parent_type, source, details, path, context)

    monkeypatch.setattr(Executor, "execute_field", counted)
    for operation, variables in variables_for(bff.sandbox.world).items():
        answer = await bff.ask(operation, **variables)
        assert answer.data, operation
    assert not executed

    await bff.ask("{ __schema { queryType { name } } }")  # the counting itself works: this is graphql-core's
    assert executed == {"__Schema.queryType": 1, "__Type.name": 1}
