"""`operations/contracts.json`: the price of each stored operation, where a diff shows it."""

import pytest
from read_operations import read_operations, variables_for

from bff.contracts import call_contracts, priced_contracts
from bff.operations import stored_operations
from bff.schema import build_schema


def test_the_file_says_what_the_graph_costs():
    """A field that became dearer must show in the file's diff before anybody merges it: `make contracts`."""
    assert call_contracts() == priced_contracts(build_schema())


def test_every_stored_operation_has_a_contract():
    """An operation without a contract is counted by nobody in production."""
    assert set(call_contracts()) == set(stored_operations())


@pytest.mark.parametrize("claims", [1, 10, 100])
async def test_no_operation_asks_more_than_its_contract(make_bff, claims):
    """The number of upstream calls does not grow with a list: the contract holds for 1, 10 and 100 claims."""
    # Mutations: test_mutations.py; subscriptions: integration/test_subscriptions.py.
    for operation in read_operations():
        contract = call_contracts()[operation]
        bff = await make_bff(claims=claims)  # a fresh one: nothing is answered from what another has asked
        await bff.ask(operation, **variables_for(bff.sandbox.world)[operation])

        exceeded = {name: count for name, count in bff.calls().items() if count > contract.get(name, 0)}

        assert (operation, exceeded) == (operation, {})
