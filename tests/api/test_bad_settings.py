"""What the process refuses to be told, in words that say what to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from bff.environment import complaints
from bff.settings.audit import DEV_SECRET
from bff.settings.settings import Settings

SECRET = "Zk3v9Qw1Lr8Xc5Tn2Bm7Hs4Jd6Gf0Pya"  # 32 bytes
SERVICES = ("refund_engine", "integrations", "cost_docs", "stripe")
OF_THEIR_OWN = {name: {"jwt_secret": f"{name}-{SECRET}"} for name in SERVICES}
JWKS = "https://issuer.test/.well-known/jwks.json"


def said(**told: Any) -> str:
    """What is said to somebody who starts `bff serve` with these settings."""
    with pytest.raises(ValidationError) as refused:
        Settings(**told)
    text = "\n".join(complaints(refused.value))
    assert SECRET not in text
    assert DEV_SECRET not in text
    return text


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests are not these."""
    monkeypatch.delenv("JWT_SECRET", raising=False)
    monkeypatch.setenv("CRYPTO_SECRET", "Qz7w2Er5Ty8Ui1Op4As6Df9Gh3Jk0Lxy")


NO_SECRETS = {
    "short": ("x9" * 15 + "x", "shorter than 32 bytes"),
    "that of bff dev": (DEV_SECRET, "a default"),
    "that of the sandbox": ("dev-only-secret-of-stripe-payments-000004", "a default"),
    "that of the old orchestrator": ("your-secret-key-change-in-production", "a default"),
    "that of the refund engine's code": ("your-secret-key" * 3, "a default"),
    "a placeholder": ("CHANGE_ME" * 5, "a default"),
}


@pytest.mark.parametrize(("secret", "why"), NO_SECRETS.values(), ids=NO_SECRETS)
def test_a_callers_secret_must_be_a_secret(secret: str, why: str):
    """Whoever knows it signs in as any seller."""
    text = said(jwt_secret=secret)

    assert text.startswith("JWT_SECRET ")
    assert why in text
    assert "`bff key`" in text
    assert secret not in text


@pytest.mark.parametrize(("secret", "why"), NO_SECRETS.values(), ids=NO_SECRETS)
def test_the_secret_before_must_be_a_secret_as_well(secret: str, why: str):
    """While it is accepted, whoever knows it signs in as any seller."""
    text = said(jwt_secret=SECRET, jwt_secret_previous=secret)

    assert text.startswith("JWT_SECRET_PREVIOUS ")
    assert why in text


def test_a_secret_before_has_one_after_it():
    """Alone, or the same twice, it is a change that somebody has begun and not thought to its end."""
    assert "JWT_SECRET_PREVIOUS is the secret before" in said(
        jwt_secret_previous=SECRET, jwks_url=JWKS, **OF_THEIR_OWN
    )
    assert "JWT_SECRET_PREVIOUS is JWT_SECRET" in said(jwt_secret=SECRET, jwt_secret_previous=SECRET)


@pytest.mark.parametrize("service", [*SERVICES, "mcde"])
@pytest.mark.parametrize(("secret", "why"), NO_SECRETS.values(), ids=NO_SECRETS)
def test_a_services_secret_must_be_a_secret(service: str, secret: str, why: str):
    """Whoever knows it asks the service directly, as any seller."""
    text = said(jwt_secret=SECRET, **{service: {"jwt_secret": secret}})

    assert text.startswith(f"BFF_{service.upper()}__JWT_SECRET ")
    assert why in text
    assert "`bff key`" in text


def test_there_is_one_way_to_sign_in():
    """With none nobody could be let in; with two it would be unclear whose tokens count."""
    assert "JWT_SECRET or BFF_JWKS_URL" in said()
    assert "JWT_SECRET or BFF_JWKS_URL" in said(jwt_secret="")  # as a chart sets what nobody filled in
    assert "JWT_SECRET and BFF_JWKS_URL" in said(jwt_secret=SECRET, jwks_url=JWKS, **OF_THEIR_OWN)


def test_with_published_keys_each_service_has_its_secret():
    """JWT_SECRET signs the services' tokens where they have none of their own; it is not there then."""
    assert Settings(jwks_url=JWKS, **OF_THEIR_OWN).upstreams()["stripe"].jwt_secret
    for service in SERVICES:
        lacking = {name: told for name, told in OF_THEIR_OWN.items() if name != service}
        assert f"BFF_{service.upper()}__JWT_SECRET must be" in said(jwks_url=JWKS, **lacking)


@pytest.mark.parametrize(
    "url", ["http://issuer.test/keys", "http://127.0.0.1.evil.test/keys", "ftp://issuer.test"]
)
def test_keys_are_not_read_over_an_open_line(url: str):
    """Whoever changes that answer on its way signs in as anybody."""
    assert "BFF_JWKS_URL" in said(jwks_url=url, **OF_THEIR_OWN)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]:8080/keys"]
)
def test_keys_may_be_read_from_this_machine(url: str):
    """A line that leaves no machine is open to nobody, and is what tests and side cars use."""
    assert Settings(jwks_url=url, **OF_THEIR_OWN).jwks_url


def test_the_dearest_operation_fits_into_the_burst():
    """Else it would be told to come again, and again."""
    text = said(jwt_secret=SECRET, rates={"burst_cost": 199})
    assert "BFF_RATES__BURST_COST must be 200 or more" in text
    assert Settings(jwt_secret=SECRET, rates={"burst_cost": 200}).rates.burst_cost == 200
    assert Settings(jwt_secret=SECRET, rates={"burst_cost": 1, "mode": "off"}).rates.burst_cost == 1


def test_a_setting_is_named_as_it_is_written():
    """`refund_engine.timeout_s` is not what anybody typed."""
    assert said(jwt_secret=SECRET, refund_engine={"timeout_s": -1}).startswith(
        "BFF_REFUND_ENGINE__TIMEOUT_S: "
    )
    assert said(jwt_secret=SECRET, jwt_leeway_s="soon").startswith("BFF_JWT_LEEWAY_S: ")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    """The names in the documentation are the names that are read."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("BFF_MCDE__API_KEYS", '["first-key", "next-key"]')
    monkeypatch.setenv("BFF_MACHINES", f'{{"prometheus": ["{"0" * 64}"]}}')
    monkeypatch.setenv("BFF_JWT_AUDIENCE", "opside")
    monkeypatch.setenv("BFF_CORS__ORIGINS", '["https://app.example"]')
    monkeypatch.setenv("BFF_TRUSTED_HOSTS", '["bff.example", "[::1]"]')
    monkeypatch.setenv("BFF_RATES__COST_PER_MINUTE", "60")

    settings = Settings()  # type: ignore[call-arg]

    assert settings.machines == {"prometheus": ("0" * 64,)}
    assert settings.jwt_audience == "opside"
    assert (settings.cors.origins, settings.trusted_hosts) == (
        ("https://app.example",),
        ("bff.example", "[::1]"),
    )
    assert settings.rates.cost_per_minute == 60
    keys = settings.upstreams()["mcde"].api_keys
    assert [key.get_secret_value() for key in keys] == ["first-key", "next-key"]
    assert settings.upstreams()["mcde"].jwt_secret is None
    assert "first-key" not in repr(settings)


@pytest.mark.parametrize("secret", [SECRET, "é" * 16])
def test_thirty_two_bytes_are_enough(secret: str):
    """The checks above must not refuse what is good."""
    assert Settings(jwt_secret=secret).upstreams()["stripe"].jwt_secret


def test_the_audit_log_has_a_secret_or_two(monkeypatch: pytest.MonkeyPatch):
    """Sealed with what everybody knows, it would prove nothing; with three, who knows which is old?"""
    assert "two ways to say the same" in said(jwt_secret=SECRET, audit_keys=[f"one {SECRET}"])
    monkeypatch.delenv("CRYPTO_SECRET")
    assert said(jwt_secret=SECRET).startswith("BFF_AUDIT_KEYS must be a secret")
    assert "one secret, or two" in said(jwt_secret=SECRET, audit_keys=[f"{n} {SECRET}" for n in range(3)])
    assert said(jwt_secret=SECRET, audit_keys=[SECRET, DEV_SECRET]).startswith("BFF_AUDIT_KEYS is a default")
    both = Settings(jwt_secret=SECRET, audit_keys=[f"new {SECRET}", f"old {SECRET}"])  # type: ignore[arg-type]
    assert both.audit_secrets() == [f"new {SECRET}", f"old {SECRET}"]
    assert SECRET not in repr(both)
