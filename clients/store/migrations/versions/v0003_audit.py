"""The audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add its rows, and the table that says where they begin and end."""
    op.create_table(
        "audit_rows",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("viewer_id", sa.String(36), index=True),
        sa.Column("machine", sa.String(64)),
        sa.Column("source", sa.String(255)),
        sa.Column("object_id", sa.String(255), index=True),
        sa.Column("outcome", sa.String(64)),
        sa.Column("support_code", sa.String(16), index=True),
        sa.Column("correlation_id", sa.String(64)),
        sa.Column("work", sa.String(32)),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("seal", sa.String(80), nullable=False),
    )
    op.create_table(
        "audit_ends",
        sa.Column("name", sa.String(8), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("seal", sa.String(80), nullable=False),
        sa.CheckConstraint("name IN ('head', 'start')", name="ck_audit_ends_name"),
    )
