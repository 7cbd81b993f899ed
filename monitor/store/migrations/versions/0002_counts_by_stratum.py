"""counts by stratum."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version: the primary key gets a column, which SQLite can only do by a new table."""
    _replace(
        sa.Column("stratum", sa.String(length=512), nullable=False),
        key=["stratum"],
        copy="INSERT INTO window_counts (cut_id, kind, model, version, window_start, window_end, team, records, sampled_out, "
        "stratum) SELECT cut_id, kind, model, version, window_start, window_end, team, records, sampled_out, '' "
        "FROM window_counts_before",
    )


def downgrade() -> None:
    """Go back to the version before, where strata are added up."""
    _replace(
        key=[],
        copy="INSERT INTO window_counts (cut_id, kind, model, version, window_start, window_end, team, records, sampled_out) "
        "SELECT cut_id, kind, model, version, window_start, MIN(window_end), MIN(team), SUM(records), SUM(sampled_out) "
        "FROM window_counts_before GROUP BY cut_id, kind, model, version, window_start",
    )


def _replace(*columns: sa.Column[str], key: list[str], copy: str) -> None:
    """Make the table anew with `columns` added, of which `key` join the primary key, and fill it by the statement `copy`."""
    op.drop_index("window_counts_by_window", table_name="window_counts")
    op.rename_table("window_counts", "window_counts_before")
    op.create_table(
        "window_counts",
        sa.Column("cut_id", sa.String(length=512), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=512), nullable=False),
        sa.Column("version", sa.String(length=512), nullable=False),
        sa.Column("window_start", sa.BigInteger(), autoincrement=False, nullable=False),
        *columns,
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("team", sa.String(length=512), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("sampled_out", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cut_id", "kind", "model", "version", "window_start", *key),
    )
    op.execute(copy)
    op.drop_table("window_counts_before")
    op.create_index("window_counts_by_window", "window_counts", ["team", "model", "window_start"], unique=False)
