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
