"""`bff serve` and `bff dev` with settings that cannot be used: they say so and end, before they listen."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BFF = str(Path(sys.executable).parent / "bff")
SECRET = "Zk3v9Qw1Lr8Xc5Tn2Bm7Hs4Jd6Gf0Pya"
GOOD = {"JWT_SECRET": SECRET, "CRYPTO_SECRET": f"audit-{SECRET}"}


def ended(words: list[str], told: dict[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself, and has only these settings."""
    ours = ("BFF_", "JWT_", "CRYPTO_", "DB_URL")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | told
    return subprocess.run(
        [BFF, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, ["JWT_SECRET or BFF_JWKS_URL", "`bff key`"]),
        ({"JWT_SECRET": "short"}, ["JWT_SECRET is shorter than 32 bytes", "`bff key`"]),
        (
            {"JWT_SECRET": SECRET, "BFF_STRIPE__JWT_SECRET": "dev-only-secret-of-stripe-payments-000004"},
            ["BFF_STRIPE__JWT_SECRET is a default"],
        ),
        ({"JWT_SECRET": SECRET, "BFF_JWKS_URL": "https://issuer.test/keys"}, ["unset one"]),
        ({"JWT_SECRET": SECRET, "BFF_JWT_AUDIENSE": "opside"}, ["Unknown settings: BFF_JWT_AUDIENSE"]),
        ({"JWT_SECRET": SECRET}, ["BFF_AUDIT_KEYS must be a secret", "`bff key`"]),
        ({"JWT_SECRET": SECRET, "CRYPTO_SECRET": "short"}, ["CRYPTO_SECRET is shorter than 32 bytes"]),
        ({"JWT_SECRET": SECRET, "BFF_AUDIT_KEYS": SECRET}, ["BFF_AUDIT_KEYS: must be a JSON list"]),
        (GOOD | {"DB_URL": f"postgres://u:{SECRET}@db/bff"}, ["DB_URL: must be as postgresql+asyncpg://"]),
        (GOOD | {"BFF_DB_URL": f"postgres://u:{SECRET}@db/bff"}, ["BFF_DB_URL (it is DB_URL)"]),
    ],
    ids=[
        "nothing",
        "a short secret",
        "a service's default",
        "two ways",
        "a misspelt name",
        "no audit key",
        "a short audit key",
        "no list",
        "no driver",
        "two names",
    ],
)
def test_serve_names_the_setting_and_ends(told: dict[str, str], said: list[str], tmp_path: Path):
    """A container that starts with a default secret runs for years."""
    done = ended(["serve", "--port", "0"], told, tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not [word for word in said if word not in done.stderr]
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"BFF_LIMITS__MODE": "nope"}, "BFF_LIMITS__MODE: Input should be 'off', 'measure' or 'enforce'"),
        ({"BFF_JWKS_URL": "https://issuer.test/keys"}, "BFF_JWKS_URL is not for `bff dev`"),
    ],
)
def test_dev_names_the_setting_and_ends(told: dict[str, str], said: str, tmp_path: Path):
    """Who tries it out has typed it a moment ago, and is told what to type instead."""
    done = ended(["dev", "--port", "0"], told, tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == "The settings cannot be used."
    assert done.stderr.splitlines()[1:] == [line for line in done.stderr.splitlines() if said in line]


def test_dev_tells_of_a_misspelt_name(tmp_path: Path):
    """It goes on, for a shell may be full of settings; that one of them changes nothing must be said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:  # so that it ends by itself
        port = taken.getsockname()[1]
        done = ended(["dev", "--port", str(port), "--claims", "1"], {"BFF_WATCH_EVERY": "5"}, tmp_path)

    assert done.returncode == 3
    assert "Unknown settings: BFF_WATCH_EVERY. " in done.stderr
    assert "for development" in done.stdout


def test_a_new_key_comes_with_its_hash():
    """The words that the refusals give must work: the hash is what BFF_MACHINES takes."""
    done = subprocess.run([BFF, "key"], capture_output=True, text=True, timeout=120, check=True)

    (_, key), (_, sha256) = (line.split() for line in done.stdout.splitlines())
    assert len(key) >= 43  # 256 bits
    hashed = subprocess.run(["sha256sum"], input=key, capture_output=True, text=True, check=True).stdout
    assert hashed.split()[0] == sha256
