"""AuditSettings: where the audit log is and what seals it; and what may be a secret at all."""

import re

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bff.settings.reading import Environment
from clients.store.database import PATIENCE_S, url_problem

DEV_SECRET = "dev-only-never-in-production-0123456789"  # noqa: S105  # printed at every dev start
SECRET_BYTES_AT_LEAST = 32  # RFC 7518, section 3.2: as long as the hash it is used with
MAKE_ONE = "make one with `bff key`"
_KNOWN_TO_ALL = re.compile(r"dev[-_]only|your[-_]?secret|change[-_]?(me|this|in)|placeholder", re.IGNORECASE)


class AuditSettings(BaseSettings):
    """Where the audit log is and what seals it: all that `bff audit` is told."""

    model_config = SettingsConfigDict(
        env_prefix="BFF_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # an input may be a secret
    )

    db_url: str = Field(
        default="sqlite+aiosqlite:///bff.sqlite3",
        validation_alias="DB_URL",
        description="What the BFF remembers, as a SQLAlchemy URL with an async driver.",
    )
    db_patience_s: float = Field(
        default=PATIENCE_S,
        gt=0,
        le=60,
        description="How long an answer waits for the database, in seconds; longer where its disk is slow.",
    )
    audit_keys: tuple[SecretStr, ...] = Field(
        default=(),
        description="Seal the audit log: one secret, or two while one replaces the other, the newest first.",
    )
    crypto_secret: SecretStr | None = Field(
        default=None, validation_alias="CRYPTO_SECRET", description="The one secret instead of a list."
    )
    audit_keep_days: int = Field(
        default=400, ge=1, le=36_500, description="How long a row of the audit log is kept, in days."
    )

    dev: bool = Field(
        False,
        description="Dev secrets allowed, schema and `/metrics` open; set by `bff dev`, never in production.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls)

    @field_validator("db_url")
    @classmethod
    def _database_is_served(cls, url: str) -> str:
        if problem := url_problem(url):
            raise ValueError(problem)
        return url

    def audit_problem(self) -> str | None:
        """What is wrong with the secrets of the audit log, in words that say what to do."""
        if self.audit_keys and self.crypto_secret:
            return "BFF_AUDIT_KEYS and CRYPTO_SECRET are two ways to say the same: unset one"
        if len(self.audit_keys) > 2:
            return "BFF_AUDIT_KEYS must be one secret, or two while they change"
        if self.dev:
            return None
        if not (self.audit_keys or self.crypto_secret):
            return f"BFF_AUDIT_KEYS must be a secret that seals the audit log: {MAKE_ONE}"
        variable = "CRYPTO_SECRET" if self.crypto_secret else "BFF_AUDIT_KEYS"
        problems = (secret_problem(secret) for secret in self.audit_secrets())
        return next((f"{variable} {problem}: {MAKE_ONE}" for problem in problems if problem), None)

    def audit_secrets(self) -> list[str]:
        """What seals the audit log, the newest first."""
        told = self.audit_keys or ((self.crypto_secret,) if self.crypto_secret else ())
        return [secret.get_secret_value() for secret in told] or [DEV_SECRET]


def secret_problem(secret: str) -> str | None:
    """What is wrong with a secret, in words that follow its name; None when it is one."""
    if _KNOWN_TO_ALL.search(secret):
        return "is a default that everybody can read"
    if len(secret.encode()) < SECRET_BYTES_AT_LEAST:
        return f"is shorter than {SECRET_BYTES_AT_LEAST} bytes"
    return None
