"""The door for browsers: foreign pages stay outside, named ones come in, every answer is safe to show."""

import httpx
import pytest
from bff_under_test import Bff, MakeBff
from pydantic import ValidationError

from bff.app import dev_token
from bff.http_guard import HEADERS_TAKEN, CorsSettings
from bff.sandbox.seed import SELLERS

ANN, BOB = SELLERS[:2]
APP, EVIL = "https://app.example", "https://evil.example"
CORS = CorsSettings(origins=(APP, "http://staging.example:8080"))
VIEWER = {"query": "{ viewer { userId } claims { asOf } }"}


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    """As in production: closed to pages of this machine, too."""
    return await make_bff(claims=5, dev=False, cors=CORS)


def signed_in(bff: Bff, seller=ANN, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {dev_token(bff.settings, seller)}", **more}


def code(answer: httpx.Response) -> str:
    return answer.json()["errors"][0]["extensions"]["code"]


# ---- forged requests

FORGED = {
    "fetch of another site": {"origin": EVIL, "sec-fetch-site": "cross-site"},
    "fetch of an old browser": {"origin": EVIL},
    "frame without an origin": {"origin": "null"},
    "form of another site": {"origin": EVIL, "content-type": "text/plain"},
    "subdomain of ours": {"origin": "http://evil.bff.test", "sec-fetch-site": "same-site"},
    "name that begins like ours": {"origin": "http://bff.test.evil.example"},
    "named origin, other port": {"origin": "http://staging.example:9090"},
    "named origin, without TLS": {"origin": "http://app.example"},
    "no address at all": {"origin": "http://[", "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
async def test_a_page_of_another_site_can_do_nothing(bff: Bff, headers: dict[str, str]):
    """A proxy before us may turn a cookie into a token: then any page could speak for its visitor."""
    bff.calls()

    for answer in (
        await bff.http.post("/graphql", json=VIEWER, headers=signed_in(bff) | headers),
        await bff.http.get("/graphql", params=VIEWER, headers=signed_in(bff) | headers),
        await bff.http.post("/api/sync/start", headers=signed_in(bff) | headers),
    ):
        assert (answer.status_code, code(answer)) == (403, "ORIGIN_NOT_ALLOWED")
        assert "access-control-allow-origin" not in answer.headers
    assert bff.calls() == {}


@pytest.mark.parametrize("mode", ["no-cors", "navigate"])
@pytest.mark.parametrize("path", ["/graphql", "/api/recoveries"])
async def test_an_image_or_a_link_asks_nothing(bff: Bff, path: str, mode: str):
    """Browsers send no Origin with these: they say `Sec-Fetch-Site`."""
    headers = signed_in(bff, **{"sec-fetch-site": "cross-site", "sec-fetch-mode": mode})
    bff.calls()

    answer = await bff.http.get(path, params=VIEWER, headers=headers)

    assert (answer.status_code, code(answer), bff.calls()) == (403, "ORIGIN_NOT_ALLOWED", {})


async def test_without_a_token_there_is_nothing_to_forge(bff: Bff):
    """What a page can send unasked carries no `Authorization`: so no header is demanded besides."""
    bff.calls()

    for answer in (
        await bff.http.get("/graphql", params=VIEWER),
        await bff.http.post("/graphql", content=b"{}", headers={"content-type": "text/plain"}),
        await bff.http.post("/api/sync/start"),
    ):
        assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
    assert bff.calls() == {}


SERVED = {
    "a program": {},
    "our own page": {"origin": "http://bff.test", "sec-fetch-site": "same-origin"},
    "our own page behind TLS": {"origin": "https://bff.test:443"},
    "our own page behind a proxy that renames us": {
        "origin": "https://us.example",
        "sec-fetch-site": "same-origin",
    },
    "a named page": {"origin": APP, "sec-fetch-site": "cross-site"},
    "a named page with a port": {"origin": "http://staging.example:8080"},
    "an address that was typed": {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
}


@pytest.mark.parametrize("seller", [ANN, BOB], ids=["ann", "bob"])
@pytest.mark.parametrize("headers", SERVED.values(), ids=SERVED)
async def test_who_may_ask_is_answered(bff: Bff, headers: dict[str, str], seller):
    """With their own data: an answer that a cache or a proxy mixed up would be worse than none."""
    answer = await bff.http.post("/graphql", json=VIEWER, headers=signed_in(bff, seller) | headers)

    assert answer.status_code == 200
    assert answer.json()["data"]["viewer"]["userId"] == seller.user_id


# ---- CORS


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": ", ".join(HEADERS_TAKEN),
    }


async def test_named_pages_may_ask_and_read(bff: Bff):
    """With our headers, both ways; never with cookies."""
    asked = await bff.http.options("/graphql", headers=preflight(APP))
    answer = await bff.http.post("/graphql", json=VIEWER, headers=signed_in(bff, origin=APP))

    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, APP)
    taken = asked.headers["access-control-allow-headers"].lower().split(", ")
    assert set(HEADERS_TAKEN) <= set(taken)
    assert answer.headers["access-control-allow-origin"] == APP
    shown = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "retry-after", "ratelimit-remaining"} <= set(shown)
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in {*asked.headers, *answer.headers}


@pytest.mark.parametrize(
    "sent",
    [
        "apollographql-client-name, apollographql-client-version, authorization, content-type",
        "apollographql-library-name, apollographql-library-version, content-type",
        "apollo-require-preflight, x-apollo-operation-name",
        "baggage, traceparent, tracestate",
    ],
)
async def test_what_clients_send_by_themselves_is_taken(bff: Bff, sent: str):
    """One name too many, and a browser sends nothing: Apollo's clients and tracers add theirs unasked."""
    headers = preflight(APP) | {"access-control-request-headers": sent}

    answer = await bff.http.options("/graphql", headers=headers)

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)


async def test_other_pages_may_not_ask(bff: Bff):
    """Their browser is told nothing that would let them."""
    answer = await bff.http.options("/graphql", headers=preflight(EVIL))

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_closed_until_configured(make_bff: MakeBff):
    """A BFF that nobody configured is no API of the open web."""
    bff = await make_bff(claims=5, dev=False)

    answer = await bff.http.options("/graphql", headers=preflight(APP))

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_in_development_pages_of_this_machine_may_ask(make_bff: MakeBff):
    """The React app has a server of its own there; the web has no business here."""
    bff = await make_bff(claims=5)

    for origin, status in (("http://localhost:5173", 200), ("http://localhost.evil.example", 403)):
        answer = await bff.http.options("/graphql", headers=preflight(origin))
        assert answer.status_code == status


@pytest.mark.parametrize("origin", ["*", "https://*.example", "https://app.example/", "app.example", "null"])
def test_an_origin_is_exact(origin: str):
    """A pattern lets in whoever registers a name that fits."""
    with pytest.raises(ValidationError):
        CorsSettings(origins=(origin,))


# ---- names


@pytest.fixture
async def named(make_bff: MakeBff) -> Bff:
    return await make_bff(claims=5, dev=False, trusted_hosts=("bff.example", "10.0.0.7"))


@pytest.mark.parametrize("host", ["bff.example", "BFF.example:8001", "bff.example.", "10.0.0.7:8001"])
async def test_our_names_are_served(named: Bff, host: str):
    """With or without a port, as clients write them."""
    answer = await named.http.post("/graphql", json=VIEWER, headers=signed_in(named, host=host))

    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "bff.example.evil.example", "", "bff.example@evil.example"])
async def test_other_names_are_not(named: Bff, host: str):
    """A page whose name was rebound to our address is of the same origin as we are, to its browser."""
    named.calls()

    answer = await named.http.post("/graphql", json=VIEWER, headers=signed_in(named, host=host))

    assert (answer.status_code, code(answer)) == (400, "HOST_NOT_SERVED")
    assert named.calls() == {}


async def test_probes_come_by_address(named: Bff):
    """An orchestrator asks the address of a pod, which no setting can know."""
    for path, status in (("/livez", 200), ("/readyz", 200), ("/metrics", 401), ("/health", 400)):
        assert (await named.http.get(path, headers={"host": "10.1.2.3:8001"})).status_code == status


# ---- headers of answers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/graphql", 200),
        ("GET", "/graphql", 400),
        ("GET", "/nowhere", 404),
        ("DELETE", "/graphql", 405),
        ("GET", "/api/recoveries", 200),
        ("GET", "/livez", 200),
    ],
)
async def test_every_answer_is_data_and_nothing_else(bff: Bff, method: str, path: str, status: int):
    """Shown by a browser, it runs nothing, is framed nowhere and is no other site's image or script."""
    answer = await bff.http.request(
        method, path, json=VIEWER if method == "POST" else None, headers=signed_in(bff)
    )

    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert "strict-transport-security" not in answer.headers


async def test_an_answer_to_what_broke_is_data_too(bff: Bff):
    """Starlette makes it outside of all that guards the others; a named page could not read it either."""
    app = bff.http._transport.app  # type: ignore[attr-defined]

    async def broken() -> None:
        raise RuntimeError("the database password is hunter2")

    app.add_api_route("/broken", broken)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bff.test") as http:
        answer = await http.get("/broken", headers={"x-request-id": "my-own", "origin": APP})

    assert (answer.status_code, code(answer)) == (500, "INTERNAL_SERVER_ERROR")
    assert "hunter2" not in answer.text
    assert answer.headers["x-request-id"] == "my-own"
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/graphiql/", "/docs", "/redoc"])
async def test_pages_keep_their_own_policy(make_bff: MakeBff, path: str):
    """Under the policy of data a page would stay white."""
    bff = await make_bff(claims=5)

    answer = await bff.http.get(path)

    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_files_of_pages_have_no_policy_of_data(make_bff: MakeBff):
    """A worker obeys the policy of its own file: GraphiQL's editor would not start."""
    bff = await make_bff(claims=5)
    page = (await bff.http.get("/graphiql/")).text
    script = page.split('src="')[1].split('"')[0]

    answer = await bff.http.get(script if script.startswith("/") else f"/graphiql/{script}")

    assert answer.status_code == 200
    assert "content-security-policy" not in answer.headers
