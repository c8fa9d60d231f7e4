"""Production: the schema and the metrics are for programs that show their key, and a key opens no data."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from bff_under_test import Bff, running
from graphql import build_client_schema, get_introspection_query

from bff.app import create_app, dev_token
from bff.cli import dev_settings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from clients.embedded import EmbeddedTransport

KEY, NEXT_KEY, PROMETHEUS = ("k" * 40 + letter for letter in "abc")
MACHINES = {"router": (KEY, NEXT_KEY), "prometheus": (PROMETHEUS,)}
AS_HEADER = {
    "X-API-Key": lambda key: {"x-api-key": key},
    "Authorization": lambda key: {"authorization": f"Bearer {key}"},
}
INTROSPECTION = get_introspection_query()
READS = [
    INTROSPECTION,
    "{ __schema { queryType { name } } }",
    '{ __type(name: "Claim") { name } }',
    '{ viewer { userId } hidden: __type(name: "Claim") { name } }',
    "{ ...all } fragment all on Query { __schema { queryType { name } } }",
    "{ ... on Query { ... @include(if: true) { __schema { queryType { name } } } } }",
    "{ _service { sdl } }",
]


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
async def production(request: pytest.FixtureRequest) -> AsyncIterator[Bff]:
    """What `bff serve` runs, over the sandbox; further settings by indirect parameter."""
    hashes = {
        name: tuple(hashlib.sha256(key.encode()).hexdigest() for key in keys)
        for name, keys in MACHINES.items()
    }
    told: dict[str, Any] = {"dev": False, "machines": hashes} | getattr(request, "param", {})
    settings = dev_settings().model_copy(update=told)
    sandbox = Sandbox(seed(10), mcde_repaired=True)
    app = create_app(settings, base=lambda name, _: EmbeddedTransport(app=sandbox.apps[name]))
    async with running(app, sandbox, settings) as bff:
        await bff.checked()
        bff.calls()
        yield bff


def bearer(bff: Bff, seller: int = 0) -> dict[str, str]:
    return {"authorization": f"Bearer {dev_token(bff.settings, SELLERS[seller])}"}


@pytest.mark.parametrize("document", READS)
async def test_a_viewer_does_not_read_the_schema(production: Bff, document: str):
    """Who knows every field, argument and error knows where to push; people have `schema.graphql`."""
    answer = await production.ask_with(bearer(production), document)

    assert answer.data is None
    assert [error["extensions"]["code"] for error in answer.errors] == ["FORBIDDEN"]
    assert "X-API-Key" in answer.errors[0]["message"]
    assert production.calls() == {}


@pytest.mark.parametrize("seller", [0, 1])
async def test_typenames_and_words_are_not_the_schema(production: Bff, seller: int):
    """Every Apollo client asks for `__typename`; a text that says `__schema` reads nothing."""
    document = '{ __typename viewer { __typename userId } searchClaims(query: "__schema _service") { asOf } }'

    answer = await production.ask_with(bearer(production, seller), document)

    assert (answer.status, answer.errors) == (200, [])
    assert answer.data["viewer"] == {"__typename": "Viewer", "userId": SELLERS[seller].user_id}


@pytest.mark.parametrize("key", [KEY, NEXT_KEY, PROMETHEUS])
@pytest.mark.parametrize(
    "as_header", [lambda key: {"x-api-key": key}, lambda key: {"authorization": f"Bearer {key}"}]
)
async def test_a_key_reads_the_whole_schema(
    production: Bff, key: str, as_header: Callable[[str], dict[str, str]]
):
    """A router composes, codegen generates; both keys work while one replaces the other."""
    introspected = await production.ask_with(as_header(key), INTROSPECTION)
    told = await production.ask_with(as_header(key), "{ _service { sdl } }")

    assert (introspected.errors, told.errors) == ([], [])
    assert build_client_schema(introspected.data).get_type("Claim")
    assert "type Claim implements Node" in told.data["_service"]["sdl"]
    assert production.calls() == {}


@pytest.mark.parametrize(
    "document",
    [
        "{ serviceHealth { status } }",
        "{ __typename viewer { userId } }",
        "{ claims { asOf } }",
        "{ __schema { queryType { name } } dashboard { health { status } } }",
        "{ ...all } fragment all on Query { viewer { userId } }",
        "query A { __typename } query B { viewer { userId } }",
    ],
)
async def test_a_key_alone_reads_no_data(production: Bff, document: str):
    """A key is nobody: what it opened of a seller's would be everybody's."""
    answer = await production.ask_with({"x-api-key": KEY}, document)

    assert answer.data is None
    assert {error["extensions"]["code"] for error in answer.errors} <= {"FORBIDDEN", "BAD_USER_INPUT"}
    assert production.calls() == {}


async def test_a_key_beside_a_token_reads_both(production: Bff):
    """GraphiQL in production, for whoever has a key: the viewer's data, and the names."""
    headers = {**bearer(production, 1), "x-api-key": KEY}

    answer = await production.ask_with(headers, "{ viewer { userId } __schema { queryType { name } } }")

    assert answer.errors == []
    assert answer.data["viewer"]["userId"] == SELLERS[1].user_id


@pytest.mark.parametrize(
    "key", ["", KEY[:-1], KEY + "x", KEY.upper(), hashlib.sha256(KEY.encode()).hexdigest(), "k" * 9000]
)
async def test_a_key_that_is_not_ours_opens_nothing(production: Bff, key: str):
    """The hash is in settings, and settings are read by more people than keys."""
    alone = await production.http.post("/graphql", json={"query": INTROSPECTION}, headers={"x-api-key": key})
    beside = await production.ask_with({**bearer(production), "x-api-key": key}, INTROSPECTION)

    assert (alone.status_code, alone.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    assert [error["extensions"]["code"] for error in beside.errors] == ["FORBIDDEN"]


MISSPELT = {
    "a field": "{ clams { asOf } }",
    "a field inside": "{ claims { nodes { caseNumbr } } }",
    "an argument": "{ claims(frist: 1) { asOf } }",
    "an enum's value": "{ claims(filter: {status: PENDNG}) { asOf } }",
    "an input's field": "{ claims(filter: {statuss: PENDING}) { asOf } }",
    "a type": "{ ... on Querry { __typename } }",
    "a directive": "{ viewer @skp(if: true) { userId } }",
    "a variable's value": "query($f: ClaimFilterInput) { claims(filter: $f) { asOf } }",
}


@pytest.mark.parametrize("document", MISSPELT.values(), ids=MISSPELT)
async def test_no_name_is_suggested(production: Bff, document: str):
    """From suggestions alone a tool writes the schema down, word by word."""
    variables = {"f": {"statuss": "PENDNG"}} if "$f" in document else {}

    answer = await production.ask_with(bearer(production), document, **variables)
    keyed = await production.ask_with({**bearer(production), "x-api-key": KEY}, document, **variables)

    assert answer.errors
    assert keyed.errors
    assert "Did you mean" not in json.dumps(answer.errors)
    assert all(error["message"] for error in answer.errors)
    if "directive" not in document and "@skp" not in document:
        assert "Did you mean" in json.dumps(keyed.errors)


async def test_development_has_it_all(make_bff: Callable[..., Any]):
    """Who builds a screen needs the names, and has nobody's data."""
    bff: Bff = await make_bff(claims=10)

    introspected = await bff.ask(INTROSPECTION)
    misspelt = await bff.ask("{ clams { asOf } }")

    assert introspected.errors == []
    assert "Did you mean" in misspelt.errors[0]["message"]
    assert (await bff.http.get("/metrics")).status_code == 200


async def test_two_apps_of_a_process_decide_for_themselves(production: Bff, make_bff: Callable[..., Any]):
    """They share one schema and its validated documents: what one may read must not open for the other."""
    dev: Bff = await make_bff(claims=10)

    for _ in range(2):
        assert (await dev.ask(INTROSPECTION)).errors == []
        closed = await production.ask_with(bearer(production), INTROSPECTION)
        assert [error["extensions"]["code"] for error in closed.errors] == ["FORBIDDEN"]


async def test_metrics_need_a_key(production: Bff):
    """They tell which service is down, and how often which screen is opened: news for a competitor."""
    for headers in ({}, bearer(production), {"x-api-key": "x" * 40}):
        response = await production.http.get("/metrics", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer realm="opside"'

    for headers in ({"x-api-key": PROMETHEUS}, {"authorization": f"Bearer {PROMETHEUS}"}):
        response = await production.http.get("/metrics", headers=headers)
        assert response.status_code == 200
        assert "bff_operation_duration_seconds" in response.text
        assert "bff_refusals_total" in response.text


@pytest.mark.parametrize("production", [{"metrics_public": True}], indirect=True)
async def test_metrics_are_open_where_settings_say_so(production: Bff):
    """Where only the operator's network reaches the address, a key would be one more thing to lose."""
    assert (await production.http.get("/metrics")).status_code == 200


async def test_a_program_is_logged_by_its_name_and_never_its_key(
    production: Bff, capsys: pytest.CaptureFixture[str]
):
    """After a leak an operator must know what the key was used for, and not read it in the log."""
    configure_logging(readable=False)
    try:
        await production.ask_with({"x-api-key": NEXT_KEY}, INTROSPECTION)
        await production.http.get("/metrics", headers={"authorization": f"Bearer {PROMETHEUS}"})
        await production.http.get("/metrics", headers={"x-api-key": "wrong" * 10})
        text = capsys.readouterr().out
    finally:
        structlog.reset_defaults()

    events = [json.loads(line) for line in text.splitlines()]
    admitted = [(event["machine"], event["door"]) for event in events if event["event"] == "machine.admitted"]
    assert admitted == [("router", "graphql"), ("prometheus", "metrics")]
    [refused] = [event for event in events if event["event"] == "key.refused"]
    assert (refused["reason"], refused["source"]) == ("metrics", "127.0.0.1")
    assert not [word for word in (NEXT_KEY, PROMETHEUS, "wrongwrong") if word in text]


def test_keys_are_told_apart_in_settings():
    """A name, and one or two hashes: a third would be one that nobody remembers."""
    for hashes in ((), ("0" * 64,) * 3, ("0" * 63,), ("G" * 64,), (KEY,)):
        with pytest.raises(ValueError, match=r"machines|BFF_MACHINES"):
            Settings(dev=True, jwt_secret=dev_settings().jwt_secret, machines={"router": hashes})
