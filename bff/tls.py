"""TLS of `bff serve`, where no proxy before it ends it: versions 1.2 and 1.3, with Python's ciphers."""

import ssl
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator


class TlsSettings(BaseModel):
    """The certificate; without one we speak plain HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    cert_file: FilePath | None = Field(
        default=None, description="PEM: our certificate, then those between it and the root."
    )
    key_file: FilePath | None = Field(default=None, description="PEM: its private key.")
    key_password: SecretStr | None = Field(default=None, description="Opens the key, if it is locked.")

    @model_validator(mode="after")
    def _both_or_none(self) -> "TlsSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("BFF_TLS__CERT_FILE and BFF_TLS__KEY_FILE go together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _they_fit(self) -> "TlsSettings":
        if self.cert_file is None:
            return self
        password = (
            self.key_password.get_secret_value() if self.key_password else ""
        )  # None would ask a person
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert_file, self.key_file, password)
        except OSError:  # not to be read, no PEM, another key, or locked
            raise ValueError(
                "BFF_TLS__CERT_FILE and BFF_TLS__KEY_FILE must be a certificate and its key, both PEM, and "
                "BFF_TLS__KEY_PASSWORD what opens the key if it is locked"
            ) from None
        return self


def tls_options(settings: TlsSettings) -> dict[str, Any]:
    """What uvicorn is told of it; nothing without a certificate."""
    if settings.cert_file is None:
        return {}

    def context(_: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        made = default()
        made.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever the system allows
        return made

    return {
        "ssl_certfile": settings.cert_file,
        "ssl_keyfile": settings.key_file,
        "ssl_keyfile_password": settings.key_password and settings.key_password.get_secret_value(),
        "ssl_context_factory": context,
    }
