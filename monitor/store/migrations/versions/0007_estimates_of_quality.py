"""what quality was estimated at, before labels came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version; nothing was estimated before it."""
    op.create_table(
        "estimates",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("version", sa.String(512), primary_key=True),
        sa.Column("window_start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("traffic_revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Go back to the version before; estimates are lost."""
    op.drop_table("estimates")
