"""The database goes from version to version without a hand, and nothing in it is lost."""

import asyncio
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from databases import patient_store
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from clients.errors import DatabaseTooNew
from clients.store.receipts import Standing
from clients.store.tables import metadata

ANNS_CLAIM = "d52fffb2-c7d7-4a79-afe2-b32619445ea7"
BOBS_CLAIM = "2082fc12-324d-4cc0-9e71-f43d97446a7c"
# What `create_all` of version 0.1.0 sent, in each database's words.
MADE_BY_0_1_0 = """CREATE TABLE stripe_claim_ids (
    claim_id VARCHAR(36) NOT NULL, stripe_id INTEGER NOT NULL, created_at {time} NOT NULL,
    PRIMARY KEY (claim_id), UNIQUE (stripe_id)
)"""
TIME = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}


async def _in(url: str, ask: Callable[[Connection], object]) -> object:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        answer = await connection.run_sync(ask)
    await engine.dispose()
    return answer


async def _opened(url: str) -> None:
    store = patient_store(url)
    await store.open()
    await store.close()


def _described(connection: Connection) -> dict[str, object]:
    """All that makes a table, in the database's own words, but its revision."""
    found = inspect(connection)
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in found.get_columns(table)],
            "key": found.get_pk_constraint(table),
            "unique": sorted(found.get_unique_constraints(table), key=str),
            "indexes": sorted(found.get_indexes(table), key=str),
            "checks": sorted(found.get_check_constraints(table), key=str),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


async def test_migrations_and_tables_say_the_same(shared_url: str):
    """In memory the tables are made at once: another schema there would let tests pass that lie."""
    await _opened(shared_url)
    migrated = await _in(shared_url, _described)

    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await _in(shared_url, differences) == []
    await _in(shared_url, lambda connection: metadata.drop_all(connection))
    await _in(shared_url, lambda connection: metadata.create_all(connection))
    assert await _in(shared_url, _described) == migrated
    assert set(migrated) == {"stripe_claim_ids", "receipts", "audit_rows", "audit_ends"}


async def test_opening_again_changes_nothing(shared_url: str):
    """Every start opens the store."""
    await _opened(shared_url)
    store = patient_store(shared_url)
    await store.open()
    await store.stripe_map.enter_stripe_ids({ANNS_CLAIM: 7, BOBS_CLAIM: 8})
    await store.close()

    await _opened(shared_url)

    store = patient_store(shared_url)
    assert await store.stripe_map.claim_ids([7, 8]) == {7: ANNS_CLAIM, 8: BOBS_CLAIM}
    await store.close()


async def test_a_database_of_the_first_release_is_taken_over(shared_url: str, ann):
    """0.1.0 wrote no revision down: its rows are the only record of which payment is whose."""

    def as_released(connection: Connection) -> None:
        connection.execute(text(MADE_BY_0_1_0.format(time=TIME[connection.dialect.name])))
        for claim_id, stripe_id in ((ANNS_CLAIM, 7), (BOBS_CLAIM, 8)):
            row = f"'{claim_id}', {stripe_id}, '2026-01-02 03:04:05'"
            connection.execute(text(f"INSERT INTO stripe_claim_ids VALUES ({row})"))

    await _in(shared_url, as_released)
    as_it_was = await _in(shared_url, _described)

    store = patient_store(shared_url, stripe_first_id=100)
    await store.open()

    assert await store.stripe_map.stripe_ids([ANNS_CLAIM, BOBS_CLAIM]) == {ANNS_CLAIM: 7, BOBS_CLAIM: 8}
    begun = await store.receipts.begin(ann.user_id, "createClaim", "key", "hash", 30)
    assert begun.standing is Standing.NEW
    await store.close()
    now = await _in(shared_url, _described)
    assert now["stripe_claim_ids"] == as_it_was["stripe_claim_ids"]
    await _in(shared_url, lambda connection: metadata.drop_all(connection))
    await _in(shared_url, lambda connection: metadata.create_all(connection))
    assert await _in(shared_url, _described) == now


async def test_replicas_that_start_together_migrate_once(shared_url: str):
    """A deployment starts them all at once, before the first of them has made the tables."""
    await asyncio.gather(*(_opened(shared_url) for _ in range(6)))

    rows = await _in(shared_url, lambda c: c.execute(text("SELECT version_num FROM alembic_version")).all())
    assert rows == [("0003",)]


async def test_a_newer_database_is_left_alone(shared_url: str):
    """A rollback of the BFF over a database it does not know: it must say so, and write nothing."""
    await _opened(shared_url)
    await _in(shared_url, lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))

    with pytest.raises(DatabaseTooNew, match="revision 9999, and this version of the BFF knows 0003"):
        await _opened(shared_url)

    rows = await _in(shared_url, lambda c: c.execute(text("SELECT version_num FROM alembic_version")).all())
    assert rows == [("9999",)]
