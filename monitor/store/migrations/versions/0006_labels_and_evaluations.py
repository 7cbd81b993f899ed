"""what labels say of windows: their watermark, counts and looks, evaluations, and calibrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version; windows that were judged before are evaluated as far as their spans are still there."""
    op.create_table(
        "label_streams",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("watermark", sa.BigInteger()),
        sa.Column("counted_at_mark", sa.BigInteger()),
    )
    op.create_table(
        "label_counts",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("window_start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("in_time", sa.BigInteger(), nullable=False),
        sa.Column("early", sa.BigInteger(), nullable=False),
        sa.Column("too_late", sa.BigInteger(), nullable=False),
        sa.Column("unsampled", sa.BigInteger(), nullable=False),
        sa.Column("unknown", sa.BigInteger(), nullable=False),
        sa.Column("deleted_spans", sa.BigInteger(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "label_looks",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("version", sa.String(512), primary_key=True),
        sa.Column("window_start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("traffic_revision", sa.Integer(), nullable=False),
        sa.Column("watermark", sa.BigInteger()),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "evaluations",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("version", sa.String(512), primary_key=True),
        sa.Column("window_start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("traffic_revision", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("blessing", sa.String(32)),
        sa.Column("labelled", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("labels_digest", sa.String(32), nullable=False),
        sa.Column("configuration_hash", sa.String(64), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_table(
        "calibrations",
        sa.Column("team", sa.String(512), primary_key=True),
        sa.Column("model", sa.String(512), primary_key=True),
        sa.Column("version", sa.String(512), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
    )
    op.create_index("evaluations_by_stage", "evaluations", ["team", "model", "version", "window_start", "stage"])
    op.create_index("spans_by_kind", "spans", ["team", "model", "kind", "window_end", "window_start"])
    op.create_index("spans_by_revision", "spans", ["team", "model", "kind", "revision", "window_end"])


def downgrade() -> None:
    """Go back to the version before; evaluations are lost."""
    op.drop_index("spans_by_revision", "spans")
    op.drop_index("spans_by_kind", "spans")
    op.drop_index("evaluations_by_stage", "evaluations")
    for table in ("calibrations", "evaluations", "label_looks", "label_counts", "label_streams"):
        op.drop_table(table)
    # Counting a label span marks it as a judged traffic span is marked; the version before knows no such label spans.
    op.execute("UPDATE spans SET revision = NULL WHERE kind = 'labels'")
