"""dead letters that are kept with their bytes, forwarded to a topic, and replayed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version; what was recorded before it counts as not forwarded."""
    op.add_column("dead_letters", sa.Column("content", sa.LargeBinary(), nullable=True))
    op.add_column("dead_letters", sa.Column("headers", sa.Text(), nullable=True))
    op.add_column("dead_letters", sa.Column("forwarded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("dead_letters", sa.Column("replayed_at", sa.BigInteger(), nullable=True))
    op.add_column("dead_letters", sa.Column("replayed_to", sa.Text(), nullable=True))
    op.create_index("dead_letters_by_state", "dead_letters", ["team", "forwarded"])


def downgrade() -> None:
    """Go back to the version before."""
    op.drop_index("dead_letters_by_state", table_name="dead_letters")
    for column in ("replayed_to", "replayed_at", "forwarded", "headers", "content"):
        op.drop_column("dead_letters", column)
