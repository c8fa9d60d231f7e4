"""The call contract of each stored operation: the most upstream calls it may make, per service.

Worked out from the costs that its fields declare, with the largest pages that may be asked for, and kept in
`operations/contracts.json`, so that a change of price is seen in a diff. `metrics.py` counts what exceeds it.
"""

from functools import cache
from typing import Any

import orjson
from graphql import OperationDefinitionNode, parse

from bff.explain import explain
from bff.operations import stored_folder, stored_operations
from bff.schema import Schema

FILE = "contracts.json"
LARGEST = {"first": 100, "claimCount": 20}  # variables that set the size of a page
ANY_ID = "any"


@cache
def call_contracts() -> dict[str, dict[str, int]]:
    """Stored operation → service → calls at most; a service that is not asked is left out."""
    contracts: dict[str, dict[str, int]] = orjson.loads((stored_folder() / FILE).read_bytes())
    return contracts


def priced_contracts(schema: Schema) -> dict[str, dict[str, int]]:
    """What `contracts.json` must say."""
    return {
        name: {
            service: calls.at_most
            for service, calls in sorted(explain(schema, document, _largest(document)).services.items())
        }
        for name, document in sorted(stored_operations().items())
    }


def _largest(document: str) -> dict[str, Any]:
    operation = parse(document).definitions[0]
    assert isinstance(operation, OperationDefinitionNode), "a stored document begins with its operation"
    variables: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if name in LARGEST:
            variables[name] = LARGEST[name]
        elif definition.default_value is None and definition.type.kind == "non_null_type":
            variables[name] = ANY_ID  # an id, a number or a text: what it says does not change the price
    return variables
