"""Where the time of one case goes, phase by phase; a run of its own, because looking costs a little."""

import asyncio
import json
import os
import signal
import sys

from benchmarks.cases import cases
from benchmarks.measure import measure, requests_of
from benchmarks.processes import running
from benchmarks.names import HAND_WRITTEN
from benchmarks.servers import executors


async def profile(word: str, seconds: float) -> None:
    """Print the phases of each server for the case whose name begins with `word`, one client."""
    case = next(case for case in cases() if case.name.startswith(word))
    with running((*executors(), HAND_WRITTEN), sampled=True) as setup:
        for server in setup.servers.values():
            requests = requests_of(server.name, case)
            await measure(setup, server, case, requests, clients=1, seconds=1)
            os.kill(server.pid, signal.SIGUSR1)
            await asyncio.sleep(0.1)
            measured = await measure(setup, server, case, requests, clients=1, seconds=seconds)
            os.kill(server.pid, signal.SIGUSR2)
            assert server.samples
            while not server.samples.exists():
                await asyncio.sleep(0.05)
            seen = json.loads(server.samples.read_text())
            count = sum(samples for _, samples in seen["phases"])
            sys.stdout.write(
                f"\n{server.name}: {case.name}, {measured.cpu_ms:.2f} ms CPU per request "
                f"({measured.requests} requests, {count} samples), calls {measured.calls}\n\n"
            )
            for phase, samples in seen["phases"]:
                share = samples / count
                sys.stdout.write(f"  {phase:36} {share * measured.cpu_ms:7.2f} ms  {share:6.1%}\n")
            sys.stdout.write("\n")
            for place, samples in seen["places"][:40]:
                sys.stdout.write(f"    {samples / count * measured.cpu_ms:6.2f} ms  {place}\n")
            sys.stdout.flush()
