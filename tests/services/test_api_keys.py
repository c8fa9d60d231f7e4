"""The keys by which services know the BFF: one is sent, and it is never anybody else's."""

import pytest
import respx
from pydantic import SecretStr

from clients.caller import Caller
from clients.directory import Clients, Directory
from clients.transport import ServiceSettings, UpstreamSettings


@pytest.fixture
def settings(settings: dict[str, UpstreamSettings]) -> dict[str, UpstreamSettings]:
    """mcde and stripe want a key; the others do not."""
    old = SecretStr("a-key-to-go")
    keys = {"mcde": (SecretStr("key-for-mcde"), old), "stripe": (SecretStr("key-for-stripe"),)}
    return {name: told.model_copy(update={"api_keys": keys.get(name, ())}) for name, told in settings.items()}


async def test_a_service_is_shown_its_own_key_for_every_viewer(
    as_ann: Clients, as_bob: Clients, respx_router: respx.MockRouter, captured
):
    """The key names the BFF, not a seller; a key shown elsewhere is a key lost."""
    respx_router.route(host="stripe.test").respond(json=captured("stripe", "009"))
    respx_router.route(host="refund-engine.test").respond(json=captured("refund-engine", "016"))

    for clients in (as_ann, as_bob):
        await clients.stripe.transactions_page(limit=1)
        await clients.refund_engine.claims_page(limit=1)

    shown = [(call.request.url.host, call.request.headers.get("x-api-key")) for call in respx_router.calls]
    assert shown == [("stripe.test", "key-for-stripe"), ("refund-engine.test", None)] * 2
    tokens = {call.request.headers["authorization"] for call in respx_router.calls}
    assert len(tokens) == 4  # beside the viewer's own


async def test_probes_carry_the_key(
    directory: Directory, caller_for, respx_router: respx.MockRouter, captured
):
    """A service that lets in nobody without its key would look down."""
    respx_router.route(host="mcde.test").respond(json=captured("mcde", "001"))
    nobody: Caller = caller_for(None)

    await directory.clients_for(nobody).mcde.health()

    headers = respx_router.calls.last.request.headers
    assert (headers.get("x-api-key"), headers.get("authorization")) == ("key-for-mcde", None)


def test_a_service_has_two_keys_at_most():
    """To change a key: let the service take both, put the new one first, take the old one away."""
    keys = tuple(SecretStr(f"key-{number}") for number in range(3))

    assert ServiceSettings(api_keys=keys[:2]).api_keys == keys[:2]
    with pytest.raises(ValueError, match="at most 2"):
        ServiceSettings(api_keys=keys)
