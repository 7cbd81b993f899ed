"""alerts, and what is done about them: silences, messages, decisions, retrains, tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this version; there were no alerts before it, and there will be none about what was judged before."""
    op.create_table(
        "alert_due",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("window_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "model", "window_start"),
    )
    op.create_table(
        "alert_events",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("fingerprint", sa.String(512), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("team", "fingerprint", "number"),
    )
    op.create_table(
        "alert_inbox",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("fingerprint", sa.String(512), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "fingerprint", "starts_at", "status"),
    )
    op.create_table(
        "alerts",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("fingerprint", sa.String(512), nullable=False),
        sa.Column("rule", sa.String(512), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("active_at", sa.BigInteger(), nullable=True),
        sa.Column("fired_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("notified_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(512), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("assignee", sa.String(512), nullable=True),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("memory", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "fingerprint"),
    )
    op.create_index("alerts_by_model", "alerts", ["team", "model", "state"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("team", "name"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "approval_links",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(512), nullable=False),
        sa.Column("retrain_id", sa.String(512), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("used_for", sa.String(16), nullable=True),
        sa.PrimaryKeyConstraint("team", "digest"),
    )
    op.create_table(
        "decisions",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("policy", sa.String(512), nullable=False),
        sa.Column("fingerprint", sa.String(512), nullable=False),
        sa.Column("episode", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("retrain_id", sa.String(512), nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "policy", "fingerprint", "episode", "number"),
    )
    op.create_index("decisions_by_time", "decisions", ["team", "model", "first_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("message_id", sa.String(512), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("receiver", sa.String(512), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(512), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("team", "message_id"),
    )
    op.create_index("outbox_by_due", "outbox", ["team", "state", "due_at"], unique=False)
    op.create_index("outbox_by_subject", "outbox", ["team", "receiver", "subject", "sequence"], unique=False)
    op.create_table(
        "retrain_events",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("retrain_id", sa.String(512), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("team", "retrain_id", "number"),
    )
    op.create_table(
        "retrains",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("retrain_id", sa.String(512), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("live_model", sa.String(512), nullable=True),
        sa.Column("idempotency_key", sa.String(512), nullable=True),
        sa.Column("idempotency_digest", sa.String(64), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.String(512), nullable=False),
        sa.Column("fingerprint", sa.String(512), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(512), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("confirmation", sa.String(16), nullable=False),
        sa.Column("confirm_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("team", "retrain_id"),
    )
    op.create_index("retrains_by_key", "retrains", ["team", "idempotency_key"], unique=True)
    op.create_index("retrains_by_model", "retrains", ["team", "model", "created_at"], unique=False)
    op.create_index("retrains_live", "retrains", ["team", "live_model"], unique=True)
    op.create_table(
        "rollouts",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("retrain_id", sa.String(512), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("serving_at", sa.BigInteger(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("team", "retrain_id"),
    )
    op.create_table(
        "silences",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("silence_id", sa.String(512), nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(512), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expired_by", sa.String(512), nullable=True),
        sa.PrimaryKeyConstraint("team", "silence_id"),
    )
    op.drop_table("notices")  # alerts are told instead


def downgrade() -> None:
    """Go back to the version before; alerts and retrains are lost."""
    op.drop_table("silences")
    op.drop_table("rollouts")
    op.drop_index("retrains_live", table_name="retrains")
    op.drop_index("retrains_by_model", table_name="retrains")
    op.drop_index("retrains_by_key", table_name="retrains")
    op.drop_table("retrains")
    op.drop_table("retrain_events")
    op.drop_index("outbox_by_subject", table_name="outbox")
    op.drop_index("outbox_by_due", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("decisions_by_time", table_name="decisions")
    op.drop_table("decisions")
    op.drop_table("approval_links")
    op.drop_table("api_tokens")
    op.drop_index("alerts_by_model", table_name="alerts")
    op.drop_table("alerts")
    op.drop_table("alert_inbox")
    op.drop_table("alert_events")
    op.drop_table("alert_due")
    op.create_table(
        "notices",
        sa.Column("team", sa.String(512), nullable=False),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("version", sa.String(512), nullable=False),
        sa.Column("window_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slice", sa.String(512), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("notified_at", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("team", "model", "version", "window_start", "slice"),
    )
