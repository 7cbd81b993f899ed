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


def _key(name: str) -> Column[str]:
    return Column(name, String(512), primary_key=True)


def _time(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


partitions = Table(
    "partitions",
    metadata,
    _key("team"),
    _key("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(512), nullable=False, index=True),
    Column("retired", Boolean, nullable=False),
    Column("next_offset", BigInteger),
    _number("epoch"),
    Column("owner", String(512)),
    _time("max_event_time", nullable=True),
    Column("at_end", Boolean, nullable=False),
    _time("checked_at"),
    _time("progressed_at"),
)

cuts = Table(
    "cuts",
    metadata,
    _key("cut_id"),
    Column("team", String(512), nullable=False, index=True),
    Column("collector", String(512), nullable=False),
    _time("committed_at"),
    _number("messages"),
    _number("decoded"),
    _number("dead_lettered"),
    _number("records"),
    _number("sampled_out"),
    _number("kept"),
    _number("late"),
)

cut_ranges = Table(
    "cut_ranges",
    metadata,
    _key("cut_id"),
    _key("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("team", String(512), nullable=False),
    _number("start_offset"),
    _number("end_offset"),
)

lost_ranges = Table(
    "lost_ranges",
    metadata,
    _key("team"),
    _key("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("start_offset", BigInteger, primary_key=True, autoincrement=False),
    _number("end_offset"),
    _time("recorded_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _key("team"),
    _key("source"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(512), nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    _number("size_bytes"),
    _time("recorded_at"),
    Column("content", LargeBinary),
    Column("headers", Text),
    Column("forwarded", Boolean, nullable=False),
    _time("replayed_at", nullable=True),
    Column("replayed_to", Text),
    Index("dead_letters_by_state", "team", "forwarded"),
)

spans = Table(
    "spans",
    metadata,
    _key("span_id"),
    Column("team", String(512), nullable=False),
    Column("name", String(2048), nullable=False),
    Column("state", String(16), nullable=False),
    _time("lease_until"),
    _time("created_at", nullable=True),
    Column("cut_id", String(512)),
    Column("kind", String(16)),
    Column("model", String(512)),
    Column("version", String(512)),
    _time("window_start", nullable=True),
    _time("window_end", nullable=True),
    _number("rows", nullable=True),
    _number("size_bytes", nullable=True),
    _number("misfits", nullable=True),
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
    _key("cut_id"),
    Column("kind", String(16), primary_key=True),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    _key("stratum"),
    _time("window_end"),
    Column("team", String(512), nullable=False),
    _number("records"),
    _number("sampled_out"),
    Index("window_counts_by_window", "team", "model", "window_start"),
)

streams = Table(
    "streams",
    metadata,
    _key("team"),
    _key("model"),
    _time("watermark", nullable=True),
    _time("closed_until", nullable=True),
)

windows = Table(
    "windows",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    _time("window_end"),
    _time("closed_at"),
    _time("judged_at", nullable=True),
    Column("revision", Integer, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _key("slice"),
    Column("baseline", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    _key("slice"),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _time("window_end"),
    Column("baseline", Integer),
    Column("verdict", String(32), nullable=False),
    Column("configuration_hash", String(64), nullable=False),
    _number("fencing_token"),
    _time("recorded_at"),
    Column("document", Text, nullable=False),
)

notices = Table(
    "notices",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    _key("slice"),
    Column("revision", Integer, nullable=False),
    _time("notified_at"),
    _time("resolved_at", nullable=True),
)

accumulations = Table(
    "accumulations",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("baseline", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

label_streams = Table(
    "label_streams",
    metadata,
    _key("team"),
    _key("model"),
    _time("watermark", nullable=True),
    _time("counted_at_mark", nullable=True),
)

label_counts = Table(
    "label_counts",
    metadata,
    _key("team"),
    _key("model"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _time("window_end"),
    _number("in_time"),
    _number("early"),
    _number("too_late"),
    _number("unsampled"),
    _number("unknown"),
    _number("deleted_spans"),
    _number("fencing_token"),
    _time("recorded_at"),
)

label_looks = Table(
    "label_looks",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    _number("arrived"),
    Column("traffic_revision", Integer, nullable=False),
    _time("watermark", nullable=True),
    _time("looked_at"),
)

evaluations = Table(
    "evaluations",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _time("window_end"),
    Column("stage", String(32), nullable=False),
    Column("traffic_revision", Integer, nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("blessing", String(32)),
    _number("labelled"),
    _number("rows"),
    Column("labels_digest", String(32), nullable=False),
    Column("configuration_hash", String(64), nullable=False),
    _number("fencing_token"),
    _time("recorded_at"),
    Column("document", Text, nullable=False),
    Index("evaluations_by_stage", "team", "model", "version", "window_start", "stage"),
)

calibrations = Table(
    "calibrations",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _number("fencing_token"),
    _time("created_at"),
    Column("document", LargeBinary, nullable=False),
)

estimates = Table(
    "estimates",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    Column("traffic_revision", Integer, primary_key=True, autoincrement=False),
    _time("window_end"),
    _number("fencing_token"),
    _time("recorded_at"),
    Column("document", Text, nullable=False),
)

marks = Table(
    "marks",
    metadata,
    _key("team"),
    _key("model"),
    _key("version"),
    Column("window_start", BigInteger, primary_key=True, autoincrement=False),
    _key("slice"),
    _key("feature"),
    _key("reference"),
    _key("measure"),
    Column("baseline", Integer, primary_key=True, autoincrement=False),
    Column("sort", String(32), nullable=False),
    Column("value", Float, nullable=False),
    Column("actor", String(512), nullable=False),
    Column("note", Text, nullable=False),
    _time("created_at"),
)

baselines = Table(
    "baselines",
    metadata,
    _key("team"),
    _key("model"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _time("created_at"),
    Column("created_by", String(512), nullable=False),
    _number("rows"),
    Column("column_types", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

active_baselines = Table(
    "active_baselines",
    metadata,
    _key("team"),
    _key("model"),
    Column("number", Integer, nullable=False),
    _time("activated_at"),
)

leases = Table(
    "leases",
    metadata,
    _key("team"),
    _key("name"),
    Column("holder", String(512), nullable=False),
    _number("token"),
    _time("held_until"),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    _key("team"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _time("recorded_at"),
    Column("actor", String(512), nullable=False),
    Column("action", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    _key("team"),
    _number("sequence"),
    Column("hash", String(64), nullable=False),
)
