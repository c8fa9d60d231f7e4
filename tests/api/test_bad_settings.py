"""What the process refuses to be told, in words that say what to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from bff.environment import BadEnvironment, complaints, misspelt, told
from bff.settings.audit import DEV_SECRET
from bff.settings.settings import Settings

SECRET = "Zk3v9Qw1Lr8Xc5Tn2Bm7Hs4Jd6Gf0Pya"  # 32 bytes
SERVICES = ("refund_engine", "integrations", "cost_docs", "stripe")
OF_THEIR_OWN = {name: {"jwt_secret": f"{name}-{SECRET}"} for name in SERVICES}
JWKS = "https://issuer.test/.well-known/jwks.json"


def said(**given: Any) -> str:
    """What is said to somebody who starts `bff serve` with these settings."""
    with pytest.raises(ValidationError) as refused:
        Settings(**given)
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


MISTAKES = {
    "no URL": ("BFF_REDIS_URL", "127.0.0.1:6379", "must be as redis://host:6379/0"),
    "another scheme": ("BFF_REDIS_URL", "http://secret@cache", "must be as redis://host:6379/0"),
    "a port that is a word": ("BFF_REDIS_URL", "redis://cache:secret", "must be as redis://host:6379/0"),
    "a name": ("DB_URL", "nonsense", "must be as postgresql+asyncpg://user:password@host:5432/name or"),
    "no driver": ("DB_URL", "postgresql://u:secret@db/bff", "must be as postgresql+asyncpg://"),
    "another platform's scheme": ("DB_URL", "postgres://u:secret@db/bff", "must be as postgresql+asyncpg://"),
    "a driver that blocks": ("DB_URL", "sqlite:///secret.db", "must be as postgresql+asyncpg://"),
    "a port that is none": ("DB_URL", "postgresql+asyncpg://u@db:secret/bff", "must be as postgresql"),
    "psql's word": ("DB_URL", "postgresql+asyncpg://u@db/bff?sslmode=require", "must say ssl=…"),
    "no folder": ("DB_URL", "sqlite+aiosqlite:////nowhere/secret.db", "must lead into a folder"),
    "one secret": ("BFF_AUDIT_KEYS", SECRET, 'must be a JSON list, as ["first", "second"]'),
    "one key": ("BFF_MCDE__API_KEYS", "secret", 'must be a JSON list, as ["first", "second"]'),
    "no object": ("BFF_MACHINES", "secret", "must be a JSON object, as"),
    "no hash": (
        "BFF_MACHINES",
        '{"router": ["secret"]}',
        "must be the SHA-256 of a key, as `bff key` prints it",
    ),
    "a group": ("BFF_LIMITS", "5", "is a group"),
    "a misspelt part": ("BFF_LIMITS__DEPHT", "secret", "there is no such setting"),
    "a page's path": ("BFF_CORS__ORIGINS", "https://app.example/", "must be an origin in lower case without"),
    "no page": ("BFF_CORS__ORIGINS", "https://app.example,bff", "must be an origin in lower case without"),
    "a port": ("BFF_TRUSTED_HOSTS", "bff.example:443", "must be a name in lower case without a port"),
    "broken JSON": ("BFF_TRUSTED_HOSTS", '["bff.example"', "must be a name in lower case without a port"),
    "a proxy's name": ("BFF_SOCKETS__FORWARDED_ALLOW_IPS", "nonsense", "as 10.0.0.0/8"),
    "half a network": ("BFF_SOCKETS__FORWARDED_ALLOW_IPS", "10.1.2.3/8", "as 10.0.0.0/8"),
    "any and some": ("BFF_SOCKETS__FORWARDED_ALLOW_IPS", "*,10.0.0.0/8", "as 10.0.0.0/8"),
    "no certificate": ("BFF_TLS__CERT_FILE", "/nowhere/cert.pem", "must be the path of a file"),
}


@pytest.mark.parametrize(("name", "value", "why"), MISTAKES.values(), ids=MISTAKES)
def test_a_value_that_cannot_be_used_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
):
    """Whoever deploys reads one line, not sixty of Python; and no value, which may be a secret."""
    monkeypatch.setenv("JWT_SECRET", SECRET)
    if name == "BFF_AUDIT_KEYS":
        monkeypatch.delenv("CRYPTO_SECRET")
    monkeypatch.setenv(name, value)

    with pytest.raises(BadEnvironment) as refused:
        told(Settings)

    head, *lines = str(refused.value).splitlines()
    assert head == "The settings cannot be used."
    assert all(line.strip().startswith(name) for line in lines)
    assert why in lines[0]
    assert not [word for word in (value, "secret", SECRET) if word in lines[0].partition(": ")[2]]


GOOD = {
    "postgres": ("DB_URL", "postgresql+asyncpg://u:p%40w@db:5432/bff?ssl=require", "db_url"),
    "a socket": ("DB_URL", "postgresql+asyncpg://u@/bff?host=/run/postgresql", "db_url"),
    "a file": ("DB_URL", "sqlite+aiosqlite:///bff.sqlite3", "db_url"),
    "Valkey": ("BFF_REDIS_URL", "redis://:p%40w@cache:6379/0", "redis_url"),
    "Valkey over TLS": ("BFF_REDIS_URL", "rediss://cache", "redis_url"),
}


@pytest.mark.parametrize(("name", "value", "field"), GOOD.values(), ids=GOOD)
def test_an_address_that_is_served_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str
):
    """The checks above must refuse nothing that works, and change nothing of it."""
    monkeypatch.setenv(name, value)
    assert getattr(Settings(jwt_secret=SECRET), field) == value


@pytest.mark.parametrize(
    ("given", "kept"),
    [("", None), ("*", "*"), ("10.0.0.0/8, ::1,127.0.0.1", "10.0.0.0/8,::1,127.0.0.1")],
)
def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch, given: str, kept: str | None):
    """What uvicorn understands it is told; nothing else is, for it would pass over it without a word."""
    monkeypatch.setenv("BFF_SOCKETS__FORWARDED_ALLOW_IPS", given)
    assert Settings(jwt_secret=SECRET).sockets.forwarded_allow_ips == kept


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        ('["https://app.example"]', ("https://app.example",)),
        ("https://app.example, http://localhost:3000", ("https://app.example", "http://localhost:3000")),
        ("", ()),  # as a chart sets what nobody filled in
    ],
)
def test_plain_texts_may_have_commas_between(
    monkeypatch: pytest.MonkeyPatch, written: str, origins: tuple[str, ...]
):
    """JSON in an environment has two kinds of quotes too many; both are read."""
    monkeypatch.setenv("BFF_CORS__ORIGINS", written)
    monkeypatch.setenv("BFF_TRUSTED_HOSTS", "bff.example,[::1]")

    settings = Settings(jwt_secret=SECRET)

    assert (settings.cors.origins, settings.trusted_hosts) == (origins, ("bff.example", "[::1]"))


def test_each_setting_has_one_name():
    """`BFF_DB_URL` beside `DB_URL` would be believed to count."""
    assert misspelt({"DB_URL": "", "BFF_LIMITS__DEPTH": "", "bff_redis_url": "", "PATH": ""}) is None
    told_of = misspelt({"BFF_DB_URL": SECRET, "BFF_STRIPE_URL": "", "BFF_WATCH_EVERY": ""})
    assert told_of == (
        "Unknown settings: BFF_DB_URL (it is DB_URL), BFF_STRIPE_URL (it is STRIPE_SERVICE_URL), "
        "BFF_WATCH_EVERY. bff/settings/ lists those that exist."
    )


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
