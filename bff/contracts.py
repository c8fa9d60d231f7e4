"""The call contract of each stored operation: the most upstream calls it may make, per service.

Worked out from the costs that its fields declare, with the largest pages that may be asked for, and kept in
`operations/contracts.json`, so that a change of price is seen in a diff. `metrics.py` counts what exceeds it.
"""

from functools import cache
from typing import Any
from uuid import UUID

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    OperationDefinitionNode,
    get_nullable_type,
    is_input_type,
    is_required_input_field,
    parse,
    type_from_ast,
)

from bff.explain import explain
from bff.operations import stored_folder, stored_operations
from bff.schema import Schema

FILE = "contracts.json"
LARGEST = {"first": 100, "claimCount": 20}  # variables that set the size of a page
ANY_ID = "any"
ANY_VALUES = {"Int": 1, "Float": 0.5, "Boolean": True, "Decimal": "1.00", "UUID": str(UUID(int=0))}


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
            for service, calls in sorted(
                explain(schema, document, largest_variables(schema, document)).services.items()
            )
        }
        for name, document in sorted(stored_operations().items())
    }


def largest_variables(schema: Schema, document: str) -> dict[str, Any]:
    """Variables with which a stored operation costs most: the largest pages, and any value elsewhere."""
    operation = parse(document).definitions[0]
    assert isinstance(operation, OperationDefinitionNode), "a stored document begins with its operation"
    variables: dict[str, Any] = {}
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if name in LARGEST:
            variables[name] = LARGEST[name]
        elif definition.default_value is None and definition.type.kind == "non_null_type":
            given = type_from_ast(schema._schema, definition.type)
            assert is_input_type(given), "a stored document is valid"
            variables[name] = _any_value(given)
    return variables


def _any_value(given: GraphQLInputType) -> Any:
    """A value that is accepted, with nothing in it that may be left out: it does not change the price."""
    named = get_nullable_type(given)
    if isinstance(named, GraphQLList):
        return [_any_value(named.of_type)]
    if isinstance(named, GraphQLInputObjectType):
        return {
            name: _any_value(field.type)
            for name, field in named.fields.items()
            if is_required_input_field(field)
        }
    if isinstance(named, GraphQLEnumType):
        return next(iter(named.values))
    return ANY_VALUES.get(named.name, ANY_ID)
