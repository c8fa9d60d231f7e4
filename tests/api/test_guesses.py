"""Guessing tokens is slow, and a guesser's neighbours are let in all the same."""

import hashlib
from datetime import timedelta

import httpx
import pytest
from bff_under_test import Bff, MakeBff

from bff.app import dev_token
from bff.dev_issuer import DevIssuer
from bff.rates import RateSettings
from bff.sandbox.seed import SELLERS

RATES = RateSettings(bad_tokens_per_minute=5)
ANN, BOB = SELLERS[:2]
VIEWER = "{ viewer { userId } }"


@pytest.fixture
async def bff(make_bff: MakeBff) -> Bff:
    return await make_bff(claims=5, rates=RATES)


def from_address(bff: Bff, host: str) -> httpx.AsyncClient:
    app = bff.http._transport.app  # type: ignore[attr-defined]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=(host, 1)), base_url="http://bff")


async def status(http: httpx.AsyncClient, authorization: str | None, path: str = "/graphql") -> int:
    headers = {"authorization": authorization} if authorization else {}
    if path != "/graphql":
        return (await http.get(path, headers=headers)).status_code
    return (await http.post(path, json={"query": VIEWER}, headers=headers)).status_code


async def guess(http: httpx.AsyncClient, times: int) -> list[int]:
    return [await status(http, f"Bearer guess-{number}") for number in range(times)]


async def test_after_some_guesses_nothing_is_looked_at(bff: Bff):
    """Not even the right one: else the answer would tell it from the wrong ones."""
    right = f"Bearer {dev_token(bff.settings, ANN)}"
    bff.calls()

    assert await guess(bff.http, 7) == [401] * 5 + [429] * 2
    assert await status(bff.http, right) == 429
    refused = await bff.http.post("/graphql", json={"query": VIEWER}, headers={"authorization": right})

    [error] = refused.json()["errors"]
    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("RATE_LIMITED", True)
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert error["extensions"]["retryAfterMs"] == int(refused.headers["retry-after"]) * 1000
    assert await status(bff.http, right, "/api/recoveries") == 429
    assert bff.calls() == {}


async def test_who_was_let_in_before_is_let_in_still(bff: Bff):
    """An office has one address: one broken script there must not sign everybody out."""
    anns, bobs = (f"Bearer {dev_token(bff.settings, seller)}" for seller in (ANN, BOB))
    assert await status(bff.http, anns) == 200

    await guess(bff.http, 6)

    assert (await status(bff.http, anns), await status(bff.http, bobs)) == (200, 429)


async def test_another_address_is_another_matter(bff: Bff):
    """A guesser stops nobody elsewhere; but within one IPv6 network addresses cost nothing."""
    right = f"Bearer {dev_token(bff.settings, BOB)}"
    async with (
        from_address(bff, "10.0.0.9") as other,
        from_address(bff, "2001:db8:1:2::1") as six,
        from_address(bff, "2001:db8:1:2:ffff::7") as same_site,
        from_address(bff, "2001:db8:1:3::1") as other_site,
    ):
        await guess(bff.http, 6)
        assert await status(other, right) == 200
        await guess(six, 6)
        assert await status(same_site, f"{right} ") == 429
        assert await status(other_site, right) == 200


async def test_an_old_token_is_no_guess(bff: Bff):
    """Twenty tabs that slept over night all come with the token of yesterday, or without one."""
    assert bff.settings.jwt_secret
    expired = DevIssuer(bff.settings.jwt_secret).token(
        user_id=ANN.user_id, email=None, name=None, stripe_user_id=None, expires_in=timedelta(hours=-1)
    )

    for shown in (f"Bearer {expired}", None):
        assert {await status(bff.http, shown) for _ in range(10)} == {401}
    assert await status(bff.http, f"Bearer {dev_token(bff.settings, BOB)}") == 200


async def test_keys_of_programs_are_guessed_as_slowly(make_bff: MakeBff):
    """A key opens the schema and `/metrics`; whoever has the right one is let in while others guess."""
    sha256 = hashlib.sha256(b"the-right-key").hexdigest()
    bff = await make_bff(claims=5, rates=RATES, dev=False, machines={"prometheus": (sha256,)})
    assert await status(bff.http, "Bearer the-right-key", "/metrics") == 200

    statuses = [await status(bff.http, f"Bearer wrong-{number}", "/metrics") for number in range(7)]

    assert statuses == [401] * 5 + [429] * 2
    assert await status(bff.http, "Bearer the-right-key", "/metrics") == 200
