"""The tables of a run, in Markdown: what is printed is what the README keeps."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.measure import Measured, together
from benchmarks.names import HAND_WRITTEN

STOCK = "stock"
VERSIONS = (
    "strawberry-graphql",
    "graphql-core",
    "fastapi",
    "aiohttp",
    "httpx",
    "pydantic",
    "orjson",
    "uvloop",
)


def heading() -> str:
    """When, where and with what."""
    cpu = next(
        (
            line.split(": ")[1]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}; {versions}; load average {os.getloadavg()[0]:.1f}"
    )


def case_table(case: Case, by_clients: Mapping[int, Mapping[str, list[Measured]]]) -> str:
    """One case: a line for each server and number of clients."""
    first = next(iter(next(iter(by_clients.values())).values()))[0]
    rows = []
    for clients, by_server in by_clients.items():
        seen = {name: together(rounds) for name, rounds in by_server.items()}
        for name, one in seen.items():
            rows.append(
                (
                    name,
                    clients,
                    f"{one.cpu_ms:.2f}",
                    f"{_spread(by_server[name]):.0%}",
                    f"{one.cpu_ms / seen[HAND_WRITTEN].cpu_ms:.2f}",
                    f"{one.cpu_ms / seen[STOCK].cpu_ms:.2f}",
                    f"{one.latency_ms(0.5):.1f}",
                    f"{one.latency_ms(0.99):.1f}",
                    f"{one.rss_mb:.0f}",
                    f"{sum(one.calls.values()):.3g}",
                    one.requests,
                )
            )
    calls = ", ".join(f"{service} {count:g}" for service, count in sorted(first.calls.items())) or "none"
    head = (
        "server", "clients", "CPU ms", "spread", "× hand-written", "× stock", "p50 ms", "p99 ms", "RSS MB",
        "calls", "requests",
    )  # fmt: skip
    return f"\n### {case.name}\n\nUpstream calls of one request: {calls}.\n\n{_table(head, rows)}"


def growth_table(name: str, grown: Sequence[tuple[Case, Mapping[str, list[Measured]]]]) -> str:
    """CPU ms over leaf fields, and the slope of the line through them."""
    servers = list(grown[0][1])
    rows: list[tuple[str, ...]] = []
    points: dict[str, list[tuple[int, float]]] = {server: [] for server in servers}
    for case, by_server in grown:
        seen = {server: together(by_server[server]) for server in servers}
        calls = sum(seen[servers[0]].calls.values())
        rows.append((f"{case.leaves:,}", f"{calls:g}", *(f"{seen[server].cpu_ms:.2f}" for server in servers)))
        for server in servers:
            points[server].append((case.leaves or 0, seen[server].cpu_ms))
    slopes = {server: _line(found) for server, found in points.items()}
    rows.append(("µs per further field", "", *(f"{slopes[server][0] * 1000:.2f}" for server in servers)))
    rows.append(("linear (R²)", "", *(f"{slopes[server][1]:.4f}" for server in servers)))
    head = ("leaf fields", "calls", *(f"{server}, CPU ms" for server in servers))
    return f"\n### Growth: {name}, one client\n\n{_table(head, rows)}"


def phases_table(case: Case, by_server: Mapping[str, Mapping[str, float]]) -> str:
    """CPU ms of one request by phase; the dearest of all servers first."""
    names = {phase for phases in by_server.values() for phase in phases}
    ordered = sorted(names, key=lambda phase: -max(phases.get(phase, 0) for phases in by_server.values()))
    rows = [
        (phase, *(f"{phases[phase]:.2f}" if phase in phases else "" for phases in by_server.values()))
        for phase in ordered
    ]
    head = ("phase", *(f"{name}, CPU ms" for name in by_server))
    return f"\n### {case.name}: by phase, one client\n\n{_table(head, rows)}\n"


def places_list(
    name: str, case: Case, measured: Measured, places: Iterable[tuple[str, int]], count: int
) -> str:
    """Where samples fell. What C code takes falls to the Python that it calls next."""
    lines = (f"    {samples / count * measured.cpu_ms:6.2f} ms  {place}" for place, samples in places)
    return (
        f"\n{name}: {case.name}, {measured.requests} requests, {count} samples\n\n" + "\n".join(lines) + "\n"
    )


def _line(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Slope by least squares, and the share of the variance that the line explains."""
    x, y = zip(*points, strict=True)
    slope, base = statistics.linear_regression(x, y)
    mean = statistics.fmean(y)
    missed = sum((each - base - slope * at) ** 2 for at, each in points)
    return slope, 1 - missed / sum((each - mean) ** 2 for each in y)


def _spread(rounds: list[Measured]) -> float:
    """From the cheapest round to the dearest, by the median."""
    costs = [each.cpu_ms for each in rounds]
    return (max(costs) - min(costs)) / statistics.median(costs)


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = [[str(cell) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    written.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(written)
