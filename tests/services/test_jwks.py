"""The issuer's keys: which are taken, when they are read again, and what stays while nobody can read them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import jwt
import pytest
import respx
import structlog
from issuer import URL, key_set, published, signed
from late import WITHIN_S

from clients import jwks
from clients.jwks import KEYS_AT_MOST, SET_BYTES_AT_MOST, IssuerKeys, UnusableKeys, keys_in

MakeKeys = Callable[..., IssuerKeys]


@pytest.fixture
def fetches() -> list[bool]:
    """How the readings went, oldest first."""
    return []


@pytest.fixture
async def make_keys(respx_router: respx.MockRouter, fetches: list[bool]) -> AsyncIterator[MakeKeys]:
    """Keys of an issuer at `URL`: `make_keys(renew_every_s=0.01)`."""
    made: list[IssuerKeys] = []

    def make(**told: Any) -> IssuerKeys:
        base = httpx.MockTransport(respx_router.async_handler)
        made.append(IssuerKeys(URL, base, **({"on_fetch": fetches.append} | told)))
        return made[-1]

    yield make
    for keys in made:
        await keys.aclose()


@pytest.fixture
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown names may be asked for again at once."""
    monkeypatch.setattr(jwks, "UNKNOWN_EVERY_S", 0.0)


def body(*keys: object) -> bytes:
    return httpx.Response(200, json={"keys": list(keys)}).content


@pytest.mark.parametrize(
    ("name", "algorithms"),
    [
        ("rsa", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        ("ec", ["ES256"]),
        ("ec-384", ["ES384"]),
        ("ed", ["EdDSA"]),
    ],
)
def test_a_key_verifies_what_fits_its_type_and_nothing_else(name: str, algorithms: list[str]):
    """Else a token could choose the weakest algorithm, or an HMAC with the public key as its secret."""
    key = keys_in(body(published(name)))[name]

    assert list(key.algorithms) == algorithms
    for algorithm in algorithms:
        token = signed(name, {"user_id": "u"}, algorithm=algorithm)
        assert jwt.decode(token, key.material, algorithms=list(key.algorithms)) == {"user_id": "u"}


def test_a_key_that_names_its_algorithm_verifies_by_this_one_only():
    """The issuer has decided; a token that says otherwise is not the issuer's."""
    assert keys_in(body(published("rsa", alg="PS256")))["rsa"].algorithms == ("PS256",)


SMALL = "AQAB" * 40  # 960 bits
UNUSABLE: dict[str, object] = {
    "for encryption": published("rsa", use="enc"),
    "of a use that nobody knows": published("rsa", use=5),
    "that may only encrypt": published("rsa", key_ops=["encrypt", "wrapKey"]),
    "whose operations are no list": published("rsa", key_ops="verify"),
    "without a name": published("rsa", kid=None),
    "with an empty name": published("rsa", kid=""),
    "whose name is a number": published("rsa", kid=5),
    "with its private half": published("rsa", d="AQAB"),
    "that is a shared secret": {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "rsa", "alg": "HS256"},
    "an HMAC algorithm on RSA": published("rsa", alg="HS256"),
    "no algorithm at all": published("rsa", alg="none"),
    "another type's algorithm": published("rsa", alg="ES256"),
    "too small": published("rsa", n=SMALL),
    "without its number": published("rsa", n=None),
    "of a number that is none": published("rsa", n="not base64 !"),
    "of another curve": published("ec", crv="secp256k1"),
    "of a curve that is a list": published("ec", crv=["P-256"]),
    "not on its curve": published("ec", x="AQAB"),
    "of an unknown type": {"kty": "quantum", "kid": "rsa"},
    "without a type": {"kid": "rsa"},
    "no object": "rsa",
    "null": None,
}


@pytest.mark.parametrize("jwk", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_cannot_verify_is_passed_over(jwk: object):
    """One key that we do not understand must not cost the others; a key for something else proves nothing."""
    assert list(keys_in(body(jwk, published("ed")))) == ["ed"]
    with pytest.raises(UnusableKeys):
        keys_in(body(jwk))


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>sign in</html>", b"null", b"[]", b'"keys"', b"{}", b'{"keys": {}}', b'{"keys": []}',
        b"\xff\xfe", b"[" * 100_000, body(*[published("ed")] * (KEYS_AT_MOST + 1)),
    ],
    ids=lambda answer: repr(answer[:9]),
)  # fmt: skip
def test_an_answer_that_is_no_set_of_keys_is_none(answer: bytes):
    """A page of a proxy, read as an empty set, would sign everybody out."""
    with pytest.raises(UnusableKeys):
        keys_in(answer)


async def test_a_known_key_is_never_asked_for(make_keys: MakeKeys, respx_router: respx.MockRouter):
    """A request that waits for its issuer is as slow as the issuer, and ends with it."""
    route = respx_router.get(URL).respond(json=key_set("rsa", "ed"))
    keys = make_keys()
    await keys.renew()

    for _ in range(50):
        await keys.learn("rsa")
        await keys.learn("ed")

    assert keys.key("rsa")
    assert keys.key("ed")
    assert route.call_count == 1


async def test_a_new_key_is_learnt_once_for_all_who_wait(make_keys: MakeKeys, respx_router: respx.MockRouter):
    """The issuer has changed its key: the next requests come at once, and must not each go and ask."""
    asked, answered = asyncio.Event(), asyncio.Event()
    sets = iter([key_set("rsa"), key_set("rsa", "rsa-next")])

    async def answer(_: httpx.Request) -> httpx.Response:
        asked.set()
        await answered.wait()
        return httpx.Response(200, json=next(sets))

    route = respx_router.get(URL).mock(side_effect=answer)
    keys = make_keys()
    answered.set()
    await keys.renew()
    asked.clear()
    answered.clear()

    waiting = [asyncio.create_task(keys.learn("rsa-next")) for _ in range(50)]
    await asked.wait()
    waiting[0].cancel()  # whose client has left: the others wait for the same answer
    answered.set()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert keys.key("rsa-next")
    assert route.call_count == 2


async def test_made_up_names_cost_the_issuer_one_request(make_keys: MakeKeys, respx_router: respx.MockRouter):
    """Anybody can write a name into a token: each must not become a request to whoever signs everybody in."""
    route = respx_router.get(URL).respond(json=key_set("rsa"))
    keys = make_keys()
    await keys.renew()

    for number in range(100):
        await keys.learn(f"made-up-{number}")

    assert route.call_count == 2
    assert keys.key("made-up-1") is None
    assert keys.key("rsa")


async def test_a_key_that_is_gone_is_forgotten(make_keys: MakeKeys, respx_router: respx.MockRouter):
    """A key is taken back because somebody else has it."""
    respx_router.get(URL).mock(
        side_effect=[httpx.Response(200, json=key_set(name)) for name in ("rsa", "rsa-next")]
    )
    keys = make_keys()
    await keys.renew()
    assert keys.key("rsa")

    await keys.renew()

    assert keys.key("rsa") is None
    assert keys.key("rsa-next")


DOWN: dict[str, object] = {
    "refused": httpx.ConnectError("refused"),
    "cut": httpx.RemoteProtocolError("cut"),
    "503": httpx.Response(503),
    "moved": httpx.Response(302, headers={"location": "https://elsewhere.test/keys"}),
    "a page": httpx.Response(200, html="<html>sign in</html>"),
    "no usable key": httpx.Response(200, json={"keys": [published("rsa", use="enc")]}),
    "an endless answer": httpx.Response(200, content=b" " * (SET_BYTES_AT_MOST + 1)),
    "an endless answer, packed": httpx.Response(
        200,
        content=gzip.compress(b" " * (SET_BYTES_AT_MOST + 1)),
        headers={"content-encoding": "gzip"},
    ),
}


@pytest.mark.usefixtures("in_no_hurry")
@pytest.mark.parametrize("answer", DOWN.values(), ids=DOWN)
async def test_keys_stay_while_the_issuer_is_down(
    make_keys: MakeKeys, respx_router: respx.MockRouter, fetches: list[bool], answer: Any
):
    """The issuer's outage is not everybody's: who is signed in stays so, and the operator is told."""
    respx_router.get(URL).mock(
        side_effect=[
            httpx.Response(200, json=key_set("rsa")),
            answer,
            httpx.Response(200, json=key_set("ed")),
        ]
    )
    keys = make_keys()
    await keys.renew()
    assert not keys.failing

    with structlog.testing.capture_logs() as events:
        await keys.learn("ed")

    assert keys.key("rsa")
    assert keys.failing
    assert fetches == [True, False]
    [event] = events
    assert (event["event"], event["kept"], event["failures"]) == ("issuer_keys.missed", 1, 1)

    await keys.learn("ed")  # and it comes back
    assert keys.key("ed")
    assert not keys.failing


async def test_an_issuer_that_drips_is_left(
    make_keys: MakeKeys, respx_router: respx.MockRouter, fetches: list[bool], monkeypatch: pytest.MonkeyPatch
):
    """Whoever waits for a new key waits for the whole answer, and httpx bounds each read only."""
    monkeypatch.setattr(jwks, "FETCH_LIMIT_S", 0.05)

    async def dripping() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.005)
            yield b" "

    respx_router.get(URL).mock(side_effect=lambda _: httpx.Response(200, content=dripping()))
    keys = make_keys()

    async with asyncio.timeout(WITHIN_S):
        await keys.learn("rsa")

    assert fetches == [False]
    assert keys.age_s is None


async def test_keys_are_renewed_beside_the_requests(make_keys: MakeKeys, respx_router: respx.MockRouter):
    """A key that is taken back stops working though no request asks for a new one."""
    answers = iter([key_set("rsa"), None, key_set("rsa-next")])

    def answer(_: httpx.Request) -> httpx.Response:
        told = next(answers, key_set("rsa-next"))
        return httpx.Response(200, json=told) if told else httpx.Response(500)

    respx_router.get(URL).mock(side_effect=answer)
    went, third = list[bool](), asyncio.Event()

    def on_fetch(read: bool) -> None:
        went.append(read)
        if len(went) == 3:
            third.set()

    keys = make_keys(renew_every_s=0.01, on_fetch=on_fetch)
    await keys.renew()
    assert keys.age_s is not None

    running = asyncio.create_task(keys.run())
    async with asyncio.timeout(WITHIN_S):
        await third.wait()
    running.cancel()

    assert went[:3] == [True, False, True]
    assert keys.key("rsa-next")
    assert keys.key("rsa") is None


async def test_the_issuer_is_shown_nothing_of_a_viewer(make_keys: MakeKeys, respx_router: respx.MockRouter):
    """The set is public; a token or a cookie in that request would be a gift."""
    route = respx_router.get(URL).respond(json=key_set("rsa"), headers={"set-cookie": "who=ann"})
    keys = make_keys()

    await keys.renew()
    await keys.renew()

    for call in route.calls:
        assert not {"authorization", "cookie"} & set(call.request.headers)
