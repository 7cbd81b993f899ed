"""what people say of findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version."""
    op.create_table(
        "marks",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("version", sa.String(512), primary_key=True),
        sa.Column("window_start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("slice", sa.String(512), primary_key=True),
        sa.Column("feature", sa.String(512), primary_key=True),
        sa.Column("reference", sa.String(512), primary_key=True),
        sa.Column("measure", sa.String(512), primary_key=True),
        sa.Column("baseline", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sort", sa.String(32), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Go back to the version before."""
    op.drop_table("marks")
