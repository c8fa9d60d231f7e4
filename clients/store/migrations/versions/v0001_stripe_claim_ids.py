"""The map of claims to stripe's integers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Version 0.1.0 made this table without writing a revision down: there it is left as it is."""
    op.create_table(
        "stripe_claim_ids",
        sa.Column("claim_id", sa.String(36), primary_key=True),
        sa.Column("stripe_id", sa.Integer, unique=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
