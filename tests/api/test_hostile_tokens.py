"""Tokens that nobody thought of: whatever is shown, nobody gets in, and nothing breaks."""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import jwt
import pytest
from bff_under_test import running
from hypothesis import given, settings
from hypothesis import strategies as st
from issuer import PRIVATE, URL, key_set
from jwt import api_jws as jws
from pydantic import SecretStr

from bff.app import create_dev_app
from bff.auth import Authenticator, Unauthenticated
from bff.cli import dev_settings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients.caller import Viewer
from clients.jwks import IssuerKeys

SECRET = "the-secret-of-these-tests-and-of-nothing-else"
BARE = settings(deadline=None, derandomize=True, database=None)  # the same examples on every machine

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["rsa", "ec", "ed", "rsa-next", ""])
algorithms = st.sampled_from(["none", "HS256", "HS512", "RS256", "PS256", "ES256", "EdDSA", "Ed25519", "dir"])
headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": algorithms | values,
        "kid": names | values,
        "typ": st.sampled_from(["JWT", "at+jwt", "JOSE"]) | values,
        "crit": values,
        "b64": values,
        "cty": values,
        "jwk": values,
    },
)
claims = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.just(SELLERS[0].user_id) | values,
        "exp": st.just(int(time.time()) + 10**6) | values,
        "nbf": values,
        "iat": values,
        "aud": values,
        "iss": values,
        "sub": values,
        "jti": values,
        "scope": st.just("claims:read") | values,
        "email": st.text(st.characters(), max_size=5) | values,
        "name": values,
        "stripe_user_id": values,
    },
)


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


# Three parts that look like a token, and bytes that do not: none is signed by anybody.
unsigned = st.one_of(
    st.binary(max_size=300).map(lambda content: content.decode("latin-1")),
    st.text(st.characters(max_codepoint=255), max_size=300),
    st.tuples(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60)).map(
        lambda parts: ".".join(map(segment, parts))
    ),
    st.tuples(headers.map(encoded), claims.map(encoded), st.binary(max_size=256)).map(
        lambda parts: ".".join(map(segment, parts))
    ),
)


async def _answered(tokens: list[str]) -> list[tuple[int, Any]]:
    told = dev_settings().model_copy(update={"jwt_secret": SecretStr(SECRET)})
    sandbox = Sandbox(seed(2))
    async with running(create_dev_app(sandbox, told, seller=SELLERS[0]), sandbox, told) as bff:
        await bff.checked()
        bff.calls()
        found = []
        for token in tokens:
            response = await bff.http.post(
                "/graphql",
                json={"query": "{ viewer { userId } claims { asOf } }"},
                headers={"authorization": f"Bearer {token}".encode("latin-1")},
            )
            found.append((response.status_code, response.json().get("data")))
        assert bff.calls() == {}
        return found


@settings(BARE, max_examples=12)
@given(st.lists(unsigned, min_size=25, max_size=25))
def test_whatever_is_shown_is_answered_401(tokens: list[str]) -> None:
    """A 5xx tells a prober where it broke, and an exception that lets through lets everybody through."""
    found = anyio.run(_answered, [token.replace("\r", "").replace("\n", "") for token in tokens])

    assert found == [(401, None)] * len(tokens)


def viewer_or_refusal(authenticator: Authenticator, token: str) -> Viewer | None:
    try:
        return authenticator.viewer(f"Bearer {token}")
    except Unauthenticated:
        return None


@pytest.fixture(scope="module")
def by_published_keys() -> Authenticator:
    """It has read the issuer's keys."""
    publishing = httpx.MockTransport(lambda _: httpx.Response(200, json=key_set("rsa", "ec", "ed")))
    keys = IssuerKeys(URL, publishing)
    anyio.run(keys.renew)
    return Authenticator(keys)


@settings(BARE, max_examples=400)
@given(token=unsigned)
def test_no_published_key_lets_an_unsigned_token_in(by_published_keys: Authenticator, token: str) -> None:
    """With public keys a forger knows all that the verifier knows."""
    assert viewer_or_refusal(by_published_keys, token) is None


@settings(BARE, max_examples=400)
@given(said=claims | st.dictionaries(st.text(max_size=5), values, max_size=3) | values)
def test_whatever_an_issuer_signs_is_a_viewer_or_a_refusal(said: Any) -> None:
    """An issuer has bugs, too. Who is let in is a UUID, and can be told in an answer as it stands."""
    token = jws.encode(encoded(said), SECRET, "HS256")

    viewer = viewer_or_refusal(Authenticator(SecretStr(SECRET)), token)

    if viewer is not None:
        assert isinstance(said, Mapping)
        assert viewer.user_id == SELLERS[0].user_id
        for text in (viewer.email, viewer.name, *viewer.scopes):
            assert text is None or text.encode()
        assert viewer.stripe_user_id is None or 0 < viewer.stripe_user_id < 2**31


def test_the_claims_above_can_be_good(by_published_keys: Authenticator) -> None:
    """The tests above would pass if everything were refused."""
    good = {"user_id": SELLERS[0].user_id, "exp": int(time.time()) + 60}

    assert viewer_or_refusal(Authenticator(SecretStr(SECRET)), jwt.encode(good, SECRET))
    token = jwt.encode(good, PRIVATE["rsa"], "RS256", headers={"kid": "rsa"})
    assert viewer_or_refusal(by_published_keys, token)
