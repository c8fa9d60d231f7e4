"""What an operation asks of the services, in numbers; `explain.py` works them out."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class ServiceCalls:
    """Upstream calls of one operation to one service."""

    at_most: int = 0
    expected: int = 0  # for most sellers, whose lists fill one page
    cost: int = 0  # expected calls, the dear ones counted more


@dataclass
class Explanation:
    """What an operation asks, at most and as a rule."""

    services: defaultdict[str, ServiceCalls] = field(default_factory=lambda: defaultdict(ServiceCalls))
    hops: int = 0  # answers that must arrive one after the other
    objects: int = 0  # that the answer may hold in its lists
    event_cost: int = 0  # of each event of a stream, beyond its snapshot
    by_values: bool = False  # whether all this depends on more of the variables than sizes: on what they name
    by_hop: defaultdict[int, defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )  # hop, counted from 1 → service → calls at most

    @property
    def cost(self) -> int:
        """What the operation costs in ordinary upstream calls, as a rule."""
        return sum(calls.cost for calls in self.services.values())

    def add(self, other: "Explanation", times: int) -> None:
        """Add what is asked so many times, at once."""
        for service, calls in other.services.items():
            ours = self.services[service]
            ours.at_most += times * calls.at_most
            ours.expected += times * calls.expected
            ours.cost += times * calls.cost
        for hop, services in other.by_hop.items():
            for service, at_most in services.items():
                self.by_hop[hop][service] += times * at_most
        self.hops = max(self.hops, other.hops)
        self.objects += times * other.objects
