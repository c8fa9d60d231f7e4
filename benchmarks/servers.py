"""The BFF as it is measured, with either executor: production's settings, but for what would refuse the load.

levels    the executor of `bff/execution/`
stock     graphql-core's, everything else the same
"""

from collections.abc import Mapping

from pydantic import AnyHttpUrl, SecretStr

from benchmarks.names import JWT_SECRET, SERVICE_SECRETS
from bff import server
from bff.app import create_app
from bff.rates import RateSettings
from bff.settings import Settings
from bff.telemetry import configure_logging
from clients.freshness import FRESHNESS, Freshness
from clients.transport import ServiceSettings

AUDIT_SECRET = "a-benchmark-seals-its-log-with-these-words"  # noqa: S105


def executors() -> tuple[str, ...]:
    """The executors that this version of the BFF can be built with."""
    return ("levels", "stock") if "executor" in Settings.model_fields else ("stock",)


def settings_of(executor: str, ports: Mapping[str, int], db_url: str) -> Settings:
    """Production's settings, but for what would refuse or give up a load that no one viewer may make.

    Rates and places in the queues are raised, not switched off: they are counted as ever. Waits are raised
    because 64 clients of one core wait for one another.
    """
    def service(name: str) -> ServiceSettings:
        secret = SERVICE_SECRETS.get(name)
        return ServiceSettings(
            jwt_secret=SecretStr(secret) if secret else None,
            timeout_s=30,
            connect_timeout_s=10,
            connections=1000,
            in_flight=1000,
        )

    names = {"refund-engine", "integrations", "cost-docs", "stripe", "mcde", "predictor"}
    chosen = {"executor": executor} if "executor" in Settings.model_fields else {}
    return Settings(
        **{f"{name.replace('-', '_')}_url": AnyHttpUrl(f"http://127.0.0.1:{ports[name]}") for name in names},
        **{name.replace("-", "_"): service(name) for name in names},
        jwt_secret=SecretStr(JWT_SECRET),
        audit_keys=(SecretStr(AUDIT_SECRET),),
        db_url=db_url,
        operation_budget_s=60,
        grace_s=120,
        drain_lead_s=0,
        rates=RateSettings(cost_per_minute=1_000_000, burst_cost=1_000_000),
        **chosen,
    )


def serve(
    executor: str, port: int, services: Mapping[str, int], stripe_claim_ids: Mapping[str, int], db_url: str
) -> None:
    """Serve in this process until told to stop."""
    # What may be repeated for a minute would be asked once and answered from memory ever after.
    for operation, freshness in FRESHNESS.items():
        FRESHNESS[operation] = Freshness(0, freshness.stale_s)
    configure_logging(readable=False)
    settings = settings_of(executor, services, db_url)
    app = create_app(settings, stripe_claim_ids=stripe_claim_ids)
    server.run(app, settings, "127.0.0.1", port)
