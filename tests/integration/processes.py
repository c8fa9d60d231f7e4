"""Real processes for drills: started in a group of their own, ended with it."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

STARTED_WITHIN_S = 120  # a clean clone installs itself first
ENDED_WITHIN_S = 40  # twice what a process takes for requests under way


@contextlib.contextmanager
def process(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends."""
    running = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(timeout=ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            raise


def free_port() -> int:
    """A port that nobody listens on just now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now, all of them different."""
    with contextlib.ExitStack() as probes:
        held = [probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in held]


def wait_until_ready(url: str) -> None:
    """Ask until it answers 200, for two minutes."""
    give_up_at_s = time.monotonic() + STARTED_WITHIN_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).is_success:
                return
        if time.monotonic() > give_up_at_s:
            raise AssertionError(f"{url} did not answer within {STARTED_WITHIN_S} s")
        time.sleep(0.2)
