"""Cuts and windows for tests of the ledger: a small collector without input, that commits what a test says."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitor.cuts import Claim, Count, Cut, CutLedger, DeadLetter, Partition, Range, SealedSpan
from monitor.records import SpanKind, Window, WindowKey
from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.window.label_due import Stage

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""The wall clock of these tests."""
TOPIC = Partition("topic-id", 0, "requests")


def window(hours_before_noon: int) -> Window:
    """Return the hour that starts `hours_before_noon` before noon."""
    return Window.holding(NOON - hours_before_noon * HOUR, HOUR)


def key(hours_before_noon: int, version: str = "1") -> WindowKey:
    """Return that hour of the model that these tests are about."""
    return WindowKey("model", version, window(hours_before_noon))


EVALUATION = EvaluationRecord(
    key=key(5),
    revision=1,
    stage=Stage.PROVISIONAL,
    traffic_revision=1,
    verdict="ok",
    blessing=None,
    labelled=5,
    rows=10,
    labels_digest="d" * 32,
    configuration_hash="hash",
    document={"metrics": {"auc": 0.75}},
)
"""The first evaluation of a window; tests replace what they are about."""


def held(ledger: Ledger, holder: str = "monitor", now: datetime = NOON) -> Lease:
    """Return the lease of that model, which nobody else holds, for 100 hours."""
    lease = ledger.leases.acquire("model:model", holder, now, 100 * HOUR)
    assert lease is not None
    return lease


@dataclass
class Hand:
    """Commits by hand through one claim, at the offsets where the ledger stands."""

    ledger: CutLedger
    claim: Claim
    at_end: bool = False

    @classmethod
    def on(cls, ledger: CutLedger, partition: Partition = TOPIC, name: str = "hand") -> Hand:
        return cls(ledger, ledger.claim(partition, name, NOON))

    def cut(
        self,
        rows: Sequence[tuple[WindowKey, int]] = (),
        *,
        start: int | None = None,
        kind: SpanKind = SpanKind.TRAFFIC,
        sampled_out: int = 0,
        dead: int = 0,
        newest: datetime | None = None,
        theta: int = 2**64,
        checked_at: datetime = NOON,
        progressed_at: datetime = NOON,
    ) -> Cut:
        """Return a cut of these rows per window, with intents made; nothing is committed yet."""
        start = (self.claim.next_offset or 0) if start is None else start
        kept = sum(count for _, count in rows)
        messages = kept + dead + (sampled_out if rows else 0)
        spans = [_span(each, count, kind, theta) for each, count in rows if count]
        self.ledger.intend([(span.span_id, span.name) for span in spans], NOON + HOUR)
        newest = newest or max((each.window.start for each, _ in rows), default=None)
        step = Range(
            self.claim.partition,
            self.claim.epoch,
            start,
            start + messages,
            newest,
            self.at_end,
            checked_at,
            progressed_at,
        )
        counts = [
            Count(kind, each, count + (sampled_out if place == 0 else 0), sampled_out if place == 0 else 0)
            for place, (each, count) in enumerate(rows)
        ]
        letters = [DeadLetter(self.claim.partition, start + place, "not JSON", "00", 3) for place in range(dead)]
        return Cut(uuid.uuid4().hex, "hand", [step], spans, counts, letters, messages=messages, decoded=messages - dead)

    def commit(self, cut: Cut) -> None:
        """Commit, and stand where the cut ends."""
        self.ledger.commit(cut, NOON)
        self.claim = Claim(self.claim.partition, cut.ranges[0].end, self.claim.epoch)


def _span(each: WindowKey, rows: int, kind: SpanKind, theta: int) -> SealedSpan:
    span_id = uuid.uuid4().hex
    name = f"{kind}/{span_id}.parquet"
    return SealedSpan(span_id, name, kind, each.model, each.version, each.window, rows, 100, theta, 0, 5, 2**64 - 1)
