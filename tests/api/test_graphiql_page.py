"""GraphiQL: there in development, signed in and self-contained; not there in production."""

import json
import re
import time

import httpx
import jwt
import pytest
from bff_under_test import Bff
from fastapi import FastAPI
from pydantic import SecretStr

from bff.app import create_app
from bff.auth import SCOPES
from bff.cli import dev_settings
from bff.graphiql import CONTENT_SECURITY_POLICY, FILES
from bff.sandbox.seed import SELLERS

CONFIG = re.compile(r'<script id="opside-config" type="application/json">(.*?)</script>', re.DOTALL)


def served_by(app: FastAPI) -> httpx.AsyncClient:
    """A client of an app that is not started: its routes are there all the same."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://bff.test")


async def test_the_page_brings_a_token_that_works(bff: Bff):
    """Whoever opens the page can ask at once, as the first seller, without pasting anything."""
    page = await bff.http.get("/graphiql/")

    [config] = map(json.loads, CONFIG.findall(page.text))
    assert config["endpoint"] == "/graphql"
    response = await bff.http.post(
        config["endpoint"],
        json={"query": "{ viewer { name scopes } dashboard { claimMetrics { totalCount } } }"},
        headers={"authorization": f"Bearer {config['token']}"},
    )
    assert response.json() == {
        "data": {
            "viewer": {"name": SELLERS[0].name, "scopes": sorted(SCOPES)},
            "dashboard": {"claimMetrics": {"totalCount": 60}},
        }
    }


async def test_the_token_ends_within_the_day(bff: Bff):
    """It is in a page, a history and perhaps a screenshot."""
    page = await bff.http.get("/graphiql/")

    token = json.loads(CONFIG.findall(page.text)[0])["token"]
    claims = jwt.decode(token, bff.settings.jwt_secret.get_secret_value(), algorithms=["HS256"])
    assert 0 < claims["exp"] - time.time() < 86_400


async def test_the_page_is_kept_by_nobody_and_asks_nobody_else(bff: Bff):
    """A cached page holds a stale token; a foreign script would hold a fresh one."""
    page = await bff.http.get("/graphiql/")

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    policy = dict(
        rule.strip().split(" ", 1)
        for rule in page.headers["content-security-policy"].split(";")
        if rule.strip()
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page.text) == []


async def test_every_asset_is_reachable(bff: Bff):
    """A missing chunk shows as a blank page, and only where it is needed."""
    page = await bff.http.get("/graphiql/")
    linked = re.findall(r'(?:src|href)="(?!data:)([^"#]+)"', page.text)
    files = [file for file in FILES.rglob("*") if file.is_file()]

    for address in linked:
        assert (
            await bff.http.get(str(httpx.URL("http://bff.test/graphiql/").join(address)))
        ).status_code == 200
    for file in files:
        asset = await bff.http.get(f"/graphiql/{file.relative_to(FILES)}")
        assert (asset.status_code, len(asset.content) > 0) == (200, True)
        if file.suffix == ".js":
            assert "javascript" in asset.headers["content-type"]
    assert len(linked) >= 2
    assert len(files) > 20


@pytest.mark.parametrize("address", ["/", "/graphiql"])
async def test_short_addresses_lead_to_the_page(bff: Bff, address: str):
    """The first thing that anybody tries."""
    response = await bff.http.get(address)

    assert (response.status_code, response.headers["location"]) == (307, "/graphiql/")


@pytest.mark.parametrize(
    "address", ["/graphiql/../app.py", "/graphiql/%2e%2e/app.py", "/graphiql/..%2fapp.py"]
)
async def test_nothing_but_the_page_is_served(bff: Bff, address: str):
    """The folder of the page lies inside the package."""
    response = await bff.http.get(httpx.URL("http://bff.test", raw_path=address.encode()))

    assert response.status_code == 404
    assert "import" not in response.text


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/graphiql",
        "/graphiql/",
        "/graphiql/index.html",
        "/sandbox",
        "/sandbox/faults",
        "/docs",
        "/docs/assets/swagger-ui-start.js",
        "/redoc",
        "/openapi.json",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_production_has_neither_page_nor_knobs(address: str, method: str):
    """Knobs that break services and a page with a token in it belong on no public address."""
    settings = dev_settings().model_copy(
        update={
            "dev": False,
            "docs": False,
            "jwt_secret": SecretStr("a-secret-that-production-made-up-itself"),
        }
    )

    async with served_by(create_app(settings)) as http:
        response = await http.request(method, address, json={"stripe": "down"})

    assert response.status_code == 404
    assert "eyJ" not in response.text
