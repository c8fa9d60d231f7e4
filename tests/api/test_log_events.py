"""The log as an operator reads it: who asked what of whom, under one id, and nobody's data."""

import contextlib
import json
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog
from bff_under_test import Bff, MakeBff
from late import LATE_S
from read_operations import variables_for

from bff.app import dev_token
from bff.sandbox.sandbox import SERVICES
from bff.sandbox.seed import SELLERS
from bff.telemetry import configure_logging

Event = dict[str, Any]
Logged = Callable[[], list[Event]]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Logged]:
    """What production writes to standard output since the last look: JSON, one event a line."""
    configure_logging(readable=False)
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    structlog.reset_defaults()


def of(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event["event"] == name]


@contextlib.asynccontextmanager
async def held_by_another_process(database: Path) -> AsyncIterator[None]:
    """Let nobody read a SQLite database: hold the eight bytes of its index file that readers lock."""
    hold = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX, 8, 120)"
    command = [sys.executable, "-c", f"{hold}; print(flush=True); input()", f"{database}-shm"]
    async with await anyio.open_process(command, stderr=None) as process:
        assert process.stdout
        await process.stdout.receive()
        yield
        process.kill()


@pytest.fixture
async def bff(make_bff: MakeBff, logged: Logged) -> Bff:
    """A BFF that has made its first round of probes, with nothing in its log."""
    made = await make_bff(claims=10, mcde_repaired=True, search_reachable=True)
    await made.checked()
    logged()
    return made


async def test_every_read_leaves_one_event_and_one_per_call(bff: Bff, logged: Logged):
    """An operation can be read from its start to its calls by one id: none is missing, none is another's."""
    for operation, variables in variables_for(bff.sandbox.world).items():
        bff.sandbox.calls.clear()

        answer = await bff.ask(operation, **variables)

        events = logged()
        [executed] = of(events, "operation.executed")
        called = of(events, "upstream.called")
        assert Counter(event["upstream"] for event in called) == bff.calls()
        assert executed["upstream_calls"] == Counter(event["upstream"] for event in called)
        assert (executed["operation"], executed["viewer_id"]) == (operation, SELLERS[0].user_id)
        assert executed["error_count"] == len(answer.errors)
        assert executed["duration_ms"] >= max((event["duration_ms"] for event in called), default=0)
        assert {(event["correlation_id"], event["support_code"]) for event in events} == {
            (executed["correlation_id"], executed["support_code"])
        }
        for event in called:
            assert (event["outcome"], event["status"], event["level"]) == ("OK", 200, "info")
            assert re.fullmatch(r"[a-z]\w+", event["operation"])


async def test_operations_do_not_share_an_id(bff: Bff, logged: Logged):
    """An id that two requests share leads an operator to the wrong seller."""
    for _ in range(3):
        await bff.ask("AppShell")

    executed = of(logged(), "operation.executed")

    assert len({event["correlation_id"] for event in executed}) == 3
    assert len({event["support_code"] for event in executed}) == 3


async def test_the_callers_request_id_goes_all_the_way(bff: Bff, logged: Logged):
    """One id from the browser to the service's own log; it comes back in the answer too."""
    headers = {
        "authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}",
        "x-request-id": "Browser-7.f_3",
    }
    bff.heard.clear()

    response = await bff.http.post("/graphql", json={"query": "{ claims { asOf } }"}, headers=headers)

    assert response.headers["x-request-id"] == "Browser-7.f_3"
    assert [heard.headers["x-request-id"] for heard in bff.heard] == ["Browser-7.f_3"]
    assert {event["correlation_id"] for event in logged()} == {"Browser-7.f_3"}


@pytest.mark.parametrize(
    "told", ["", "a b", "x" * 65, 'a"}{"event":"forged', "a\tb", "é", "../../etc", "<script>"], ids=repr
)
async def test_a_request_id_that_is_no_plain_word_is_replaced(bff: Bff, logged: Logged, told: str):
    """Whoever can write into a log can make it lie."""
    headers = {
        "authorization": f"Bearer {dev_token(bff.settings, SELLERS[0])}".encode(),
        "x-request-id": told.encode("latin-1"),
    }
    bff.heard.clear()

    response = await bff.http.post("/graphql", json={"query": "{ claims { asOf } }"}, headers=headers)

    given = response.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)
    assert [heard.headers["x-request-id"] for heard in bff.heard] == [given]
    assert {event["correlation_id"] for event in logged()} == {given}


async def test_every_route_gives_its_id_back(bff: Bff):
    """Also a refusal and a health page can be found again."""
    for route, status in (("/livez", 200), ("/health", 200), ("/graphql", 401), ("/nowhere", 404)):
        response = await bff.http.get(route, headers={"x-request-id": "mine"})

        assert (response.status_code, response.headers["x-request-id"]) == (status, "mine")


async def test_a_support_code_leads_to_the_log(bff: Bff, logged: Logged):
    """What a person reads out on the phone is in each event of that operation."""
    bff.sandbox.down.add("stripe")

    answer = await bff.ask("Dashboard")

    [code] = {error["extensions"]["supportCode"] for error in answer.errors}
    events = logged()
    assert {event["support_code"] for event in events} == {code}
    [executed] = of(events, "operation.executed")
    assert (executed["error_codes"], executed["error_count"]) == (["SERVICE_UNAVAILABLE"], len(answer.errors))
    assert len(answer.errors) > 1


async def test_a_refusal_is_logged_under_its_support_code(bff: Bff, logged: Logged):
    """Before an operation there is no viewer; the code is then the only thing to search for."""
    response = await bff.http.post("/graphql", json={"query": "{ viewer { userId } }"})

    [event] = logged()
    assert (event["event"], event["reason"]) == ("sign_in.refused", "missing")
    assert event["support_code"] == response.json()["errors"][0]["extensions"]["supportCode"]


@pytest.mark.parametrize("fault", ["", "down", "error", "garbage", "rate-limited"])
async def test_no_secret_and_no_person_is_in_the_log(
    bff: Bff, capsys: pytest.CaptureFixture[str], fault: str
):
    """Logs are copied, indexed and read by many: tokens open doors, names and links are the seller's."""
    seller, links, tokens = SELLERS[0], [], set()
    for service in SERVICES if fault else ():
        bff.sandbox.faults[service] = fault
    bff.heard.clear()

    for operation, variables in variables_for(bff.sandbox.world).items():
        answer = await bff.ask(operation, **variables)
        links += re.findall(r'https?://[^"]+', json.dumps(answer.data))
    await bff.ask("query($q: String!) { searchClaims(query: $q) { asOf } }", q=seller.email)
    await bff.ask("query($q: String!) { searchClaims(first: $q) { asOf } }", q=seller.name)
    await bff.ask(f'{{ claimByCaseNumber(caseNumber: "{seller.name}") {{ id }} }} # {seller.email}')
    tokens |= {heard.headers.get("authorization", "").removeprefix("Bearer ") for heard in bff.heard} - {""}

    text = capsys.readouterr().out
    assert text.count("operation.executed") == len(variables_for(bff.sandbox.world)) + 3
    assert bool(links) is not bool(fault)
    assert len(tokens) >= 4
    private = {seller.name, seller.email, *seller.name.split(), *seller.email.split("@"), *links, *tokens}
    private |= {row["originalName"] for row in bff.sandbox.world.documents.values()}
    private |= {row["claim_description"] for row in bff.sandbox.world.claims.values()} - {None}
    private |= {"eyJ", "Bearer", "Signature=", dev_token(bff.settings, seller)}
    private |= {secret.get_secret_value() for secret in _secrets(bff)}
    assert [word for word in private if word in text] == []
    assert "Traceback" not in text
    assert '"exception"' not in text


def _secrets(bff: Bff) -> list[Any]:
    upstreams = bff.settings.upstreams().values()
    return [bff.settings.jwt_secret, *(upstream.jwt_secret for upstream in upstreams if upstream.jwt_secret)]


@pytest.mark.parametrize(
    ("fault", "outcome", "status", "attempts"),
    [
        ("down", "NO_ANSWER", None, 2),
        ("error", "REFUSED", 500, 2),
        ("rate-limited", "REFUSED", 429, 1),  # which asks for fewer requests
    ],
)
async def test_a_failing_service_is_logged_once_per_attempt_and_without_a_traceback(
    bff: Bff, logged: Logged, fault: str, outcome: str, status: int | None, attempts: int
):
    """An outage is expected: a traceback per request would bury what is not."""
    bff.sandbox.faults["stripe"] = fault

    await bff.ask("{ paymentAccount { status } }")

    events = logged()
    facts = ("upstream", "operation", "outcome", "status")
    assert [tuple(event[fact] for fact in facts) for event in of(events, "upstream.called")] == (
        [("stripe", "getAccountStatus", outcome, status)] * attempts
    )
    assert [event for event in events if "exception" in event or event["level"] == "error"] == []


async def test_a_broken_contract_names_the_field(bff: Bff, logged: Logged):
    """A service that changed its answer: the log says which field, and holds nothing of what was sent."""
    account = bff.sandbox.world.accounts[SELLERS[0].stripe_user_id]
    account["chargesEnabled"] = "avery@harbor-goods.example"

    answer = await bff.ask("{ paymentAccount { status } }")

    assert [error["extensions"]["code"] for error in answer.errors] == ["SERVICE_CONTRACT_BROKEN"]
    events = logged()
    [broken] = of(events, "upstream.contract_broken")
    assert broken["upstream"] == "stripe"
    assert broken["problems"] == ["data.chargesEnabled: bool_type"]
    assert "avery" not in str(events)


async def test_a_fault_of_our_own_is_logged_once_and_costs_one_branch(
    make_bff: MakeBff, logged: Logged, tmp_path: Path
):
    """A database in ruins: the client learns a code, the operator a traceback, the rest goes on."""
    file = tmp_path / "bff.sqlite3"
    bff = await make_bff(claims=10, db_url=f"sqlite+aiosqlite:///{file}")
    await bff.checked()
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.executescript(
            "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'ruins'; PRAGMA schema_version = 99"
        )
    logged()

    answer = await bff.ask("Dashboard")

    dashboard = answer.data["dashboard"]
    claims = dashboard["recentClaims"]["nodes"]
    assert [claim["payments"] for claim in claims] == [None] * 5
    assert all(claim["documents"] and claim["detections"] for claim in claims)
    assert dashboard["paymentMetrics"]["totals"]
    assert len(answer.errors) == 5
    for error in answer.errors:
        assert error["path"][-1] == "payments"
        assert error["message"] == "Something went wrong on our side. Quote the support code."
        assert error["extensions"].keys() == {"code", "retryable", "retryAfterMs", "supportCode"}
        assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    events = logged()
    [broken] = [event for event in events if "exception" in event]
    assert (broken["event"], broken["level"]) == ("operation.broken", "error")
    assert broken["support_code"] == answer.errors[0]["extensions"]["supportCode"]
    assert any("DatabaseError" in cause["exc_type"] for cause in broken["exception"])
    assert '"locals"' not in json.dumps(broken)
    assert of(events, "operation.executed")[0]["error_codes"] == ["INTERNAL_SERVER_ERROR"]


async def test_a_database_that_hangs_costs_the_payments_and_our_patience(
    make_bff: MakeBff, logged: Logged, tmp_path: Path
):
    """The map of claims is ours: when it hangs, the answer leaves, and says what it lacks."""
    file = tmp_path / "bff.sqlite3"
    url = f"sqlite+aiosqlite:///{file}"
    bff = await make_bff(claims=10, db_url=url, db_patience_s=2.0, operation_budget_s=20.0)
    await bff.checked()
    logged()
    started_s = time.monotonic()
    async with held_by_another_process(file):
        document = """{ claims(first: 2) { nodes {
          payments { nodes { id } } timeline(first: 20) { missingServices totalCount nodes { service } }
        } } }"""
        answer = await bff.ask(document)

    assert 1.9 < time.monotonic() - started_s < 2.0 + LATE_S
    for claim in answer.data["claims"]["nodes"]:
        assert claim["payments"] is None
        assert (claim["timeline"]["missingServices"], claim["timeline"]["totalCount"]) == (["stripe"], None)
        assert {entry["service"] for entry in claim["timeline"]["nodes"]} >= {"refund-engine"}
    assert [(error["path"][-1], error["extensions"]["code"]) for error in answer.errors] == [
        ("payments", "STORE_UNAVAILABLE")
    ] * 2
    assert all(error["extensions"]["retryable"] for error in answer.errors)
    events = of(logged(), "store.lost")
    assert {(event["level"], "exception" in event) for event in events} == {("error", True)}
    assert (await bff.ask("{ claims(first: 1) { nodes { payments { nodes { id } } } } }")).errors == []
