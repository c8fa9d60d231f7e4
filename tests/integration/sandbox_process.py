"""The six services in a process of their own, on ports that nobody holds: what `bff sandbox` serves.

    services = services_on_free_ports()
    env = os.environ | services.addresses   # where `bff serve` looks for them
    with services.running():
        services.put_faults({"stripe": "down"})

Run as a program it serves them, with the ports as JSON in its argument.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from processes import free_ports, process, wait_until_ready

from bff.sandbox import serve
from bff.sandbox.sandbox import PORTS, Sandbox
from bff.sandbox.seed import seed

ROOT = Path(__file__).parents[2]
VARIABLES = {
    "integrations": "INTEGRATIONS_URL",
    "refund-engine": "REFUND_ENGINE_URL",
    "cost-docs": "COST_DOC_SERVICE_URL",
    "stripe": "STRIPE_SERVICE_URL",
    "mcde": "MCDE_URL",
    "predictor": "FBA_PREDICTOR_URL",
}


@dataclass(frozen=True)
class Services:
    """Where the services are, before they are started and while they run."""

    ports: Mapping[str, int]
    control_port: int

    @property
    def addresses(self) -> dict[str, str]:
        """The settings of a BFF over them, as environment."""
        return {VARIABLES[name]: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}

    def put_faults(self, words: dict[str, str]) -> None:
        """Break or heal services."""
        address = f"http://127.0.0.1:{self.control_port}/faults"
        httpx.put(address, json=words, timeout=30).raise_for_status()

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Serve them until the block ends."""
        told = json.dumps({"ports": dict(self.ports), "control_port": self.control_port})
        with process([sys.executable, __file__, told], cwd=ROOT, env=os.environ) as serving:
            for port in self.ports.values():
                wait_until_ready(f"http://127.0.0.1:{port}/health")
            yield serving


def services_on_free_ports() -> Services:
    control_port, *own = free_ports(1 + len(PORTS))
    return Services(dict(zip(PORTS, own, strict=True)), control_port)


if __name__ == "__main__":
    asyncio.run(serve.serve(Sandbox(seed(60)), **json.loads(sys.argv[1])))
