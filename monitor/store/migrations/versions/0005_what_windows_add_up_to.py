"""what the windows of a model version add up to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version; what builds up is followed from the next window on."""
    op.create_table(
        "accumulations",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("version", sa.String(512), primary_key=True),
        sa.Column("baseline", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    """Go back to the version before."""
    op.drop_table("accumulations")
