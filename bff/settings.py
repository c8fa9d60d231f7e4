"""Every knob of the process: its unit in its name, its default beside it.

Read once, in `bff/main.py`. The names of the services' addresses are those of the old deployment
(`INTEGRATIONS_URL`, …); everything else is `BFF_…`, nested with two underscores:
`BFF_REFUND_ENGINE__TIMEOUT_S=1.5`. A misspelt `BFF_` name stops the start.
"""

from collections.abc import Mapping

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from clients.chain.breaker import BreakerSettings
from clients.transport import UpstreamSettings

DEV_SECRET = "dev-only-never-in-production-0123456789"  # noqa: S105  # printed at every dev start
SECRET_CHARS_AT_LEAST = 32


class ServiceSettings(BaseModel):
    """How one service is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jwt_secret: SecretStr | None = Field(
        default=None, description="Signs the tokens this service reads; `JWT_SECRET` when absent."
    )
    timeout_s: float = Field(default=2.0, gt=0, le=30, description="Longest wait for one answer, in seconds.")
    connections: int = Field(default=100, ge=1, le=1000, description="Open connections at most.")
    in_flight: int = Field(default=25, ge=1, le=1000, description="Requests under way at most.")
    breaker: BreakerSettings = BreakerSettings()


class Settings(BaseSettings):
    """What the process is told."""

    model_config = SettingsConfigDict(
        env_prefix="BFF_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # an input may be a secret
    )

    integrations_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:3001"), validation_alias="INTEGRATIONS_URL"
    )
    refund_engine_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:3002"), validation_alias="REFUND_ENGINE_URL"
    )
    cost_docs_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:3003"), validation_alias="COST_DOC_SERVICE_URL"
    )
    stripe_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:4000"), validation_alias="STRIPE_SERVICE_URL"
    )
    mcde_url: AnyHttpUrl = Field(default=AnyHttpUrl("http://127.0.0.1:8000"), validation_alias="MCDE_URL")
    predictor_url: AnyHttpUrl = Field(
        default=AnyHttpUrl("http://127.0.0.1:8010"), validation_alias="FBA_PREDICTOR_URL"
    )

    jwt_secret: SecretStr = Field(
        validation_alias="JWT_SECRET",
        description="Verifies callers' tokens (HS256, 32 characters or more); signs services' by default.",
    )
    db_url: str = Field(
        default="sqlite+aiosqlite:///bff.sqlite3",
        validation_alias="DB_URL",
        description="What the BFF remembers, as a SQLAlchemy URL with an async driver.",
    )

    redis_url: str | None = Field(
        default=None,
        description="Valkey or Redis that replicas share, `redis://host:6379/0`; memory when absent.",
    )

    integrations: ServiceSettings = ServiceSettings()
    refund_engine: ServiceSettings = ServiceSettings()
    cost_docs: ServiceSettings = ServiceSettings()
    stripe: ServiceSettings = ServiceSettings()
    mcde: ServiceSettings = ServiceSettings()
    predictor: ServiceSettings = ServiceSettings()

    operation_budget_s: float = Field(
        default=5.0, gt=0.2, le=60, description="Longest time from a request to its answer, in seconds."
    )
    reserve_s: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="Part of that budget kept for putting the answer together, in seconds.",
    )
    rehearsals: bool = Field(
        default=False,
        description="Whether `X-Rehearse` shows outages to whoever has the scope; never in production.",
    )
    docs: bool = Field(
        default=False, description="Whether the REST routes are described: /openapi.json, /docs and /redoc."
    )
    dev: bool = Field(
        False, description="GraphiQL on, dev secret allowed; set by `bff dev`, never in production."
    )

    @model_validator(mode="after")
    def _secret_is_a_secret(self) -> "Settings":
        secret = self.jwt_secret.get_secret_value()
        if not self.dev and (secret == DEV_SECRET or len(secret) < SECRET_CHARS_AT_LEAST):
            raise ValueError(
                f"JWT_SECRET must be a secret of its own with at least {SECRET_CHARS_AT_LEAST} characters"
            )
        return self

    @model_validator(mode="after")
    def _budget_leaves_time_to_ask(self) -> "Settings":
        if self.operation_budget_s <= self.reserve_s:
            raise ValueError("BFF_OPERATION_BUDGET_S must be longer than BFF_RESERVE_S")
        return self

    def upstreams(self) -> dict[str, UpstreamSettings]:
        """How to reach each service, by its slug."""
        with_token, without = self.jwt_secret, None
        return {
            "refund-engine": _upstream(self.refund_engine_url, self.refund_engine, with_token),
            "integrations": _upstream(self.integrations_url, self.integrations, with_token),
            "cost-docs": _upstream(self.cost_docs_url, self.cost_docs, with_token),
            "stripe": _upstream(self.stripe_url, self.stripe, with_token),
            "mcde": _upstream(self.mcde_url, self.mcde, without),
            "predictor": _upstream(self.predictor_url, self.predictor, without),
        }


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """The `BFF_…` names in an environment that no setting has, sorted."""
    known = {f"BFF_{name}".upper() for name in Settings.model_fields}
    return sorted(
        name
        for name in environ
        if name.upper().startswith("BFF_") and name.upper().split("__")[0] not in known
    )


def _upstream(url: AnyHttpUrl, service: ServiceSettings, secret: SecretStr | None) -> UpstreamSettings:
    return UpstreamSettings(
        base_url=url,
        jwt_secret=service.jwt_secret or secret if secret else None,
        timeout_s=service.timeout_s,
        connections=service.connections,
        in_flight=service.in_flight,
        breaker=service.breaker,
    )
