"""The audit log over the graph: who did what to which object, and what became of it."""

import asyncio
import hashlib
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from bff_under_test import Bff, running
from late import WITHIN_S

from bff.app import create_dev_app
from bff.audit import COUNTED_APART, Book
from bff.cli import dev_settings
from bff.dev_issuer import DevIssuer
from bff.rates import RateSettings
from bff.sandbox.sandbox import Sandbox
from bff.sandbox.seed import SELLERS, seed
from clients.store.audit_chain import AuditChain
from clients.store.audit_keys import AuditKeys

ANN, BOB = SELLERS[0], SELLERS[1]
MACHINE_KEY = "a-key-of-the-router-of-these-tests-and-no-other"


class Audited:
    """A BFF whose audit log can be read."""

    def __init__(self, bff: Bff, book: Book, chain: AuditChain) -> None:
        self.bff, self.book, self._chain = bff, book, chain

    async def rows(self, **which: Any) -> list[dict[str, Any]]:
        """What is in the database now, of what was noted so far, too."""
        self.book.write_counted()
        await until(lambda: not self.book.audit.waiting)
        return await self._chain.shown(**which)

    async def alarm(self) -> float:
        """What the operator's alert looks at."""
        lines = (await self.bff.http.get("/metrics")).text.splitlines()
        [line] = [line for line in lines if line.startswith("bff_audit_chain_broken")]
        return float(line.split()[-1])

    async def whole(self) -> bool:
        return (await self._chain.verify()).broken is None


@pytest.fixture
async def audited(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Audited]:
    settings = dev_settings().model_copy(
        update={
            "db_url": f"sqlite+aiosqlite:///{tmp_path}/bff.sqlite3",
            "machines": {"router": (hashlib.sha256(MACHINE_KEY.encode()).hexdigest(),)},
            **getattr(request, "param", {}),
        }
    )
    sandbox = Sandbox(seed(30), mcde_repaired=True)
    app = create_dev_app(sandbox, settings, seller=ANN)
    book: Book = app.state.book
    async with running(app, sandbox, settings) as bff:
        chain = AuditChain(app.state.store.database, AuditKeys(settings.audit_secrets()))
        yield Audited(bff, book, chain)


async def until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not so():  # noqa: ASYNC110  # a database tells nobody
            await asyncio.sleep(0.005)


def facts(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


async def a_claim(bff: Bff, **more: Any) -> str:
    answer = await bff.ask("{ claims(first: 1) { nodes { id } } }", **more)
    claim_id: str = answer.data["claims"]["nodes"][0]["id"]
    return claim_id


async def test_a_mutation_has_two_rows(audited: Audited):
    """Who, what, on which object, with what outcome: and the support code that the person may read out."""
    claim_id = await a_claim(audited.bff)
    given = {"claimId": claim_id, "description": "a note that is nobody's business"}

    answer = await audited.bff.ask("UpdateClaim", input=given, headers={"x-request-id": "of-this-test"})

    assert answer.data["updateClaim"]["userErrors"] == [], answer
    begun, ended = await audited.rows()
    assert facts(begun, "kind", "action", "viewer_id", "object_id", "outcome") == (
        "mutation.begun",
        "updateClaim",
        ANN.user_id,
        claim_id,
        None,
    )
    assert facts(ended, "kind", "action", "viewer_id", "object_id", "outcome") == (
        "mutation.ended",
        "updateClaim",
        ANN.user_id,
        claim_id,
        "DONE",
    )
    assert begun["work"] == ended["work"]
    assert begun["correlation_id"] == "of-this-test"
    assert begun["source"] == "127.0.0.1"
    assert begun["support_code"].startswith("OP-")
    assert await audited.whole()
    assert "nobody's business" not in str(await audited.rows())


async def test_what_was_made_is_named(audited: Audited):
    """An input without an object leads to one all the same."""
    answer = await audited.bff.ask(
        "StartSync", input={"kind": "INVENTORY", "idempotencyKey": str(uuid.uuid4())}
    )

    _, ended = await audited.rows()
    assert ended["object_id"] == answer.data["startSync"]["sync"]["id"]


async def test_two_viewers_are_told_apart(audited: Audited):
    """Support looks for one seller's doings, and must not find another's."""
    theirs = await a_claim(audited.bff)
    await audited.bff.ask("UpdateClaim", input={"claimId": theirs, "description": "one"})
    await audited.bff.ask("UpdateClaim", seller=BOB, input={"claimId": theirs, "description": "two"})

    [_, of_ann] = await audited.rows(viewer_id=ANN.user_id)
    [_, of_bob] = await audited.rows(viewer_id=BOB.user_id)
    assert (of_ann["outcome"], of_bob["outcome"]) == ("DONE", "NOT_FOUND")
    assert len(await audited.rows(object_id=theirs)) == 4


async def test_a_failed_mutation_says_how(audited: Audited):
    """OUTCOME_UNKNOWN is what an auditor looks for first."""
    claim_id = await a_claim(audited.bff)
    audited.bff.sandbox.faults["refund-engine"] = "garbage"
    await audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "one"})
    audited.bff.sandbox.faults["refund-engine"] = "down"
    await audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "one"})

    outcomes = [row["outcome"] for row in await audited.rows() if row["kind"] == "mutation.ended"]
    assert outcomes == ["SERVICE_CONTRACT_BROKEN", "SERVICE_UNAVAILABLE"]


async def test_an_id_that_is_none_is_not_kept(audited: Audited):
    """What a client writes there may be anything, an e-mail address too."""
    await audited.bff.ask("UpdateClaim", input={"claimId": ANN.email, "description": "one"})

    rows = await audited.rows()
    assert [row["object_id"] for row in rows] == [None, None]
    assert rows[1]["outcome"] == "INVALID_INPUT"


async def test_without_the_store_nothing_is_sent(audited: Audited, tmp_path: Path):
    """A change that cannot be written down is not made."""
    claim_id = await a_claim(audited.bff)
    before = len(audited.bff.sandbox.writes)

    with locked(tmp_path):
        answer = await audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "one"})

    assert [error["extensions"]["code"] for error in answer.errors] == ["STORE_UNAVAILABLE"]
    assert len(audited.bff.sandbox.writes) == before
    answer = await audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "one"})
    assert answer.data["updateClaim"]["userErrors"] == []
    rows = await audited.rows()
    assert rows[-1]["outcome"] == "DONE"
    assert await audited.whole()


async def test_an_outcome_waits_for_the_store(audited: Audited, tmp_path: Path):
    """The change was made, so the seller is told; its outcome is written as soon as the store is back."""
    claim_id = await a_claim(audited.bff)
    audited.bff.sandbox.faults["refund-engine"] = "slow:300"
    asking = asyncio.create_task(
        audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "one"})
    )
    await until(lambda: audited.book.audit.seen)

    with locked(tmp_path):
        answer = await asking
    assert answer.data["updateClaim"]["userErrors"] == [], answer

    begun, ended = await audited.rows()
    assert (begun["work"], ended["outcome"]) == (ended["work"], "DONE")
    assert await audited.whole()


async def test_a_signed_link_is_noted(audited: Audited):
    """Whoever has the link has the file."""
    listed = await audited.bff.ask("{ documents(first: 1) { nodes { id } } }")
    document_id = listed.data["documents"]["nodes"][0]["id"]

    answer = await audited.bff.ask(
        "query ($id: ID!) { document(id: $id) { signedUrl { url } } }", id=document_id
    )

    link = answer.data["document"]["signedUrl"]["url"]
    [row] = await audited.rows()
    assert facts(row, "kind", "action", "viewer_id", "object_id") == (
        "read",
        "Document.signedUrl",
        ANN.user_id,
        document_id,
    )
    assert link not in str(row)


async def test_a_link_that_two_requests_share_is_two_rows(audited: Audited):
    """Both were handed it, though it was made once."""
    listed = await audited.bff.ask("{ documents(first: 1) { nodes { id } } }")
    document_id = listed.data["documents"]["nodes"][0]["id"]
    audited.bff.calls()

    answers = await asyncio.gather(*(audited.bff.ask("DocumentLink", id=document_id) for _ in range(2)))

    assert [bool(answer.data["document"]["signedUrl"]["url"]) for answer in answers] == [True, True]
    first, second = await audited.rows()
    assert facts(first, "action", "object_id") == facts(second, "action", "object_id")
    assert first["support_code"] != second["support_code"]


async def test_reads_are_no_rows(audited: Audited):
    """A table of every read would drown what matters."""
    await audited.bff.ask("Dashboard")

    assert await audited.rows() == []


async def test_programs_and_rehearsals_are_noted_by_the_minute(audited: Audited):
    """A router reads with its key at every request."""
    for _ in range(3):
        await audited.bff.ask_with({"x-api-key": MACHINE_KEY}, "{ __typename }")
    await audited.bff.ask("{ viewer { userId } }", headers={"x-rehearse": "stripe=down"})

    program, rehearsal = await audited.rows()
    assert facts(program, "kind", "action", "machine", "times") == ("read", "graphql", "router", 3)
    assert facts(rehearsal, "kind", "action", "viewer_id") == ("read", "rehearsal", ANN.user_id)


async def test_refusals_are_rows_with_a_count(audited: Audited):
    """Who tried, how often, and what was refused."""
    bff = audited.bff
    secret = bff.settings.jwt_secret
    assert secret
    for _ in range(5):
        await bff.ask_with({}, "{ viewer { userId } }")
    poor = DevIssuer(secret).token(user_id=BOB.user_id, email=None, name=None, stripe_user_id=None, scopes=[])
    await bff.ask_with({"authorization": f"Bearer {poor}"}, "{ claims(first: 1) { nodes { id } } }")
    await bff.ask_with({"x-api-key": "no key of ours"}, "{ viewer { userId } }")
    deep = " ".join(f"a{n}: __typename" for n in range(2000))
    await bff.ask(f"{{ {deep} }}")

    found = {facts(row, "action", "outcome", "viewer_id", "times") for row in await audited.rows()}
    assert ("sign_in", "missing", None, 6) in found
    assert ("scope", "claims:read", BOB.user_id, 1) in found
    assert ("key", "graphql", None, 1) in found
    assert {action for action, _, viewer_id, _ in found if viewer_id == ANN.user_id} == {"limit"}


@pytest.mark.parametrize("audited", [{"trusted_hosts": ("bff.test",), "dev": False}], indirect=True)
async def test_foreign_pages_and_names_are_rows_with_a_count(audited: Audited):
    """A page that tries all night is one row a minute, and so is a name that was rebound to us."""
    with structlog.testing.capture_logs() as events:
        for _ in range(40):
            foreign = await audited.bff.http.post("/graphql", headers={"origin": "https://evil.example"})
        named = await audited.bff.http.get("/livez", headers={"host": "evil.example"})
        wrong = await audited.bff.http.get("/graphql", headers={"host": "evil.example"})

    assert [answer.status_code for answer in (foreign, named, wrong)] == [403, 200, 400]
    found = {facts(row, "action", "outcome", "source", "times") for row in await audited.rows()}
    assert found == {("guard", "origin", "127.0.0.1", 40), ("guard", "host", "127.0.0.1", 1)}
    assert [event["reason"] for event in events if event["event"] == "guard.refused"] == ["origin"]
    assert not [event for event in events if event["event"] == "request.refused"], "a line for each"


async def test_a_flood_fills_no_table(audited: Audited):
    """Addresses are cheap: beyond a thousand a minute they are counted together."""
    transport = audited.bff.http._transport
    assert isinstance(transport, httpx.ASGITransport)
    for number in range(COUNTED_APART + 50):
        transport.client = (f"10.0.{number // 250}.{number % 250}", 1)
        await audited.bff.ask_with({}, "{ viewer { userId } }")

    audited.book.write_counted()
    assert audited.book.audit.waiting == COUNTED_APART + 1
    last = (await audited.rows())[-1]
    assert facts(last, "source", "times") == (None, 50)


async def test_the_hourly_check_raises_the_alarm(audited: Audited, tmp_path: Path):
    """A log that nobody verifies may as well be changed."""
    claim_id = await a_claim(audited.bff)
    await audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "one"})
    await audited.book.check()
    assert await audited.alarm() == 0
    await audited.bff.ask("UpdateClaim", input={"claimId": claim_id, "description": "two"})
    with sqlite3.connect(tmp_path / "bff.sqlite3") as database:
        database.execute("UPDATE audit_rows SET outcome = 'REFUSED' WHERE number = 4")
    database.close()

    await audited.book.check()

    assert await audited.alarm() == 1


class locked:  # noqa: N801  # reads like a word
    """Another process writes to the SQLite file, and does not end."""

    def __init__(self, directory: Path) -> None:
        self._database = sqlite3.connect(directory / "bff.sqlite3", isolation_level=None)

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._database.execute("ROLLBACK")
        self._database.close()


@pytest.mark.parametrize(
    "audited", [{"rates": RateSettings(cost_per_minute=60, burst_cost=1)}], indirect=True
)
async def test_who_asks_too_much_is_a_row(audited: Audited):
    """And whoever asks little is not."""
    for seller in (ANN, ANN, ANN, BOB):
        await audited.bff.ask("{ viewer { userId } }", seller=seller)

    [row] = await audited.rows()
    assert facts(row, "kind", "action", "outcome", "viewer_id") == ("refusal", "limit", "rate", ANN.user_id)
    assert row["support_code"].startswith("OP-")
