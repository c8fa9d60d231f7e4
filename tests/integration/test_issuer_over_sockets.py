"""`bff serve` and an issuer on real sockets: keys are read, changed and outlived."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from issuer import claims_of, key_set, signed
from processes import free_port, process, wait_until_ready

BFF = str(Path(sys.executable).parent / "bff")
ANN, BOB = "5e11e200-0a00-4000-8000-000000000001", "5e11e200-0b00-4000-8000-000000000002"


class Issuer(BaseHTTPRequestHandler):
    """Answers with the keys of the moment."""

    published: tuple[str, ...] = ("rsa",)

    def do_GET(self) -> None:  # the library's name
        body = json.dumps(key_set(*Issuer.published)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def issuer() -> Iterator[ThreadingHTTPServer]:
    Issuer.published = ("rsa",)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(issuer: ThreadingHTTPServer, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name != "JWT_SECRET"} | {
        "BFF_JWKS_URL": f"http://127.0.0.1:{issuer.server_port}/keys",
        "BFF_JWT_AUDIENCE": "opside",
        "CRYPTO_SECRET": "Qz7w2Er5Ty8Ui1Op4As6Df9Gh3Jk0Lxy",
        "DB_URL": f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3",
        **{
            f"BFF_{name}__JWT_SECRET": f"Zk3v9Qw1Lr8Xc5Tn2Bm7Hs4Jd6Gf0Pya-{name}"
            for name in ("REFUND_ENGINE", "INTEGRATIONS", "COST_DOCS", "STRIPE")
        },
    }
    with process([BFF, "serve", "--port", str(port)], cwd=tmp_path, env=env):
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"


def asked(address: str, token: str) -> httpx.Response:
    return httpx.post(
        f"{address}/graphql",
        json={"query": "{ viewer { userId } }"},
        headers={"authorization": f"Bearer {token}"},
        timeout=20,
    )


def test_keys_are_read_changed_and_outlived(address: str, issuer: ThreadingHTTPServer) -> None:
    """The wiring from settings to sockets: what the other tests hand in as a transport."""
    assert asked(address, signed("rsa", claims_of(ANN))).json()["data"]["viewer"]["userId"] == ANN
    assert asked(address, signed("ed", claims_of(BOB), kid="rsa")).status_code == 401

    Issuer.published = ("rsa", "ec")  # a new one, before anybody told us
    assert asked(address, signed("ec", claims_of(BOB))).json()["data"]["viewer"]["userId"] == BOB

    issuer.shutdown()
    issuer.server_close()
    for who, name in ((ANN, "rsa"), (BOB, "ec")):
        assert asked(address, signed(name, claims_of(who))).json()["data"]["viewer"]["userId"] == who
