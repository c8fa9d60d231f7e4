"""The tables, as the newest migration leaves them. A change here is a new file in `migrations/versions/`."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

LARGEST_STRIPE_ID = 2_147_483_647  # stripe-payments keeps it in a 32-bit column

metadata = MetaData()

stripe_claim_ids = Table(
    "stripe_claim_ids",
    metadata,
    Column("claim_id", String(36), primary_key=True),
    Column("stripe_id", Integer, unique=True, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

# Times are milliseconds since 1970 on the database's clock: both databases compare and add them alike.
receipts = Table(
    "receipts",
    metadata,
    Column("viewer_id", String(36), primary_key=True),
    Column("mutation", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("input_hash", String(128), nullable=False),
    Column("state", String(8), nullable=False),
    Column("holder", String(32)),  # null when released
    Column("lease_ends_at_ms", BigInteger, nullable=False),
    Column("notes", LargeBinary),
    Column("outcome", LargeBinary),
    Column("begun_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("kept_until_ms", BigInteger, nullable=False, index=True),
    CheckConstraint("state IN ('held', 'released', 'finished')", name="ck_receipts_state"),
    CheckConstraint("(state = 'finished') = (outcome IS NOT NULL)", name="ck_receipts_outcome"),
)

# Only added to; the hash of each row holds that of the row before. `clients/store/audit_rows.py` says how.
audit_rows = Table(
    "audit_rows",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # from 1, without a gap
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("viewer_id", String(36), index=True),
    Column("machine", String(64)),
    Column("source", String(255)),  # sealed
    Column("object_id", String(255), index=True),
    Column("outcome", String(64)),
    Column("support_code", String(16), index=True),
    Column("correlation_id", String(64)),
    Column("work", String(32)),
    Column("times", Integer, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seal", String(80), nullable=False),
)

# Two rows: where the chain ends, and what was removed before its first row.
audit_ends = Table(
    "audit_ends",
    metadata,
    Column("name", String(8), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seal", String(80), nullable=False),
    CheckConstraint("name IN ('head', 'start')", name="ck_audit_ends_name"),
)
