"""The six services behind us: their names, in the order every screen shows them, and a client for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
from interlock import State

from clients.caller import Caller
from clients.chain.observed import Outcome
from clients.cost_docs import CostDocs, SearchRoute
from clients.integrations.service import Integrations
from clients.mcde import Mcde
from clients.predictor import Predictor
from clients.quota import Quota
from clients.refund_engine import RefundEngine
from clients.shelf import Shelf
from clients.stripe import Stripe
from clients.transport import Upstream, UpstreamSettings


@dataclass(frozen=True, slots=True)
class Service:
    """What the world may know of a service."""

    name: str  # slug, as in `errors[].extensions.service`
    display_name: str
    probe_every_s: float  # 60 where /health counts against the service's quota, else 30


SERVICES = (
    Service("refund-engine", "Refund Engine", 30),
    Service("integrations", "Integrations", 60),
    Service("cost-docs", "Cost Documentation", 60),
    Service("stripe", "Stripe Payments", 60),
    Service("mcde", "Manufacturing Cost Documents", 30),
    Service("predictor", "FBA Predictor", 30),
)


@dataclass(frozen=True, slots=True)
class Clients:
    """A client per service, all asking on behalf of one caller."""

    refund_engine: RefundEngine
    integrations: Integrations
    cost_docs: CostDocs
    stripe: Stripe
    mcde: Mcde
    predictor: Predictor


class Directory:
    """All upstreams, for the life of the process. Opens no connection until the first call."""

    def __init__(
        self,
        settings: Mapping[str, UpstreamSettings],
        base: Callable[[str, UpstreamSettings], httpx.AsyncBaseTransport],
        *,
        shelf: Shelf,
        reserve_s: float,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        """
        Args:
            settings: by slug, one for each of `SERVICES`.
            base: makes the last link of a service's chain.
            shelf: where answers are kept; opened and closed by whoever made it.
            reserve_s: what is kept of an operation's deadline for putting the answer together.
            on_outcome: told how each call made for a viewer ended.
        """
        self._upstreams = {
            service.name: Upstream(
                service.name,
                settings[service.name],
                base(service.name, settings[service.name]),
                shelf=shelf,
                reserve_s=reserve_s,
                on_outcome=on_outcome,
            )
            for service in SERVICES
        }
        self._search_route = SearchRoute()

    def clients_for(self, caller: Caller) -> Clients:
        """Clients that ask on behalf of `caller`: made per operation, gone with it."""
        return Clients(
            refund_engine=RefundEngine(self._upstreams["refund-engine"], caller),
            integrations=Integrations(self._upstreams["integrations"], caller),
            cost_docs=CostDocs(self._upstreams["cost-docs"], caller, self._search_route),
            stripe=Stripe(self._upstreams["stripe"], caller),
            mcde=Mcde(self._upstreams["mcde"], caller),
            predictor=Predictor(self._upstreams["predictor"], caller),
        )

    def circuit(self, name: str) -> State:
        """State of the circuit breaker in front of a service: OPEN, HALF_OPEN or CLOSED."""
        return self._upstreams[name].circuit

    def quota(self, name: str) -> Quota:
        """What is left of a service's patience."""
        return self._upstreams[name].quota

    async def aclose(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.aclose()
