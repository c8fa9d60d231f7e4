"""Receipts of mutations by idempotency key."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "receipts",
        sa.Column("viewer_id", sa.String(36), primary_key=True),
        sa.Column("mutation", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("input_hash", sa.String(128), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("holder", sa.String(32)),
        sa.Column("lease_ends_at_ms", sa.BigInteger, nullable=False),
        sa.Column("notes", sa.LargeBinary),
        sa.Column("outcome", sa.LargeBinary),
        sa.Column("begun_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger),
        sa.Column("kept_until_ms", sa.BigInteger, nullable=False, index=True),
        sa.CheckConstraint("state IN ('held', 'released', 'finished')", name="ck_receipts_state"),
        sa.CheckConstraint("(state = 'finished') = (outcome IS NOT NULL)", name="ck_receipts_outcome"),
    )
