"""What `/openapi.json` promises, and the pages that show it: true, whole, and served from here."""

import re
from typing import Any

import httpx
import jsonschema
import orjson
import pytest
from bff_under_test import Bff
from fastapi import FastAPI
from pydantic import SecretStr
from rest_examples import examples, steady

from bff.api_docs import CONTENT_SECURITY_POLICY, FILES
from bff.app import create_app
from bff.cli import dev_settings
from bff.rest.openapi import EXAMPLES, FAILURES, answer_schema, api_document, failure_statuses
from bff.rest.table import TABLE

VALIDATOR = jsonschema.Draft202012Validator
DOCUMENT = api_document(FastAPI(title="any"))


def operations() -> list[dict[str, Any]]:
    return [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


async def test_every_route_is_described(bff: Bff):
    """Clients are generated from it: a route that is missing does not exist for them."""
    document = (await bff.http.get("/openapi.json")).json()

    described = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert described == {(row.method, row.path) for row in TABLE} | {("GET", "/livez"), ("GET", "/readyz")}
    assert document["openapi"].startswith("3.1")
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_every_parameter_is_described():
    """What may be sent, where, and what of it must be."""
    for row in TABLE:
        operation = DOCUMENT["paths"][row.path][row.method.lower()]
        told = {(each["in"], each["name"]): each for each in operation["parameters"] if "in" in each}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for value in row.values:
            for source in value.sources:
                if source.place == "body":
                    assert source.name in body["schema"]["properties"]
                else:
                    assert told[source.place, source.name]["description"]
        names = [name for place, name in told if place == "path"]
        assert names == re.findall(r"{(\w+)}", row.path)
        assert operation["security"] == ([{"bearer": []}] if row.caller else [])


def test_schemas_are_schemas():
    """A schema with a slip in it accepts everything."""
    for row in TABLE:
        VALIDATOR.check_schema(answer_schema(row))
    for schema in DOCUMENT["components"]["schemas"].values():
        VALIDATOR.check_schema(schema)


def test_references_lead_somewhere():
    """Swagger UI shows a broken reference as an empty box."""
    for reference in set(re.findall(rb'"\$ref":"#/([^"]+)"', orjson.dumps(DOCUMENT))):
        found = DOCUMENT
        for step in reference.decode().split("/"):
            found = found[step]


def test_a_schema_can_refuse():
    """A check that accepts everything is worth nothing: lost, added and mistyped fields are seen."""
    [row] = [row for row in TABLE if row.name == "GET /api/recoveries/{id}"]
    schema = answer_schema(row) | {"components": DOCUMENT["components"]}
    good = orjson.loads(EXAMPLES.read_bytes())[row.name]
    VALIDATOR(schema).validate(good)
    claim = good["data"]

    for wrong in (
        {name: value for name, value in claim.items() if name != "status"},
        claim | {"seller": "x"},
        claim | {"status": "WON"},
        claim | {"claimedAmount": 245.8},
        claim | {"createdAt": None},
        None,
    ):
        assert not VALIDATOR(schema).is_valid({"data": wrong})


async def test_the_examples_are_what_the_sandbox_answers():
    """Examples are read before anything else, and believed: they must be answers (`make examples`)."""
    committed = orjson.loads(EXAMPLES.read_bytes())

    now = await examples()

    assert steady(committed) == steady(now)


def test_every_example_is_true_to_its_schema():
    """The example and the schema beside it say the same."""
    committed = orjson.loads(EXAMPLES.read_bytes())

    for row in TABLE:
        VALIDATOR(answer_schema(row) | {"components": DOCUMENT["components"]}).validate(committed[row.name])
    failure = DOCUMENT["components"]["schemas"]["Failure"] | {"components": DOCUMENT["components"]}
    for status in {status for row in TABLE for status in failure_statuses(row)}:
        VALIDATOR(failure).validate(committed[str(status)])
    assert committed.keys() == {row.name for row in TABLE} | {str(status) for status in FAILURES}


@pytest.mark.parametrize(
    ("page", "script"), [("/docs", "swagger-ui-bundle.js"), ("/redoc", "redoc.standalone.js")]
)
async def test_the_pages_are_ours(bff: Bff, page: str, script: str):
    """They work without another host, under a policy that runs no inline script."""
    response = await bff.http.get(page)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    linked = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', response.text)
    assert f"docs/assets/{script}" in linked
    for address in linked:
        assert (await bff.http.get(f"/{address}")).status_code == 200
    assert "openapi.json" in response.text + (FILES / "swagger-ui-start.js").read_text()


async def test_production_describes_itself_when_it_is_told_to():
    """Whoever integrates against production may be shown its routes, without GraphiQL and its token."""
    secret = SecretStr("a-secret-that-production-made-up-itself")
    settings = dev_settings().model_copy(update={"dev": False, "docs": True, "jwt_secret": secret})
    transport = httpx.ASGITransport(app=create_app(settings))

    async with httpx.AsyncClient(transport=transport, base_url="http://bff.test") as http:
        statuses = {
            path: (await http.get(path)).status_code for path in ("/openapi.json", "/docs", "/graphiql/")
        }

    assert statuses == {"/openapi.json": 200, "/docs": 200, "/graphiql/": 404}
