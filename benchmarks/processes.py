"""The processes of a benchmark: started, pinned to a core, counted by the kernel, and ended."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.names import ASKED_FROM, CONTROL, SERVED_ON

STARTS_IN_S = 30.0
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Process:
    """One server, and what the kernel says it has used."""

    name: str
    port: int
    pid: int
    samples: Path | None = None  # where it writes what it saw of itself

    def cpu_s(self) -> float:
        """CPU seconds of all its threads, user and system, to the nanosecond."""
        return sum(int(_word(task, "schedstat")) for task in Path(f"/proc/{self.pid}/task").iterdir()) / 1e9

    def rss_mb(self) -> float:
        """Memory that it holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@dataclass
class Setup:
    """The services and the servers of one run."""

    services: dict[str, int] = field(default_factory=dict)  # ports
    servers: dict[str, Process] = field(default_factory=dict)

    def calls(self) -> dict[str, int]:
        """How often each service was asked until now, probes left out."""
        counts: dict[str, int] = self._facts()["counts"]
        return counts

    def stripe_claim_ids(self) -> dict[str, int]:
        """Stripe's integers of the claims that were charged."""
        ids: dict[str, int] = self._facts()["stripe_claim_ids"]
        return ids

    def _facts(self) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.services[CONTROL]}/") as answer:
            return json.load(answer)


@contextlib.contextmanager
def running(names: tuple[str, ...], *, sampled: bool = False) -> Iterator[Setup]:
    """The services and these servers, each in a process, until the block ends.

    Args:
        sampled: each server looks at itself while it works; see `sampling.py`.
    """
    with contextlib.ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="opside-bench-")))
        setup = Setup()
        upstream = _start(closing, ["upstream"], ASKED_FROM, folder / "upstream.log", piped=True)
        assert upstream.stdout
        setup.services = json.loads(upstream.stdout.readline())
        ids = folder / "stripe_claim_ids.json"
        ids.write_text(json.dumps(setup.stripe_claim_ids()))
        for name in names:
            port = _free_port()
            command = ["serve", name, str(port), json.dumps(setup.services), str(ids)]
            command.append(f"sqlite+aiosqlite:///{folder / name}.sqlite3")
            seen = folder / f"{name}.samples.json" if sampled else None
            command += ["--sampled", str(seen)] if seen else []
            process = _start(closing, command, SERVED_ON, folder / f"{name}.log")
            setup.servers[name] = Process(name, port, process.pid, seen)
        for server in setup.servers.values():
            _wait_for(server, folder / f"{server.name}.log")
        yield setup


def _start(
    closing: contextlib.ExitStack, command: list[str], core: int, log: Path, *, piped: bool = False
) -> subprocess.Popen[str]:
    written = closing.enter_context(log.open("w"))
    process = subprocess.Popen(  # noqa: S603  # ourselves
        [sys.executable, "-m", "benchmarks", "--core", str(core), *command],
        cwd=ROOT,
        # A server's log is written as in production, to nowhere: a disk is not what is measured.
        stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
        stderr=written,
        text=True,
    )
    closing.enter_context(process)
    closing.callback(process.kill)
    return process


def _wait_for(server: Process, log: Path) -> None:
    ends_at_s = time.monotonic() + STARTS_IN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > ends_at_s:
                raise SystemExit(f"{server.name} did not start:\n{log.read_text()}") from None
            time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _word(task: Path, name: str) -> str:
    try:
        return (task / name).read_text().split()[0]
    except OSError:  # the thread has just ended
        return "0"
