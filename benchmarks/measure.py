"""One measurement: a server, a case, some clients, for a while."""

import math
import statistics
from dataclasses import dataclass

import orjson

from benchmarks.cases import Case
from benchmarks.load import load
from benchmarks.names import HAND_WRITTEN
from benchmarks.processes import Process, Setup
from benchmarks.viewers import CLIENTS_AT_MOST, token


@dataclass(frozen=True)
class Measured:
    """What one server spent on one case under one load."""

    requests: int
    cpu_ms: float  # per request
    latencies_s: list[float]
    rss_mb: float
    calls: dict[str, float]  # per request, by service

    def latency_ms(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] * 1000


def together(rounds: list[Measured]) -> Measured:
    """Several rounds as one: the median of what each cost, all latencies."""
    return Measured(
        requests=sum(each.requests for each in rounds),
        cpu_ms=statistics.median(each.cpu_ms for each in rounds),
        latencies_s=[latency for each in rounds for latency in each.latencies_s],
        rss_mb=rounds[-1].rss_mb,
        calls=rounds[-1].calls,
    )


def requests_of(server: str, case: Case) -> list[bytes]:
    """The bytes that each client sends to a server, ready."""
    body = orjson.dumps({"query": case.document, "variables": case.variables})
    if server == HAND_WRITTEN:
        line, length = f"GET {case.path}", ""
        body = b""
    else:
        line, length = "POST /graphql", f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return [
        f"{line} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n{length}"
        f"authorization: Bearer {token(case.seller, client)}\r\n\r\n".encode()
        + body
        for client in range(CLIENTS_AT_MOST)
    ]


async def measure(
    setup: Setup, server: Process, case: Case, requests: list[bytes], *, clients: int, seconds: float
) -> Measured:
    """Ask one server for a while, and take what the kernel and the services say of it.

    Raises:
        Refused: an answer was not 200, or carried errors.
    """
    calls, cpu_s = setup.calls(), server.cpu_s()
    latencies_s = await load(server.port, requests, clients=clients, seconds=seconds)
    spent_s, after = server.cpu_s() - cpu_s, setup.calls()
    count = len(latencies_s)
    return Measured(
        requests=count,
        cpu_ms=spent_s / count * 1000,
        latencies_s=latencies_s,
        rss_mb=server.rss_mb(),
        calls={
            name: (after[name] - calls.get(name, 0)) / count
            for name in after
            if after[name] != calls.get(name)
        },
    )
