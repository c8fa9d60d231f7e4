"""TLS over a real socket: a certificate that a client checks, and no version that is broken."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError
from served import serving

from bff.tls import TlsSettings


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def settings(authority: trustme.CA, tmp_path: Path) -> TlsSettings:
    made = authority.issue_cert("bff.example", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return TlsSettings(cert_file=cert, key_file=key)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_client_that_checks_is_served(authority: trustme.CA, settings: TlsSettings):
    """And is told to come back by https only; over plain HTTP nobody may say so."""
    async with (
        serving(tls=settings) as bff,
        serving() as plain,
        httpx.AsyncClient(verify=trusting(authority)) as http,
    ):
        answer = await http.post(
            f"https://127.0.0.1:{bff.port}/graphql",
            json={"query": "{ viewer { userId } }"},
            headers={"authorization": f"Bearer {bff.token}"},
        )
        without = await http.get(f"http://127.0.0.1:{plain.port}/livez")

        reader, writer = await asyncio.open_connection("127.0.0.1", bff.port, ssl=trusting(authority))
        writer.write(b"no request\r\n\r\n")
        raw = await reader.read()
        writer.close()

    assert b"\r\nstrict-transport-security: max-age=31536000\r\n" in raw
    assert answer.json()["data"]["viewer"]["userId"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in without.headers
    assert "server" not in answer.headers


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_refused(authority: trustme.CA, settings: TlsSettings):
    """TLS 1.1 can be read by others (RFC 8996)."""
    async with serving(tls=settings) as bff:
        spoken = []
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(authority)
            context.minimum_version = context.maximum_version = version
            _, writer = await asyncio.open_connection("127.0.0.1", bff.port, ssl=context)
            spoken.append(writer.get_extra_info("ssl_object").version())
            writer.close()
            await writer.wait_closed()
        old = trusting(authority)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", bff.port, ssl=old)

    assert spoken == ["TLSv1.2", "TLSv1.3"]


def test_half_a_certificate_stops_the_start(settings: TlsSettings, tmp_path: Path):
    """Else the process would serve plain HTTP, and everybody would believe it does not."""
    with pytest.raises(ValidationError, match="go together"):
        TlsSettings(cert_file=settings.cert_file)
    with pytest.raises(ValidationError, match="key_file"):
        TlsSettings(cert_file=settings.cert_file, key_file=tmp_path / "lost.pem")


def test_a_key_that_does_not_fit_stops_the_start(
    settings: TlsSettings, authority: trustme.CA, tmp_path: Path
):
    """With a line that names both files: what OpenSSL says of it is a traceback and no setting."""
    other, none = tmp_path / "other.pem", tmp_path / "none.pem"
    other.write_bytes(authority.issue_cert("bff.example").private_key_pem.bytes())
    none.write_text("no certificate")
    for cert, key in ((settings.cert_file, other), (none, settings.key_file)):
        with pytest.raises(ValidationError, match="must be a certificate and its key"):
            TlsSettings(cert_file=cert, key_file=key)


def test_a_locked_key_is_opened_or_stops_the_start(settings: TlsSettings, tmp_path: Path):
    """Without its password, Python would ask for it at a terminal that a container does not have."""
    assert settings.key_file
    key = load_pem_private_key(settings.key_file.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"of the key"))
    )
    told = {"cert_file": settings.cert_file, "key_file": locked}
    for wrong in ({}, {"key_password": "another"}):
        with pytest.raises(ValidationError, match="BFF_TLS__KEY_PASSWORD"):
            TlsSettings.model_validate(told | wrong)
    assert TlsSettings.model_validate(told | {"key_password": "of the key"}).key_password
