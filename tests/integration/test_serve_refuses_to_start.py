"""`bff serve` with settings that would let anybody in: it says so and ends, before it listens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BFF = str(Path(sys.executable).parent / "bff")
SECRET = "Zk3v9Qw1Lr8Xc5Tn2Bm7Hs4Jd6Gf0Pya"


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
    ],
    ids=[
        "nothing",
        "a short secret",
        "a service's default",
        "two ways",
        "a misspelt name",
        "no audit key",
        "a short audit key",
    ],
)
def test_serve_names_the_setting_and_ends(told: dict[str, str], said: list[str], tmp_path: Path):
    """A container that starts with a default secret runs for years."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("BFF_", "JWT_", "CRYPTO_"))
    } | told

    done = subprocess.run(
        [BFF, "serve", "--port", "0"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not [word for word in said if word not in done.stderr]
    assert SECRET not in done.stderr


def test_a_new_key_comes_with_its_hash():
    """The words that the refusals give must work: the hash is what BFF_MACHINES takes."""
    done = subprocess.run([BFF, "key"], capture_output=True, text=True, timeout=120, check=True)

    (_, key), (_, sha256) = (line.split() for line in done.stdout.splitlines())
    assert len(key) >= 43  # 256 bits
    hashed = subprocess.run(["sha256sum"], input=key, capture_output=True, text=True, check=True).stdout
    assert hashed.split()[0] == sha256
