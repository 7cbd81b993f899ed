"""The tables of alerts and of what is done about them. A change here needs a migration, as of `monitor.store.tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from monitor.store.tables import key_column, metadata, number_column, time_column

alerts = Table(
    "alerts",
    metadata,
    key_column("team"),
    key_column("fingerprint"),
    Column("rule", String(512), nullable=False),
    Column("model", String(512), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("labels", Text, nullable=False),
    Column("annotations", Text, nullable=False),
    time_column("active_at", nullable=True),
    time_column("fired_at", nullable=True),
    time_column("resolved_at", nullable=True),
    time_column("updated_at"),
    time_column("notified_at", nullable=True),  # when receivers were last told, for the repeat interval
    Column("acknowledged_by", String(512)),
    time_column("acknowledged_at", nullable=True),
    Column("assignee", String(512)),
    Column("findings", Text, nullable=False),
    Column("memory", Text, nullable=False),  # what the rule remembers of the last windows
    number_column("revision"),
    Index("alerts_by_model", "team", "model", "state"),
)

alert_events = Table(
    "alert_events",
    metadata,
    key_column("team"),
    key_column("fingerprint"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("model", String(512), nullable=False),
    Column("episode", Integer, nullable=False),
    time_column("at"),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("actor", String(512), nullable=False),
    Column("reason", Text, nullable=False),
)

alert_due = Table(
    "alert_due",  # windows that alerting has not looked at since something was recorded of them
    metadata,
    key_column("team"),
    key_column("model"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    number_column("changes"),
)

alert_inbox = Table(
    "alert_inbox",
    metadata,
    key_column("team"),
    key_column("fingerprint"),
    Column("starts_at", BigInteger, primary_key=True, autoincrement=False),
    Column("status", String(16), primary_key=True),
    time_column("received_at"),
)

silences = Table(
    "silences",
    metadata,
    key_column("team"),
    key_column("silence_id"),
    Column("matchers", Text, nullable=False),
    time_column("starts_at"),
    time_column("ends_at"),
    Column("created_by", String(512), nullable=False),
    Column("comment", Text, nullable=False),
    time_column("created_at"),
    Column("expired_by", String(512)),
)

outbox = Table(
    "outbox",
    metadata,
    key_column("team"),
    key_column("message_id"),
    number_column("sequence"),
    Column("receiver", String(512), nullable=False),
    Column("subject", String(512), nullable=False),  # messages of one receiver and subject are sent in their order
    Column("kind", String(32), nullable=False),
    Column("document", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    time_column("created_at"),
    time_column("due_at"),
    time_column("ended_at", nullable=True),
    Column("error", Text, nullable=False),
    Column("holder", String(512)),
    time_column("held_until", nullable=True),
    Index("outbox_by_due", "team", "state", "due_at"),
    Index("outbox_by_subject", "team", "receiver", "subject", "sequence"),
)

decisions = Table(
    "decisions",
    metadata,
    key_column("team"),
    key_column("policy"),
    key_column("fingerprint"),
    Column("episode", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("model", String(512), nullable=False),
    Column("action", String(32), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("retrain_id", String(512)),
    time_column("first_at"),
    time_column("last_at"),
    number_column("times"),
    Index("decisions_by_time", "team", "model", "first_at"),
)

retrains = Table(
    "retrains",
    metadata,
    key_column("team"),
    key_column("retrain_id"),
    Column("model", String(512), nullable=False),
    Column("live_model", String(512)),  # the model until the end, then null: at most one live retrain a model
    Column("idempotency_key", String(512)),
    Column("idempotency_digest", String(64)),
    Column("state", String(16), nullable=False),
    number_column("revision"),
    Column("policy", String(512), nullable=False),
    Column("fingerprint", String(512), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("created_by", String(512), nullable=False),
    time_column("created_at"),
    time_column("updated_at"),
    time_column("due_at"),
    time_column("deadline_at", nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("confirmation", String(16), nullable=False),
    time_column("confirm_until", nullable=True),
    Index("retrains_live", "team", "live_model", unique=True),
    Index("retrains_by_key", "team", "idempotency_key", unique=True),
    Index("retrains_by_model", "team", "model", "created_at"),
)

retrain_events = Table(
    "retrain_events",
    metadata,
    key_column("team"),
    key_column("retrain_id"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    time_column("at"),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("actor", String(512), nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", Text, nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    key_column("team"),
    key_column("retrain_id"),
    Column("model", String(512), nullable=False),
    time_column("began_at"),
    time_column("serving_at", nullable=True),
    time_column("since", nullable=True),
    Column("document", Text, nullable=False),
)

approval_links = Table(
    "approval_links",
    metadata,
    key_column("team"),
    key_column("digest"),
    Column("retrain_id", String(512), nullable=False),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("used_at", nullable=True),
    Column("used_for", String(16)),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    key_column("team"),
    key_column("name"),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scope", String(16), nullable=False),
    time_column("created_at"),
    time_column("expires_at", nullable=True),
    Column("revoked", Boolean, nullable=False),
)
