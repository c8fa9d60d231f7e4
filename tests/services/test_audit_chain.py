"""The audit log's chain: a row that is changed, removed, swapped or put in is found, whoever did it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from databases import patient_store
from sqlalchemy import make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from clients.caller import Viewer
from clients.store.audit import Audit, End
from clients.store.audit_chain import OTHER_HASH, AuditChain, ChainBroken, Verdict
from clients.store.audit_keys import AuditKeys
from clients.store.audit_rows import Entry, Kind
from clients.store.database import Database
from clients.store.tables import audit_ends, audit_rows

OLD_KEY = "the-first-secret-of-these-tests-0123456789"
NEW_KEY = "the-other-secret-of-these-tests-0123456789"
ADDRESS = "203.0.113.77"
ROWS = 7

Changed = Callable[[str], Awaitable[None]]


def entry(viewer: Viewer, number: int = 0, **more: Any) -> Entry:
    facts: dict[str, Any] = {"kind": Kind.ENDED, "action": "submitClaim", "outcome": "DONE"}
    facts |= {"times": 1 + number, "source": ADDRESS, "object_id": f"claim {number}"}
    facts |= {"support_code": f"OP-{number:08X}", "machine": "router"}
    facts |= {"correlation_id": "c0ffee", "work": "5" * 32}
    return Entry(viewer_id=viewer.user_id, **{**facts, **more})


async def opened(url: str) -> Database:
    store = patient_store(url)
    await store.open()
    return store.database


@pytest.fixture
async def database(shared_url: str) -> AsyncIterator[Database]:
    made = await opened(shared_url)
    yield made
    await made.close()


@pytest.fixture
async def audit(database: Database) -> AsyncIterator[Audit]:
    made = Audit(database, AuditKeys([OLD_KEY]))
    yield made
    await made.close()


@pytest.fixture
async def chain(database: Database, audit: Audit, ann: Viewer, bob: Viewer) -> AuditChain:
    """Seven rows of two viewers, in turns."""
    for number in range(ROWS):
        await audit.append(entry([ann, bob][number % 2], number))
    return AuditChain(database, AuditKeys([OLD_KEY]))


@pytest.fixture
async def changed(database: Database) -> Changed:
    """Do what whoever holds the database can do."""

    async def changed(statement: str) -> None:
        async with database.engine.begin() as connection:
            await connection.execute(text(statement))

    return changed


def broken(verdict: Verdict) -> tuple[int, str]:
    assert verdict.broken, "nothing was found"
    return verdict.broken.number, verdict.broken.why


async def test_a_chain_that_nobody_touched_is_whole(chain: AuditChain):
    """A false alarm would teach everybody to look away."""
    verdict = await chain.verify()

    assert (verdict.broken, verdict.rows, verdict.end.number) == (None, ROWS, ROWS)
    assert await chain.head() == verdict.end


OTHERWISE = {
    "at_ms": "at_ms + 1",
    "kind": "'read'",
    "action": "'updateClaim'",
    "viewer_id": "'2082fc12-324d-4cc0-9e71-f43d97446a7c'",
    "machine": "NULL",
    "source": "(SELECT other.source FROM audit_rows AS other WHERE other.number = 3)",
    "object_id": "'claim 9'",
    "outcome": "'REFUSED'",
    "support_code": "''",
    "correlation_id": "NULL",
    "work": "NULL",
    "times": "times + 1",
    "previous_hash": "hash",
    "hash": "previous_hash",
    "seal": "(SELECT other.seal FROM audit_rows AS other WHERE other.number = 3)",
}


def test_every_column_is_tried():
    """A column that is added and not bound to the hash could be changed by anybody."""
    assert {"number", *OTHERWISE} == set(audit_rows.c.keys())


@pytest.mark.parametrize("column", OTHERWISE)
async def test_a_changed_column_is_found(chain: AuditChain, changed: Changed, column: str):
    """Of any row, by anybody who can write the table."""
    await changed(f"UPDATE audit_rows SET {column} = {OTHERWISE[column]} WHERE number = 5")

    assert broken(await chain.verify())[0] == 5


async def test_a_removed_row_is_named(chain: AuditChain, changed: Changed):
    """The row that shows who did it is the first that goes."""
    await changed("DELETE FROM audit_rows WHERE number = 4")

    assert broken(await chain.verify()) == (4, "it is missing; the next one is 5")


async def test_removed_and_closed_up(chain: AuditChain, changed: Changed):
    """A gap that is closed by counting anew is a gap all the same."""
    await changed("DELETE FROM audit_rows WHERE number = 4")
    for number in (5, 6, 7):
        await changed(f"UPDATE audit_rows SET number = {number - 1} WHERE number = {number}")
    await changed("UPDATE audit_ends SET number = 6 WHERE name = 'head'")

    assert broken(await chain.verify())[1].startswith("the chain's head is not good")
    await changed("UPDATE audit_ends SET number = 7 WHERE name = 'head'")
    assert broken(await chain.verify()) == (4, "it does not follow the row before it")


async def test_swapped_rows_are_found(chain: AuditChain, changed: Changed):
    """The order says what was cause and what was effect."""
    for old, new in ((3, 99), (4, 3), (99, 4)):
        await changed(f"UPDATE audit_rows SET number = {new} WHERE number = {old}")

    assert broken(await chain.verify())[0] == 3


async def test_a_row_put_in_is_found(chain: AuditChain, changed: Changed):
    """At the end, where nothing follows: the head does not know it, and it bears no seal of ours."""
    columns = ", ".join(name for name in audit_rows.c.keys() if name != "number")  # noqa: SIM118
    copied = f"SELECT 8, {columns} FROM audit_rows WHERE number = 7"
    await changed(f"INSERT INTO audit_rows (number, {columns}) {copied}")

    assert broken(await chain.verify())[0] == 8


@pytest.mark.parametrize("kept", [0, 4])
async def test_rows_cut_off_at_the_end_are_found(chain: AuditChain, changed: Changed, kept: int):
    """What was done last is what an intruder wants forgotten."""
    await changed(f"DELETE FROM audit_rows WHERE number > {kept}")

    assert broken(await chain.verify()) == (kept + 1, "it is missing, and so is all up to row 7")


async def test_an_old_head_put_back_is_found_by_whoever_remembers(
    database: Database, chain: AuditChain, audit: Audit, changed: Changed, ann: Viewer
):
    """A table and a head of yesterday fit one another; they do not fit what was written down elsewhere."""
    [old] = await database.read(select(audit_ends).where(audit_ends.c.name == "head"))
    await audit.append(entry(ann))
    newest = await chain.head()
    await changed("DELETE FROM audit_rows WHERE number = 8")
    values = f"number = {old.number}, hash = '{old.hash}', seal = '{old.seal}'"
    await changed(f"UPDATE audit_ends SET {values} WHERE name = 'head'")

    assert (await chain.verify()).broken is None
    assert broken(await chain.verify(known=newest)) == (8, "it is missing, and so is all up to row 8")
    assert broken(await chain.verify(known=End(5, "f" * 64))) == (5, OTHER_HASH)
    await audit.append(entry(ann))  # this process remembers, too
    assert broken(await chain.verify()) == (
        8,
        "a writer found the end of the chain changed before it: rows that this process wrote are gone",
    )


async def test_whoever_knows_the_recipe_and_not_the_key_is_found(
    database: Database, chain: AuditChain, ann: Viewer
):
    """The code is public: hashes can be worked out by anybody, seals cannot."""
    forger = Audit(database, AuditKeys(["a guess of an intruder"]))
    await forger.append(entry(ann))
    await forger.close()

    number, why = broken(await chain.verify())
    assert (number, "not among the keys" in why) == (9, True)


async def test_a_head_that_was_changed_is_written_down(
    database: Database, chain: AuditChain, audit: Audit, changed: Changed, bob: Viewer
):
    """Writing goes on, the break cannot be healed over, and somebody is told."""
    told: list[str] = []
    other = Audit(database, AuditKeys([OLD_KEY]), on_broken=told.append)
    await changed("UPDATE audit_ends SET number = 3 WHERE name = 'head'")

    await other.append(entry(bob))
    await other.close()

    assert told == ["the head was changed"]
    assert broken(await chain.verify())[0] == 8
    newest = (await chain.shown())[-1]
    assert (newest["number"], newest["viewer_id"]) == (9, bob.user_id)


async def test_a_lost_start_is_found(chain: AuditChain, changed: Changed):
    """Without it anybody could cut rows off in front."""
    await changed("DELETE FROM audit_rows WHERE number < 4")
    assert broken(await chain.verify())[0] == 1
    await changed("DELETE FROM audit_ends WHERE name = 'start'")
    assert broken(await chain.verify()) == (1, "nothing says where the chain begins")


async def test_replicas_write_one_chain(shared_url: str, ann: Viewer, bob: Viewer):
    """Two processes at once, from the very first row: no row is lost, none has another's number."""
    databases = [await opened(shared_url) for _ in range(3)]
    audits = [Audit(database, AuditKeys([OLD_KEY])) for database in databases]

    await asyncio.gather(
        *(audit.append(entry(viewer, n)) for audit in audits for viewer in (ann, bob) for n in range(20))
    )

    chain = AuditChain(databases[0], AuditKeys([OLD_KEY]))
    verdict = await chain.verify()
    rows = await chain.shown()
    for audit, database in zip(audits, databases, strict=True):
        await audit.close()
        await database.close()
    assert (verdict.broken, verdict.rows) == (None, 120)
    assert sorted(row["viewer_id"] for row in rows) == sorted([ann.user_id, bob.user_id] * 60)


async def test_many_at_once_share_a_transaction(audit: Audit, chain: AuditChain, ann: Viewer):
    """A commit for each would be a hundred times dearer. Rows of one transaction show the same time."""
    await asyncio.gather(*(audit.append(entry(ann, n)) for n in range(100)))

    times = {row["at_ms"] for row in (await chain.shown())[-100:]}
    assert len(times) <= 2


async def test_an_address_is_hidden_and_shown_to_whoever_has_the_key(
    chain: AuditChain, database: Database, shared_url: str
):
    """Nobody finds a seller's address in a stolen copy, nor by trying all of them against the hashes."""
    engine = create_async_engine(make_url(shared_url))
    async with engine.connect() as connection:
        stored = (await connection.execute(text("SELECT * FROM audit_rows"))).all()
    await engine.dispose()

    assert ADDRESS not in str(stored)
    assert len({row.source for row in stored}) == ROWS
    assert {row["source"] for row in await chain.shown()} == {ADDRESS}
    stranger = AuditChain(database, AuditKeys([NEW_KEY]))
    assert {row["source"] for row in await stranger.shown()} == {"unreadable"}


async def test_rows_are_shown_of_whom_and_what_was_asked(chain: AuditChain, ann: Viewer, bob: Viewer):
    """Support asks about one seller, and must not be shown another."""
    of_ann = await chain.shown(viewer_id=ann.user_id)
    of_bob = await chain.shown(viewer_id=bob.user_id)

    assert [row["number"] for row in of_ann] == [1, 3, 5, 7]
    assert [row["number"] for row in of_bob] == [2, 4, 6]
    assert [row["number"] for row in await chain.shown(object_id="claim 2")] == [3]
    assert [row["number"] for row in await chain.shown(support_code="OP-00000003")] == [4]
    assert await chain.shown(viewer_id=ann.user_id, support_code="OP-00000003") == []
    assert await chain.shown(since_ms=of_ann[-1]["at_ms"] + 60_000) == []


async def test_a_new_key_changes_no_hash(database: Database, chain: AuditChain, ann: Viewer):
    """An old key must go one day, and what an auditor has written down must stay true."""
    known = await chain.head()
    both = AuditKeys([NEW_KEY, OLD_KEY])

    changed = await AuditChain(database, both).rotate()

    only_new = AuditChain(database, AuditKeys([NEW_KEY]))
    assert changed == ROWS
    assert (await only_new.verify(known=known)).broken is None
    assert {row["source"] for row in await only_new.shown()} == {ADDRESS}
    assert broken(await chain.verify())[1].startswith("the chain's head is not good")  # the old key alone
    later = Audit(database, AuditKeys([NEW_KEY]))
    await later.append(entry(ann))
    await later.close()
    assert (await only_new.verify()).rows == ROWS + 1
    assert await AuditChain(database, both).rotate() == 0


async def test_a_new_key_hides_no_break(database: Database, chain: AuditChain, changed: Changed):
    """A seal of today on a row that was changed yesterday would make it true."""
    await changed("UPDATE audit_rows SET outcome = 'REFUSED' WHERE number = 2")

    with pytest.raises(ChainBroken) as found:
        await AuditChain(database, AuditKeys([NEW_KEY, OLD_KEY])).rotate()

    assert found.value.broken.number == 2


async def old_rows(
    database: Database, audit: Audit, ann: Viewer, monkeypatch: pytest.MonkeyPatch
) -> AuditChain:
    """Three rows of two years ago, and two of today."""
    clock = "clients.store.audit.now_ms"
    with monkeypatch.context() as past:
        past.setattr(clock, lambda: text("1500000000000"))
        for number in range(3):
            await audit.append(entry(ann, number))
    for number in range(2):
        await audit.append(entry(ann, number))
    return AuditChain(database, AuditKeys([OLD_KEY]))


async def test_old_rows_go_and_the_rest_stays_proven(
    database: Database, audit: Audit, ann: Viewer, monkeypatch: pytest.MonkeyPatch, changed: Changed
):
    """Rows are kept 400 days; whoever removes more in front is found."""
    chain = await old_rows(database, audit, ann, monkeypatch)
    known = await chain.head()

    assert await chain.remove_old(400) == 3
    assert await chain.remove_old(400) == 0

    verdict = await chain.verify(known=known)
    assert (verdict.broken, verdict.rows, verdict.end.number) == (None, 2, 5)
    await audit.append(entry(ann))
    await changed("DELETE FROM audit_rows WHERE number = 4")
    assert broken(await chain.verify())[0] == 4


async def test_a_row_from_the_future_keeps_those_behind_it(
    database: Database, audit: Audit, ann: Viewer, monkeypatch: pytest.MonkeyPatch
):
    """The database's clock was ahead for a moment: that is no break, and must not look like one."""
    for at_ms in (1500000000000, 1500000001000, 2500000000000, 1500000003000):
        with monkeypatch.context() as then:
            then.setattr("clients.store.audit.now_ms", lambda at_ms=at_ms: text(str(at_ms)))
            await audit.append(entry(ann))
    await audit.append(entry(ann))
    chain = AuditChain(database, AuditKeys([OLD_KEY]))

    assert [await chain.remove_old(400), await chain.remove_old(400)] == [2, 0]

    verdict = await chain.verify()
    assert (verdict.broken, verdict.rows) == (None, 3)


async def test_what_is_broken_is_not_removed(
    database: Database, audit: Audit, ann: Viewer, monkeypatch: pytest.MonkeyPatch, changed: Changed
):
    """Or waiting long enough would be the way to hide it."""
    chain = await old_rows(database, audit, ann, monkeypatch)
    await changed("UPDATE audit_rows SET outcome = 'REFUSED' WHERE number = 2")

    with pytest.raises(ChainBroken):
        await chain.remove_old(400)

    assert broken(await chain.verify())[0] == 2


async def test_the_newest_rows_are_checked_alone(chain: AuditChain, changed: Changed):
    """The hourly check costs what is new, not what is old."""
    first = await chain.verify()
    assert (await chain.verify(after=first.end)).rows == 0
    assert (await chain.verify(newest=2)).rows == 2
    await changed("UPDATE audit_rows SET outcome = 'REFUSED' WHERE number = 7")
    assert broken(await chain.verify(newest=2))[0] == 7
