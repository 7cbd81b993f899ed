"""The tables of the ledger. A change here needs a migration in `migrations/versions/`; a test compares the two.

Times are microseconds since the epoch in UTC and unsigned 64-bit numbers are zero-padded decimal text, because neither has a
type that SQLite and PostgreSQL share and order alike.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()


def key_column(name: str) -> Column[str]:
    """Return a text column of the primary key."""
    return Column(name, String(512), primary_key=True)


def time_column(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column of times."""
    return Column(name, BigInteger, nullable=nullable)


def number_column(name: str, *, nullable: bool = False) -> Column[int]:
    """Return a column of whole numbers."""
    return Column(name, BigInteger, nullable=nullable)


partitions = Table(
    "partitions",
    metadata,
    key_column("team"),
    key_column("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(512), nullable=False, index=True),
    Column("retired", Boolean, nullable=False),
    Column("next_offset", BigInteger),
    number_column("epoch"),
    Column("owner", String(512)),
    time_column("max_event_time", nullable=True),
    Column("at_end", Boolean, nullable=False),
    time_column("checked_at"),
    time_column("progressed_at"),
)

cuts = Table(
    "cuts",
    metadata,
    key_column("cut_id"),
    Column("team", String(512), nullable=False, index=True),
    Column("collector", String(512), nullable=False),
    time_column("committed_at"),
    number_column("messages"),
    number_column("decoded"),
    number_column("dead_lettered"),
    number_column("records"),
    number_column("sampled_out"),
    number_column("kept"),
    number_column("late"),
)

cut_ranges = Table(
    "cut_ranges",
    metadata,
    key_column("cut_id"),
    key_column("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("team", String(512), nullable=False),
    number_column("start_offset"),
    number_column("end_offset"),
)

lost_ranges = Table(
    "lost_ranges",
    metadata,
    key_column("team"),
    key_column("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("start_offset", BigInteger, primary_key=True, autoincrement=False),
    number_column("end_offset"),
    time_column("recorded_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    key_column("team"),
    key_column("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(512), nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    number_column("size_bytes"),
    time_column("recorded_at"),
    Column("content", LargeBinary),
    Column("headers", Text),
    Column("forwarded", Boolean, nullable=False),
    time_column("replayed_at", nullable=True),
    Column("replayed_to", Text),
    Index("dead_letters_by_state", "team", "forwarded"),
)

spans = Table(
    "spans",
    metadata,
    key_column("span_id"),
    Column("team", String(512), nullable=False),
    Column("name", String(2048), nullable=False),
    Column("state", String(16), nullable=False),
    time_column("lease_until"),
    time_column("created_at", nullable=True),
    Column("cut_id", String(512)),
    Column("kind", String(16)),
    Column("model", String(512)),
    Column("version", String(512)),
    time_column("window_start", nullable=True),
    time_column("window_end", nullable=True),
    number_column("rows", nullable=True),
    number_column("size_bytes", nullable=True),
    number_column("misfits", nullable=True),
    Column("theta", String(20)),
    Column("min_hash", String(20)),
    Column("max_hash", String(20)),
    Column("revision", Integer),
    Index("spans_by_window", "team", "model", "version", "window_start"),
    Index("spans_by_kind", "team", "model", "kind", "window_end", "window_start"),
    Index("spans_by_revision", "team", "model", "kind", "revision", "window_end"),
    Index("spans_by_state", "team", "state", "lease_until"),
)

window_counts = Table(
    "window_counts",
    metadata,
    key_column("cut_id"),
    Column("kind", String(16), primary_key=True),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    key_column("stratum"),
    time_column("window_end"),
    Column("team", String(512), nullable=False),
    number_column("records"),
    number_column("sampled_out"),
    Index("window_counts_by_window", "team", "model", "window_start"),
)

streams = Table(
    "streams",
    metadata,
    key_column("team"),
    key_column("model"),
    time_column("watermark", nullable=True),
    time_column("closed_until", nullable=True),
)

windows = Table(
    "windows",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    time_column("window_end"),
    time_column("closed_at"),
    time_column("judged_at", nullable=True),
    Column("revision", Integer, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    key_column("slice"),
    Column("baseline", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    key_column("slice"),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    time_column("window_end"),
    Column("baseline", Integer),
    Column("verdict", String(32), nullable=False),
    Column("configuration_hash", String(64), nullable=False),
    number_column("fencing_token"),
    time_column("recorded_at"),
    Column("document", Text, nullable=False),
)

accumulations = Table(
    "accumulations",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("baseline", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

label_streams = Table(
    "label_streams",
    metadata,
    key_column("team"),
    key_column("model"),
    time_column("watermark", nullable=True),
    time_column("counted_at_mark", nullable=True),
)

label_counts = Table(
    "label_counts",
    metadata,
    key_column("team"),
    key_column("model"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    time_column("window_end"),
    number_column("in_time"),
    number_column("early"),
    number_column("too_late"),
    number_column("unsampled"),
    number_column("unknown"),
    number_column("deleted_spans"),
    number_column("fencing_token"),
    time_column("recorded_at"),
)

label_looks = Table(
    "label_looks",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    number_column("arrived"),
    Column("traffic_revision", Integer, nullable=False),
    time_column("watermark", nullable=True),
    time_column("looked_at"),
)

evaluations = Table(
    "evaluations",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    time_column("window_end"),
    Column("stage", String(32), nullable=False),
    Column("traffic_revision", Integer, nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("blessing", String(32)),
    number_column("labelled"),
    number_column("rows"),
    Column("labels_digest", String(32), nullable=False),
    Column("configuration_hash", String(64), nullable=False),
    number_column("fencing_token"),
    time_column("recorded_at"),
    Column("document", Text, nullable=False),
    Index("evaluations_by_stage", "team", "model", "version", "window_start", "stage"),
)

calibrations = Table(
    "calibrations",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    number_column("fencing_token"),
    time_column("created_at"),
    Column("document", LargeBinary, nullable=False),
)

estimates = Table(
    "estimates",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("traffic_revision", Integer, primary_key=True, autoincrement=False),
    time_column("window_end"),
    number_column("fencing_token"),
    time_column("recorded_at"),
    Column("document", Text, nullable=False),
)

marks = Table(
    "marks",
    metadata,
    key_column("team"),
    key_column("model"),
    key_column("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    key_column("slice"),
    key_column("feature"),
    key_column("reference"),
    key_column("measure"),
    Column("baseline", Integer, primary_key=True, autoincrement=False),
    Column("sort", String(32), nullable=False),
    Column("value", Float, nullable=False),
    Column("actor", String(512), nullable=False),
    Column("note", Text, nullable=False),
    time_column("created_at"),
)

baselines = Table(
    "baselines",
    metadata,
    key_column("team"),
    key_column("model"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    time_column("created_at"),
    Column("created_by", String(512), nullable=False),
    number_column("rows"),
    Column("column_types", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

active_baselines = Table(
    "active_baselines",
    metadata,
    key_column("team"),
    key_column("model"),
    Column("number", Integer, nullable=False),
    time_column("activated_at"),
)

leases = Table(
    "leases",
    metadata,
    key_column("team"),
    key_column("name"),
    Column("holder", String(512), nullable=False),
    number_column("token"),
    time_column("held_until"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    key_column("team"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    time_column("recorded_at"),
    Column("actor", String(512), nullable=False),
    Column("action", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    key_column("team"),
    number_column("sequence"),
    Column("hash", String(64), nullable=False),
)
