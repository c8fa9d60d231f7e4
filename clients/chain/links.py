"""The links of the chain in their order: what each request to a service passes on its way."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from clients.chain.attempt import Attempt
from clients.chain.breaker import Breaker, BreakerSettings
from clients.chain.bulkhead import Bulkhead
from clients.chain.memory import Memory
from clients.chain.observed import Observed, Outcome
from clients.chain.rehearsal import Rehearsal
from clients.chain.retry import Retries
from clients.quota import Quota
from clients.shelf import Shelf


@dataclass(frozen=True)
class Chain:
    """The links that each request to one service passes, outermost first; the only place that orders them.

    memory       repeats what is fresh, asks once for many, prefers stale to nothing, holds the deadline
    rehearsal    stands in for the service where the caller wants to see an outage
    observed     reads the answer, and tells the health monitor how it went
    bulkhead     25 requests at once, the next wait half a second, each viewer in turn
    retries      a second attempt where it is safe, affordable and in time
    breaker      leaves a failing service alone for a while
    attempt      one request that leaves, within the service's limit; logs it, shares the quota
    base         the network, a service in this process, or a test's routes
    """

    first: httpx.AsyncBaseTransport
    breaker: Breaker
    quota: Quota


def chain(
    name: str,
    settings: BreakerSettings,
    base: httpx.AsyncBaseTransport,
    *,
    in_flight: int,
    shelf: Shelf,
    reserve_s: float,
    on_outcome: Callable[[Outcome], None],
) -> Chain:
    """Put the links of one service together; `base` is the last."""
    quota = Quota()
    breaker = Breaker(Attempt(base, quota, reserve_s=reserve_s), name, settings)
    asking = Observed(Bulkhead(Retries(breaker), in_flight), on_outcome)
    return Chain(Memory(Rehearsal(asking), shelf, reserve_s=reserve_s), breaker, quota)
