"""The BFF as it is measured, with either executor: production's settings, but for what would refuse the load.

levels    the executor of `bff/execution/`
stock     graphql-core's, everything else the same
"""

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from benchmarks.names import JWT_SECRET, SERVICE_SECRETS
from bff import server
from bff.app import create_app
from bff.rates import RateSettings
from bff.settings.settings import Settings
from bff.telemetry import configure_logging
from clients.directory import SERVICES
from clients.freshness import FRESHNESS, Freshness

AUDIT_SECRET = "a-benchmark-seals-its-log-with-these-words"  # noqa: S105
WAITS_S = 30.0  # for a service or our database: 64 clients of one core wait for one another
EXECUTOR = "executor"  # the setting that chooses


def executors() -> tuple[str, ...]:
    """The executors that this version of the BFF can be built with."""
    return ("levels", "stock") if EXECUTOR in Settings.model_fields else ("stock",)


def serve(
    executor: str, port: int, services: Mapping[str, int], stripe_claim_ids: Mapping[str, int], db_url: str
) -> None:
    """Serve in this process until told to stop."""
    ask_each_time()
    configure_logging(readable=False)
    settings = settings_of(executor, services, db_url)
    server.run(create_app(settings, stripe_claim_ids=stripe_claim_ids), settings, "127.0.0.1", port)


def ask_each_time() -> None:
    """Let no answer be repeated while it is fresh: the second request would be answered from memory.

    All is kept all the same, for outages, and what that costs is measured.
    """
    for operation, freshness in FRESHNESS.items():
        FRESHNESS[operation] = Freshness(0, freshness.stale_s)


def settings_of(executor: str, ports: Mapping[str, int], db_url: str) -> Settings:
    """Production's settings with room for 64 clients that ask without pause.

    Rates and places in queues are widened, not switched off: they are counted as ever.
    """
    told: dict[str, Any] = {EXECUTOR: executor} if EXECUTOR in Settings.model_fields else {}
    for name in (service.name for service in SERVICES):
        setting, secret = name.replace("-", "_"), SERVICE_SECRETS.get(name)
        told[f"{setting}_url"] = f"http://127.0.0.1:{ports[name]}"
        told[setting] = {
            "timeout_s": WAITS_S,
            "connect_timeout_s": 10,
            "connections": 1000,
            "in_flight": 1000,
            **({"jwt_secret": SecretStr(secret)} if secret else {}),
        }
    return Settings(
        **told,
        jwt_secret=SecretStr(JWT_SECRET),
        audit_keys=(SecretStr(AUDIT_SECRET),),
        db_url=db_url,
        db_patience_s=WAITS_S,
        operation_budget_s=60,
        grace_s=120,
        drain_lead_s=0,
        rates=RateSettings(cost_per_minute=1_000_000, burst_cost=1_000_000),
    )
