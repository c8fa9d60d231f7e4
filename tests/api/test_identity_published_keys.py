"""Tokens of an issuer that publishes its keys: whom the BFF lets in, and what a forger gets."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import httpx
import pytest
import respx
from bff_under_test import Bff, GraphAnswer, running
from issuer import PRIVATE, URL, by_hand, claims_of, confused, key_set, published, signed
from jwt import api_jws as jws
from prometheus_client.parser import text_string_to_metric_families
from pydantic import AnyHttpUrl

from bff.app import create_app
from bff.auth import TOKEN_CHARS_AT_MOST
from bff.cli import dev_settings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients import jwks
from clients.embedded import EmbeddedTransport

ANN, BOB = SELLERS[0].user_id, SELLERS[1].user_id
ASKED = "{ viewer { userId } claims(first: 1) { nodes { caseNumber } } }"


@pytest.fixture
def issuer() -> respx.MockRouter:
    """The issuer's address; it publishes four keys, and one that is not for signatures."""
    router = respx.MockRouter(assert_all_called=False)
    keys = [*key_set("rsa", "ec", "ed")["keys"], published("rsa-next", use="enc")]
    router.get(URL).respond(json={"keys": keys})
    return router


@contextlib.asynccontextmanager
async def trusting(issuer: respx.MockRouter) -> AsyncIterator[Bff]:
    """A BFF that trusts the issuer, and is told of an audience and an issuer's name."""
    settings = dev_settings().model_copy(
        update={
            "jwt_secret": None,
            "jwks_url": AnyHttpUrl(URL),
            "jwt_audience": "opside",
            "jwt_issuer": "https://issuer.test",
        }
    )
    sandbox = Sandbox(seed(10))

    def base(name: str, _: Any) -> httpx.AsyncBaseTransport:
        if name == "issuer":
            return httpx.MockTransport(issuer.async_handler)
        return EmbeddedTransport(app=sandbox.apps[name])

    async with running(create_app(settings, base=base), sandbox, settings) as bff:
        await bff.checked()
        bff.calls()
        yield bff


@pytest.fixture
async def bff(issuer: respx.MockRouter) -> AsyncIterator[Bff]:
    async with trusting(issuer) as bff:
        yield bff


async def test_nobody_is_sent_here_before_the_issuer_was_read_once(
    issuer: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
):
    """A new replica that knows no key turns everybody away: an older one would let them in."""
    monkeypatch.setattr(jwks, "RETRY_S_AT_MOST", 0.01)
    issuer.get(URL).mock(side_effect=httpx.ConnectError("down"))
    async with trusting(issuer) as bff:
        waiting = await bff.http.get("/readyz")
        assert (waiting.status_code, waiting.json()) == (
            503,
            {"status": "starting", "waitsFor": ["issuer-keys"]},
        )
        assert (await bff.http.get("/livez")).status_code == 200

        issuer.get(URL).respond(json=key_set("rsa"))  # and nobody asks
        with anyio.fail_after(10):
            while (await bff.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - as probes do
                await anyio.sleep(0.01)

        issuer.get(URL).mock(side_effect=httpx.ConnectError("down"))
        assert (await ask(bff, signed("ec", claims_of(ANN)))).status == 503
        assert (await bff.http.get("/readyz")).status_code == 200
        assert (await ask(bff, signed("rsa", claims_of(ANN)))).status == 200


async def ask(bff: Bff, token: str) -> GraphAnswer:
    return await bff.ask_with({"authorization": f"Bearer {token}"}, ASKED)


@pytest.mark.parametrize(
    ("name", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")]
)
async def test_each_signature_lets_its_own_seller_in(bff: Bff, name: str, algorithm: str):
    """Two sellers with tokens of one key: each is who the token names."""
    answers = [await ask(bff, signed(name, claims_of(who), algorithm=algorithm)) for who in (ANN, BOB)]

    assert [(answer.status, answer.errors) for answer in answers] == [(200, [])] * 2
    assert [answer.data["viewer"]["userId"] for answer in answers] == [ANN, BOB]
    numbers = [answer.data["claims"]["nodes"][0]["caseNumber"] for answer in answers]
    assert numbers[0] != numbers[1]


def payload(**changed: Any) -> str:
    return json.dumps(claims_of(ANN, **changed))


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in claims_of(ANN).items() if name != claim}


GOOD = claims_of(ANN)
DEEP = "[" * 2500 + "]" * 2500
DETACHED = '{"alg":"RS256","kid":"rsa","b64":false,"crit":["b64"]}'
TWICE = '{"alg":"RS256","kid":"ec","kid":"rsa"}'


def raw(text: str) -> str:
    """Signed by the issuer itself, whatever the text."""
    return jws.encode(text.encode(), PRIVATE["rsa"], "RS256", headers={"kid": "rsa"})


def twice() -> str:
    """What somebody told the issuer as a name has closed the text and begun another claim."""
    return raw(payload().removesuffix("}") + f', "user_id": "{BOB}"}}')


FORGED: Mapping[str, Callable[[], str]] = {
    "without a signature": lambda: by_hand('{"alg":"none","kid":"rsa"}', payload()),
    "without a signature, in capitals": lambda: by_hand('{"alg":"NONE","kid":"rsa"}', payload()),
    "the public key as the secret of an HMAC": lambda: confused("rsa", GOOD),
    "an HMAC without a secret": lambda: by_hand('{"alg":"HS256","kid":"rsa"}', payload(), b"\x00"),
    "another key under this name": lambda: signed("rsa-next", GOOD, kid="rsa"),
    "another type's key": lambda: signed("rsa", GOOD, kid="ec"),
    "another algorithm than its key's": lambda: signed("ec-384", GOOD, kid="ec"),
    "a key for encryption": lambda: signed("rsa-next", GOOD),
    "an unknown key": lambda: signed("ec-384", GOOD),
    "no key's name": lambda: by_hand('{"alg":"RS256"}', payload(), b"x"),
    "a key's name that is a list": lambda: by_hand('{"alg":"RS256","kid":["rsa"]}', payload(), b"x"),
    "a key's name that is a path": lambda: signed("rsa", GOOD, kid="../../etc/passwd"),
    "a key in the token": lambda: signed("rsa-next", GOOD, kid="mine", jwk=published("rsa-next")),
    "an address of keys in the token": lambda: signed("rsa-next", GOOD, kid="mine", jku="https://evil.test"),
    "a logout token": lambda: signed("rsa", GOOD, typ="logout+jwt"),
    "a type that is a number": lambda: signed("rsa", GOOD, typ=5),
    "an extension that must be understood": lambda: signed("rsa", GOOD, crit=["exp"]),
    "a detached payload": lambda: by_hand(DETACHED, payload()),
    "another audience": lambda: signed("rsa", claims_of(ANN, aud="another-api")),
    "no audience": lambda: signed("rsa", without("aud")),
    "an audience that is an object": lambda: signed("rsa", claims_of(ANN, aud={"opside": 1})),
    "another issuer": lambda: signed("rsa", claims_of(ANN, iss="https://evil.test")),
    "no issuer": lambda: signed("rsa", without("iss")),
    "an issuer that is a list": lambda: raw(payload(iss=["https://issuer.test"])),
    "no viewer": lambda: signed("rsa", without("user_id")),
    "no end": lambda: signed("rsa", without("exp")),
    "issued in the future": lambda: signed("rsa", claims_of(ANN, iat=int(time.time()) + 600)),
    "a huge one": lambda: signed("rsa", claims_of(ANN, roles=["seller"] * TOKEN_CHARS_AT_MOST)),
    "a header without an end": lambda: by_hand(DEEP, payload()),
    "a payload without an end": lambda: by_hand('{"alg":"RS256","kid":"rsa"}', DEEP),
    "a number without an end": lambda: by_hand(f'{{"alg":"RS256","kid":"rsa","x":{"9" * 5000}}}', "{}"),
    "a header that says its key twice": lambda: by_hand(TWICE, payload(), b"x"),
    "a payload that is a list": lambda: raw("[]"),
    "a payload that is no JSON": lambda: raw("user_id"),
    "a claim that is there twice": lambda: twice(),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_a_forged_token_is_refused_in_the_same_words(bff: Bff, forged: Callable[[], str]):
    """No forger learns which part was wrong, and no service hears of the attempt."""
    answer = await bff.http.post(
        "/graphql", json={"query": ASKED}, headers={"authorization": f"Bearer {forged()}"}
    )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="opside", error="invalid_token", error_description="The token is not valid here"'
    )
    [error] = answer.json()["errors"]
    assert error["message"] == "The token is not valid here. Sign in again."
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert bff.calls() == {}


async def test_an_expired_token_is_told_so(bff: Bff):
    """Who was signed in a moment ago needs a new token, not a new password."""
    answer = await bff.http.post(
        "/graphql",
        json={"query": ASKED},
        headers={"authorization": f"Bearer {signed('ec', claims_of(ANN, exp=int(time.time()) - 60))}"},
    )

    assert answer.status_code == 401
    assert 'error_description="The token has expired"' in answer.headers["www-authenticate"]
    assert bff.calls() == {}


async def test_two_tokens_are_none(bff: Bff):
    """A proxy may have read the first and we the second: whose request is it?"""
    tokens = [("authorization", f"Bearer {signed('rsa', claims_of(who))}") for who in (ANN, BOB)]

    answer = await bff.http.post("/graphql", json={"query": ASKED}, headers=tokens)

    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    assert bff.calls() == {}


async def test_who_shows_nothing_is_challenged_without_an_error(bff: Bff):
    """RFC 6750, section 3.1: without a token there is no error to name."""
    for headers in ({}, {"authorization": "Basic YTpi"}):
        answer = await bff.http.post("/graphql", json={"query": ASKED}, headers=headers)

        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="opside"')


async def test_good_tokens_cost_the_issuer_nothing(bff: Bff, issuer: respx.MockRouter):
    """Keys are read at the start: the issuer's slowness and outages are not each request's."""
    issuer.get(URL).mock(side_effect=httpx.ConnectError("down"))
    read = len(issuer.calls)

    for who in (ANN, BOB) * 5:
        assert (await ask(bff, signed("ed", claims_of(who)))).status == 200

    assert len(issuer.calls) == read


async def test_a_new_key_lets_in_at_once(bff: Bff, issuer: respx.MockRouter):
    """The issuer changed its key a second ago: whoever signs in now is not sent away."""
    issuer.get(URL).respond(json=key_set("ec-384", "ed"))

    answer = await ask(bff, signed("ec-384", claims_of(BOB)))

    assert (answer.status, answer.data["viewer"]["userId"]) == (200, BOB)
    assert (await ask(bff, signed("rsa", claims_of(ANN)))).status == 401  # which was taken back


async def test_a_new_key_waits_for_an_issuer_that_is_down(
    bff: Bff, issuer: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
):
    """Nobody can tell whether that token is good: who shows it is to try again, not to sign in again."""
    monkeypatch.setattr(jwks, "UNKNOWN_EVERY_S", 0.0)
    issuer.get(URL).mock(side_effect=httpx.ConnectError("down"))

    response = await bff.http.post(
        "/graphql",
        json={"query": ASKED},
        headers={"authorization": f"Bearer {signed('ec-384', claims_of(BOB))}"},
    )

    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    [error] = response.json()["errors"]
    assert error["extensions"].pop("supportCode")
    assert error["extensions"] == {"code": "ISSUER_UNAVAILABLE", "retryable": True, "retryAfterMs": 5000}
    assert bff.calls() == {}
    assert (await ask(bff, signed("rsa", claims_of(ANN)))).status == 200  # whose key is known

    text = (await bff.http.get("/metrics")).text
    counted = {
        (sample.name, sample.labels.get("outcome"), sample.labels.get("reason")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert counted["bff_issuer_keys_fetches_total", "missed", None] == 1
    assert counted["bff_refusals_total", None, "unavailable"] == 1
    assert counted["bff_issuer_keys_age_seconds", None, None] >= 0
