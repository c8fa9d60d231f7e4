"""No operation asks the services more than it was priced at: whatever is asked, with whichever variables.

Each example is a document that hypothesis made from the schema, some of its arguments and conditions given by
variables, of which some are null, left out or wrong: see `random_variables.py`. `make drills` runs more of
them: `HYPOTHESIS_EXAMPLES`.
"""

from typing import Any

import anyio
import pytest
from bff_under_test import GraphAnswer, made_bffs
from hypothesis import given
from random_variables import asked
from test_no_unexplained_null import CLAIMS, documents, generated, plain_schema

from bff.rates import RateSettings


async def answered(document: str, variables: dict[str, Any]) -> tuple[GraphAnswer, int]:
    """The answer of a process that has kept nothing, and how many upstream calls it took."""
    async with made_bffs(patient=True) as make:
        bff = await make(claims=CLAIMS, mcde_repaired=True, rates=RateSettings(mode="off"))
        await bff.checked()
        bff.calls()
        answer = await bff.ask(document, headers={"x-cost": "1"}, **variables)
        return answer, sum(bff.calls().values())


@pytest.mark.timeout(600)
@generated
@given(asked=asked(documents(), plain_schema()))
def test_nothing_is_executed_beyond_its_price(asked: tuple[str, dict[str, Any]]) -> None:
    """An operation that is not priced, or too low, has no limit and no rate: one null was enough for that."""
    answer, calls = anyio.run(answered, *asked)

    if answer.data is None:  # of no operation, or the services were asked before what must not be null failed
        assert calls == 0 or answer.extensions["cost"]["requested"] >= calls, asked
    else:
        assert answer.extensions["cost"]["requested"] >= calls, asked
