"""Breaks of the audit log that an operator has accepted: they are told, and hide no other."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text

from clients.caller import Viewer
from clients.store.audit import Audit
from clients.store.audit_breaks import NotThatBreak
from clients.store.audit_chain import AuditChain, ChainBroken
from clients.store.audit_keys import AuditKeys
from clients.store.audit_rows import Entry, Kind
from clients.store.database import Database
from clients.store.store import Store

KEY, NEW_KEY = "the-first-secret-of-these-tests-0123456789", "the-other-secret-of-these-tests-0123456789"
ROWS = 7

Changed = Callable[[str], Awaitable[None]]


@pytest.fixture
async def database(shared_url: str) -> AsyncIterator[Database]:
    store = Store(shared_url)
    await store.open()
    yield store.database
    await store.close()


@pytest.fixture
async def chain(database: Database, ann: Viewer, bob: Viewer) -> AuditChain:
    """Seven rows of two viewers, in turns."""
    audit = Audit(database, AuditKeys([KEY]))
    for number in range(ROWS):
        whose = [ann, bob][number % 2].user_id
        await audit.append(Entry(Kind.ENDED, "submitClaim", whose, source="203.0.113.77", outcome="DONE"))
    await audit.close()
    return AuditChain(database, AuditKeys([KEY]))


@pytest.fixture
async def changed(database: Database) -> Changed:
    async def changed(statement: str) -> None:
        async with database.engine.begin() as connection:
            await connection.execute(text(statement))

    return changed


async def accept(chain: AuditChain, number: int) -> None:
    await chain.accept(number, by="ann", reason="looked into")


async def first_broken(chain: AuditChain) -> int | None:
    broken = (await chain.verify()).broken
    return broken.number if broken else None


BREAKS = {
    "changed": "UPDATE audit_rows SET outcome = 'X' WHERE number = 4",
    "removed": "DELETE FROM audit_rows WHERE number IN (4, 5)",
    "sealed by another": "UPDATE audit_rows SET seal = 'abcd' WHERE number = 4",
    "cut off from its past": "UPDATE audit_rows SET previous_hash = hash WHERE number = 4",
    "the last ones removed": "DELETE FROM audit_rows WHERE number >= 4",
}


@pytest.mark.parametrize("statement", BREAKS.values(), ids=BREAKS)
async def test_an_accepted_break_is_told_and_the_rest_is_looked_at(
    chain: AuditChain, changed: Changed, statement: str
):
    """Everything behind a break was out of sight until somebody could say: this one we know."""
    await changed(statement)
    assert await first_broken(chain) == 4

    await accept(chain, 4)
    verdict = await chain.verify()

    assert verdict.broken is None
    assert [(known.number, known.by, known.reason) for known in verdict.accepted] == [
        (4, "ann", "looked into")
    ]


@pytest.mark.parametrize("column", ["outcome", "viewer_id", "seal", "hash"])
async def test_what_is_changed_after_it_was_accepted_is_another_break(
    chain: AuditChain, changed: Changed, column: str
):
    """An accepted row must not be a place where anybody may write what they like."""
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 4")
    await accept(chain, 4)

    await changed(f"UPDATE audit_rows SET {column} = 'Y' WHERE number = 4")

    assert await first_broken(chain) == 4


async def test_another_break_is_found_before_and_behind(chain: AuditChain, changed: Changed):
    """One excuse is for one row."""
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 4")
    await accept(chain, 4)
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 6")
    assert await first_broken(chain) == 6
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 2")
    assert await first_broken(chain) == 2

    with pytest.raises(NotThatBreak, match="Row 2"):
        await accept(chain, 6)


FORGED = ("outcome = 'X'", "seal = 'abcd'", "object_id = '5 ' || substr(object_id, 3)")


@pytest.mark.parametrize("forged", FORGED)
async def test_an_acceptance_that_was_forged_is_none(chain: AuditChain, changed: Changed, forged: str):
    """Whoever can write the table could excuse what they did there."""
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 4")
    await accept(chain, 4)
    assert await first_broken(chain) is None

    await changed(f"UPDATE audit_rows SET {forged} WHERE kind = 'break.accepted'")

    assert await first_broken(chain) == 4


async def test_nothing_is_accepted_ahead(chain: AuditChain):
    """A row that is good needs no excuse, and gets none for later."""
    with pytest.raises(NotThatBreak, match="No row is broken"):
        await accept(chain, 4)
    assert await first_broken(chain) is None


async def test_keys_change_with_an_accepted_break(chain: AuditChain, changed: Changed, database: Database):
    """Sealing anew proves what it touches: one break, known for years, must not stop it for ever."""
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 4")
    with pytest.raises(ChainBroken):
        await chain.rotate()
    await accept(chain, 4)

    both = AuditChain(database, AuditKeys([NEW_KEY, KEY]))
    assert await both.rotate() == ROWS  # all but the broken one, and the acceptance as well
    anew = AuditChain(database, AuditKeys([NEW_KEY]))
    assert await first_broken(anew) is None
    await changed("UPDATE audit_rows SET outcome = 'Z' WHERE number = 4")
    assert await first_broken(anew) == 4


async def test_old_rows_go_with_an_accepted_break(chain: AuditChain, changed: Changed):
    """Removing proves what it removes, too."""
    await changed("UPDATE audit_rows SET outcome = 'X' WHERE number = 4")
    with pytest.raises(ChainBroken):
        await chain.remove_old(-1)
    await accept(chain, 4)

    assert await chain.remove_old(-1) == ROWS
    verdict = await chain.verify()
    assert (verdict.broken, verdict.rows, verdict.accepted) == (None, 1, ())
