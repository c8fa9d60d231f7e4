"""A token is verified once and judged at each request: what was proven a minute ago may not hold any more."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import httpx
import jwt
import pytest
import respx
import time_machine
from issuer import URL, claims_of, key_set, published, signed
from pydantic import SecretStr

from bff import auth
from bff.auth import LEEWAY_S, Authenticator, Unauthenticated
from bff.sandbox.seed import SELLERS
from clients.jwks import IssuerKeys

ANN, BOB = SELLERS[0].user_id, SELLERS[1].user_id
SECRET = SecretStr("the-secret-of-this-test".ljust(64, "_"))
NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def token(user_id: str, *, secret: SecretStr = SECRET, lives_s: float = 600) -> str:
    """Ends so many seconds from now."""
    claims = {"user_id": user_id, "exp": time.time() + lives_s}
    return jwt.encode(claims, secret.get_secret_value(), algorithm="HS256")


def seen(authenticator: Authenticator, shown: str) -> str:
    """The user whom a token names, or why it was refused."""
    try:
        return authenticator.viewer(f"Bearer {shown}").user_id
    except Unauthenticated as refusal:
        return refusal.reason


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(SECRET)


@pytest.fixture
def router() -> respx.MockRouter:
    """The issuer's address; it publishes two keys."""
    router = respx.MockRouter(assert_all_called=False)
    router.get(URL).respond(json=key_set("ec", "ed"))
    return router


@pytest.fixture
async def keys(router: respx.MockRouter) -> AsyncIterator[IssuerKeys]:
    keys = IssuerKeys(URL, httpx.MockTransport(router.async_handler))
    await keys.renew()
    yield keys
    await keys.aclose()


@pytest.fixture
def trusting(keys: IssuerKeys) -> Authenticator:
    """Trusts the issuer's published keys."""
    return Authenticator(keys, audience="opside", issuer="https://issuer.test")


async def test_a_token_that_was_let_in_ends_with_its_time(authenticator: Authenticator):
    """Who was signed out an hour ago must not go on because we remember them, nor be sent away too early."""
    with time_machine.travel(NOON, tick=False) as clock:
        short, long = token(ANN, lives_s=60), token(BOB, lives_s=3600)
        verdicts = {}
        for after_s in (0, 59, 60, 60 + LEEWAY_S - 1, 60 + LEEWAY_S, 600):
            clock.move_to(NOON.timestamp() + after_s)
            verdicts[after_s] = seen(authenticator, short)
            assert verdicts[after_s] == seen(Authenticator(SECRET), short)  # which sees it for the first time
            assert seen(authenticator, long) == BOB

    assert verdicts == {0: ANN, 59: ANN, 60: ANN, 89: ANN, 90: "expired", 600: "expired"}
    assert authenticator._proven.cache_info().misses == 2


async def test_a_token_is_verified_once(authenticator: Authenticator):
    """Checking a signature for each of a screen's twenty requests costs more than the smallest of them."""
    tokens = [token(who, lives_s=600 + number) for number in range(5) for who in (ANN, BOB)]

    for _ in range(20):
        assert [seen(authenticator, shown) for shown in tokens] == [ANN, BOB] * 5

    assert authenticator._proven.cache_info()[:2] == (190, 10)  # hits and misses


@pytest.mark.parametrize("kept", [auth.TOKENS_KEPT, 3, 1], ids="{} kept".format)
async def test_nobody_gets_the_viewer_of_another(monkeypatch: pytest.MonkeyPatch, kept: int):
    """One seller's token that gives the other's viewer gives the other's whole account."""
    monkeypatch.setattr(auth, "TOKENS_KEPT", kept)
    authenticator = Authenticator(SECRET)
    users = [ANN, BOB, str(UUID(int=1)), str(UUID(int=2))]
    shown = {user: [token(user), token(user, lives_s=900)] for user in users}

    for turn in range(200):
        for user in users[turn % 4 :] + users[: turn % 4]:
            assert seen(authenticator, shown[user][turn % 2]) == user

    assert authenticator._proven.cache_info().currsize == min(kept, 8)


async def test_what_was_refused_is_not_remembered(authenticator: Authenticator):
    """Strangers who send garbage must neither fill the memory nor push out who was let in."""
    anns, bobs = token(ANN), token(BOB)
    assert [seen(authenticator, shown) for shown in (anns, bobs)] == [ANN, BOB]

    other = SecretStr("another-secret-of-more-than-32-characters")
    header, _, signature = anns.split(".")
    payload = bobs.split(".")[1]
    garbage = ["garbage", "a.b.c", token(ANN, secret=other), f"{header}.{payload}.{signature}"]
    for number in range(auth.TOKENS_KEPT + 1000):
        assert seen(authenticator, f"{garbage[number % 4]}{number}") == "invalid"

    before = authenticator._proven.cache_info()
    assert before.currsize == 2
    assert [seen(authenticator, shown) for shown in (anns, bobs)] == [ANN, BOB]
    assert authenticator._proven.cache_info().hits == before.hits + 2


async def test_an_expired_token_is_not_remembered_for_its_end(authenticator: Authenticator):
    """A client that never stops to send its old token takes nobody's place."""
    for _ in range(3):
        assert seen(authenticator, token(ANN, lives_s=-LEEWAY_S - 1)) == "expired"

    assert authenticator._proven.cache_info().currsize == 0


async def test_a_token_whose_key_was_dropped_is_refused(
    trusting: Authenticator, keys: IssuerKeys, router: respx.MockRouter
):
    """An issuer drops a key that was stolen: whoever signed in with it is out at the next request."""
    anns, bobs = signed("ec", claims_of(ANN)), signed("ed", claims_of(BOB))
    assert [seen(trusting, shown) for shown in (anns, bobs)] == [ANN, BOB]

    router.get(URL).respond(json=key_set("ed", "rsa"))
    await keys.renew()

    for _ in range(3):
        assert [seen(trusting, shown) for shown in (anns, bobs)] == ["invalid", BOB]
    router.get(URL).respond(json=key_set("ed", "ec"))  # it was dropped by mistake
    await keys.renew()
    assert [seen(trusting, shown) for shown in (anns, bobs)] == [ANN, BOB]


async def test_a_key_under_an_old_name_is_another_key(
    trusting: Authenticator, keys: IssuerKeys, router: respx.MockRouter
):
    """What counts is the key and not what it is called: the old one may be in a thief's hands."""
    old, bobs = signed("ec", claims_of(ANN)), signed("ed", claims_of(BOB))
    assert [seen(trusting, shown) for shown in (old, bobs)] == [ANN, BOB]

    router.get(URL).respond(json={"keys": [published("rsa-next", kid="ec"), published("ed")]})
    await keys.renew()

    new = signed("rsa-next", claims_of(ANN), kid="ec")
    assert [seen(trusting, shown) for shown in (old, new, bobs)] == ["invalid", ANN, BOB]


async def test_keys_that_were_read_anew_cost_a_verification_each(
    trusting: Authenticator, keys: IssuerKeys, router: respx.MockRouter
):
    """Once in five minutes, and not at each request from then on; while the issuer is down, not even so."""
    shown = [signed("ec", claims_of(ANN)), signed("ed", claims_of(BOB))]

    def ten_rounds() -> tuple[int, int]:
        """How often tokens were known and verified, since all were forgotten."""
        for _ in range(10):
            assert [seen(trusting, each) for each in shown] == [ANN, BOB]
        return trusting._proven.cache_info()[:2]

    assert ten_rounds() == (18, 2)
    await keys.renew()
    assert ten_rounds() == (18, 2)
    router.get(URL).mock(side_effect=httpx.ConnectError("down"))
    await keys.renew()
    assert keys.failing
    assert ten_rounds() == (38, 2)
