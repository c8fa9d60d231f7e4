"""Settings: every knob of a service can be turned, and each service is shown a token of its own secret."""

import pytest
from pydantic import ValidationError

from bff.settings.settings import Settings
from clients.transport import ServiceSettings

SHARED = "a-secret-that-all-services-share-0001"
OWN = "a-secret-of-one-service-alone-000002"


@pytest.fixture
def upstreams(monkeypatch):
    """What the process would know of its services, told so by the environment."""

    def upstreams(**environ):
        monkeypatch.setenv("JWT_SECRET", SHARED)
        monkeypatch.setenv("CRYPTO_SECRET", OWN)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return Settings().upstreams()

    return upstreams


def secret_of(upstream):
    return upstream.jwt_secret and upstream.jwt_secret.get_secret_value()


def test_a_service_signs_with_its_own_secret_or_the_shared_one(upstreams):
    """mcde and the predictor are shown no token; a deployment that gave one a lock gets to use its key."""
    found = upstreams(BFF_STRIPE__JWT_SECRET=OWN, BFF_MCDE__JWT_SECRET=OWN, BFF_COST_DOCS__JWT_SECRET="")

    assert {name: secret_of(upstream) for name, upstream in found.items()} == {
        "refund-engine": SHARED,
        "integrations": SHARED,
        "cost-docs": SHARED,
        "stripe": OWN,
        "mcde": OWN,
        "predictor": None,
    }


def test_every_knob_reaches_its_service_alone(upstreams):
    """A knob that turns nothing is found in an outage: the wait for a connection was one."""
    turned = {"timeout_s": "1.5", "connect_timeout_s": "0.25", "connections": "7", "in_flight": "3"}
    environ = {f"BFF_STRIPE__{name}".upper(): value for name, value in turned.items()}
    found = upstreams(**environ, BFF_STRIPE__BREAKER__WINDOW_S="33", STRIPE_SERVICE_URL="http://stripe.test")

    stripe, mcde = found["stripe"], found["mcde"]
    assert {name: getattr(stripe, name) for name in turned} == {k: float(v) for k, v in turned.items()}
    assert (stripe.breaker.window_s, str(stripe.base_url)) == (33, "http://stripe.test/")
    assert {name: getattr(mcde, name) for name in turned} == {
        name: ServiceSettings.model_fields[name].default for name in turned
    }
    assert set(turned) | {"breaker", "jwt_secret", "api_keys"} == set(ServiceSettings.model_fields)


def test_a_misspelt_knob_stops_the_start(upstreams):
    """Or it would be believed to be turned."""
    with pytest.raises(ValidationError):
        upstreams(BFF_STRIPE__TIMEOUT="1")
