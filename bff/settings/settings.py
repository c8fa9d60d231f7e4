"""Settings: what the process is told."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator
from redis.asyncio.connection import parse_url

from bff.http_guard import CorsSettings, HostName
from bff.limits import LimitSettings
from bff.plain_values import COMMAS, written_as
from bff.rates import RateSettings
from bff.settings.audit import MAKE_ONE, AuditSettings, secret_problem
from bff.settings.connections import SocketSettings, StreamSettings
from bff.tls import TlsSettings
from bff.trusted import Trust
from clients.transport import ServiceSettings, UpstreamSettings

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

READ_TOKENS = ("refund_engine", "integrations", "cost_docs", "stripe")
READ_NONE = ("mcde", "predictor")  # unless somebody has given them a lock

KeyHash = Annotated[str, written_as(r"[0-9a-f]{64}", "the SHA-256 of a key, as `bff key` prints it")]


class Settings(AuditSettings):
    """What the process is told."""

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

    jwt_secret: SecretStr | None = Field(
        default=None,
        validation_alias="JWT_SECRET",
        description="Verifies callers' tokens (HS256, 32 bytes or more); signs services' by default.",
    )
    jwt_secret_previous: SecretStr | None = Field(
        default=None,
        validation_alias="JWT_SECRET_PREVIOUS",
        description="Verifies callers' tokens as well, while `JWT_SECRET` replaces it; signs nothing.",
    )
    jwks_url: AnyHttpUrl | None = Field(
        default=None,
        description="Where the issuer of callers' tokens publishes its keys; instead of `JWT_SECRET`.",
    )
    jwt_audience: str | None = Field(
        default=None, min_length=1, description="What `aud` of a caller's token must hold."
    )
    jwt_issuer: str | None = Field(
        default=None, min_length=1, description="What `iss` of a caller's token must be."
    )
    jwt_leeway_s: float = Field(
        default=30.0, ge=0, le=300, description="How far the issuer's clock may be off, in seconds."
    )
    machines: dict[str, tuple[KeyHash, ...]] = Field(
        default={},
        description="Programs that may read the schema and `/metrics`: a name, and the SHA-256 of one or two "
        "keys, as `bff key` prints them.",
    )
    metrics_public: bool = Field(
        default=False,
        description="Whether `/metrics` needs no key, where only the operator's network reaches it.",
    )

    stripe_first_id: int | None = Field(
        default=None,
        ge=1,
        le=2_147_483_647,
        description="Stripe's integers for claims begin here: above every one that stripe-payments has used. "
        "When absent, commissions are refused.",
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
    limits: LimitSettings = LimitSettings()
    executor: Literal["levels", "stock"] = Field(
        default="levels",
        description="What executes operations: whole levels of objects at once, or graphql-core by itself.",
    )
    rates: RateSettings = RateSettings()
    sockets: SocketSettings = SocketSettings()
    tls: TlsSettings = TlsSettings()
    cors: CorsSettings = CorsSettings()
    trusted_hosts: Annotated[tuple[HostName, ...], COMMAS] = Field(
        default=(),
        description="Names that requests may call us by, without ports; any when empty.",
    )
    drain_lead_s: float = Field(
        default=5.0,
        ge=0,
        le=120,
        description="How long `/readyz` says that we are leaving while all is served still, in seconds.",
    )
    grace_s: float = Field(
        default=20.0, gt=2, le=600, description="For requests under way to end after that, in seconds."
    )
    body_limit_bytes: int = Field(
        default=256 * 1024, ge=1024, description="Largest body, and longest query string, of a request."
    )
    persisted_queries: bool = Field(
        default=True, description="Whether clients may send a document once, and then only its hash."
    )
    trusted_documents: Path | None = Field(
        default=None, description="A manifest of documents that clients were built with; `docs/http.md`."
    )
    trusted_documents_mode: Trust = Field(
        default=Trust.OFF,
        description="What becomes of a document that is neither in it nor ours: off runs it, warn runs and "
        "logs it, only refuses it.",
    )
    watch_every_s: float = Field(
        default=15.0,
        ge=0.05,
        le=600,
        description="Pace of the polls behind subscriptions, in seconds; slower as a quota shrinks.",
    )
    streams: StreamSettings = StreamSettings()
    rehearsals: bool = Field(
        default=False,
        description="Whether `X-Rehearse` shows outages to whoever has the scope; never in production.",
    )
    router_scopes: bool = Field(
        default=False,
        description="Whether `_service` prints `@requiresScopes`: GraphOS, Hive and Cosmo routers read it, "
        "Apollo's gateway refuses the whole supergraph for it. Scopes are enforced here either way.",
    )
    docs: bool = Field(
        default=False, description="Whether the REST routes are described: /openapi.json, /docs and /redoc."
    )

    @field_validator("redis_url")
    @classmethod
    def _valkey_is_served(cls, url: str | None) -> str | None:
        try:
            served = not url or (url.startswith(("redis://", "rediss://")) and parse_url(url))
        except ValueError:  # its port is no number, say
            served = False
        if not served:
            raise ValueError("must be as redis://host:6379/0, or rediss:// for TLS")
        return url or None

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> "Settings":
        if not self.jwt_secret and self.jwks_url is None:
            raise ValueError(
                "JWT_SECRET or BFF_JWKS_URL must say how callers' tokens are verified; "
                f"for a secret, {MAKE_ONE}"
            )
        if self.dev and self.jwks_url is not None:
            raise ValueError("BFF_JWKS_URL is not for `bff dev`, which issues tokens of its own: unset it")
        if self.jwt_secret and self.jwks_url is not None:
            raise ValueError(
                "JWT_SECRET and BFF_JWKS_URL are two ways to verify callers' tokens: unset one. "
                "The services' secrets have names of their own, as BFF_STRIPE__JWT_SECRET"
            )
        if self.jwks_url and self.jwks_url.scheme != "https" and self.jwks_url.host not in _LOOPBACK:
            raise ValueError(
                "BFF_JWKS_URL must begin with https: whoever can change its answer can sign in as anybody"
            )
        return self

    @model_validator(mode="after")
    def _previous_secret_has_a_successor(self) -> "Settings":
        if self.jwt_secret_previous and not self.jwt_secret:
            raise ValueError(
                "JWT_SECRET_PREVIOUS is the secret before JWT_SECRET, which is not set: unset both, or set "
                "JWT_SECRET to the new one"
            )
        if self.jwt_secret_previous and self.jwt_secret_previous == self.jwt_secret:
            raise ValueError("JWT_SECRET_PREVIOUS is JWT_SECRET: unset it, or set JWT_SECRET to the new one")
        return self

    @model_validator(mode="after")
    def _secrets_are_secrets(self) -> "Settings":
        callers = {"JWT_SECRET": self.jwt_secret, "JWT_SECRET_PREVIOUS": self.jwt_secret_previous}
        told = {variable: secret for variable, secret in callers.items() if secret}
        for name in READ_TOKENS + READ_NONE:
            service: ServiceSettings = getattr(self, name)
            variable = f"BFF_{name.upper()}__JWT_SECRET"
            if service.jwt_secret:
                told[variable] = service.jwt_secret
            elif name in READ_TOKENS and not self.jwt_secret:
                raise ValueError(f"{variable} must be that service's secret: there is no JWT_SECRET")
        for variable, secret in told.items():
            if not self.dev and (problem := secret_problem(secret.get_secret_value())):
                raise ValueError(f"{variable} {problem}: {MAKE_ONE}")
        return self

    @model_validator(mode="after")
    def _machines_have_keys(self) -> "Settings":
        for name, hashes in self.machines.items():
            if not 1 <= len(hashes) <= 2:
                raise ValueError(f"BFF_MACHINES: {name} must have one key, or two while they change")
        return self

    @model_validator(mode="after")
    def _budget_leaves_time_to_ask(self) -> "Settings":
        if self.operation_budget_s <= self.reserve_s:
            raise ValueError("BFF_OPERATION_BUDGET_S must be longer than BFF_RESERVE_S")
        return self

    @model_validator(mode="after")
    def _dearest_operation_can_be_paid(self) -> "Settings":
        if self.rates.mode == "enforce" and self.rates.burst_cost < self.limits.cost:
            raise ValueError(
                f"BFF_RATES__BURST_COST must be {self.limits.cost} or more, as BFF_LIMITS__COST: "
                "an operation dearer than the burst would be told to come again for ever"
            )
        return self

    @model_validator(mode="after")
    def _grace_is_enough(self) -> "Settings":
        longest_s = self.sockets.body_wait_s + self.operation_budget_s
        if self.grace_s <= longest_s:
            raise ValueError(
                f"BFF_GRACE_S must be longer than {longest_s:g} s: a request may take "
                "BFF_SOCKETS__BODY_WAIT_S to arrive and BFF_OPERATION_BUDGET_S to be answered"
            )
        return self

    @model_validator(mode="after")
    def _audit_log_is_sealed(self) -> "Settings":
        if problem := self.audit_problem():
            raise ValueError(problem)
        return self

    def upstreams(self) -> dict[str, UpstreamSettings]:
        """How to reach each service, by its slug."""
        return {
            "refund-engine": _upstream(self.refund_engine_url, self.refund_engine, self.jwt_secret),
            "integrations": _upstream(self.integrations_url, self.integrations, self.jwt_secret),
            "cost-docs": _upstream(self.cost_docs_url, self.cost_docs, self.jwt_secret),
            "stripe": _upstream(self.stripe_url, self.stripe, self.jwt_secret),
            "mcde": _upstream(self.mcde_url, self.mcde, None),
            "predictor": _upstream(self.predictor_url, self.predictor, None),
        }


def _upstream(url: AnyHttpUrl, service: ServiceSettings, secret: SecretStr | None) -> UpstreamSettings:
    """Where a service is and how it is asked; `secret` signs its tokens unless it has one of its own."""
    how = {name: getattr(service, name) for name in ServiceSettings.model_fields}
    return UpstreamSettings(base_url=url, **{**how, "jwt_secret": service.jwt_secret or secret})
