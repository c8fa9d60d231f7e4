"""Operations made from the schema, so that a field somebody adds tomorrow is asked as well."""

import uuid
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_composite_type,
)

from bff.schema import build_schema
from resolvers.global_ids import global_id

GRAPH: GraphQLSchema = build_schema()._schema


def usual(type_: GraphQLInputType, name: str = "") -> Any:
    """A value that is accepted."""
    if isinstance(type_, GraphQLNonNull):
        return usual(type_.of_type, name)
    if isinstance(type_, GraphQLList):
        return [usual(type_.of_type, name)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        return {
            key: usual(field.type, key)
            for key, field in type_.fields.items()
            if isinstance(field.type, GraphQLNonNull)
        }
    owners = {
        "claimId": "Claim",
        "detectionId": "Detection",
        "syncId": "Sync",
        "detectionRunId": "DetectionRun",
    }
    key = "sync-x" if name in ("syncId", "detectionRunId") else "00000000-0000-4000-8000-000000000000"
    found: dict[str, Any] = {
        "ID": global_id(owners.get(name, "Claim"), key),
        "Int": 3,
        "Float": 0.5,
        "Decimal": "10.00",
        "UUID": str(uuid.uuid4()),
        "Boolean": True,
        "_Any": {"__typename": "Claim", "id": global_id("Claim", key)},
    }
    return found.get(get_named_type(type_).name, "USD" if name == "currencyCode" else "x")


def selection(field: GraphQLField) -> str:
    """The plain fields of what a field answers; of a payload, of its errors as well."""
    named = get_named_type(field.type)
    if not is_composite_type(named):
        return ""
    plain = ["__typename"]
    if isinstance(named, GraphQLObjectType):
        plain += [name for name in ("asOf", "totalCount", "id") if name in named.fields]
        if "userErrors" in named.fields:
            plain.append("userErrors { ... on UserError { code message } }")
    return "{ " + " ".join(plain) + " }"


def operation(kind: str, name: str, field: GraphQLField) -> str:
    given = " ".join(f"${argument}: {each.type}" for argument, each in field.args.items())
    passed = " ".join(f"{argument}: ${argument}" for argument in field.args)
    return f"{kind}({given}) {{ {name}({passed}) {selection(field)} }}"
