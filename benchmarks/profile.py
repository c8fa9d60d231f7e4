"""Where the time of one case goes, phase by phase; a run of its own, because looking costs a little."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from benchmarks.cases import cases
from benchmarks.measure import measure, requests_of
from benchmarks.names import HAND_WRITTEN
from benchmarks.processes import running
from benchmarks.report import phases_table, places_list
from benchmarks.servers import executors

WARM_UP_S = 1.0
TAKES_NOTE_S = 0.1  # of the signal that says: begin
WRITTEN_IN_S = 10.0


async def profile(word: str, seconds: float) -> None:
    """Print the phases of each server for the case whose name begins with `word`, one client."""
    case = next(case for case in cases() if case.name.startswith(word))
    phases = {}
    with running((*executors(), HAND_WRITTEN), sampled=True) as setup:
        for name, server in setup.servers.items():
            requests = requests_of(name, case)
            await measure(setup, server, case, requests, clients=1, seconds=WARM_UP_S)
            os.kill(server.pid, signal.SIGUSR1)
            await asyncio.sleep(TAKES_NOTE_S)
            measured = await measure(setup, server, case, requests, clients=1, seconds=seconds)
            os.kill(server.pid, signal.SIGUSR2)
            assert server.samples
            seen = json.loads(await asyncio.to_thread(_written, server.samples))
            count = sum(samples for _, samples in seen["phases"])
            phases[name] = {phase: samples / count * measured.cpu_ms for phase, samples in seen["phases"]} | {
                "all": measured.cpu_ms
            }
            sys.stdout.write(places_list(name, case, measured, seen["places"], count))
    sys.stdout.write(phases_table(case, phases))


def _written(file: Path) -> str:
    ends_at_s = time.monotonic() + WRITTEN_IN_S
    while not file.exists() and time.monotonic() < ends_at_s:
        time.sleep(0.05)
    return file.read_text()
