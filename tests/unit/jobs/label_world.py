"""Windows with labels, from the ledger's cuts on: for tests of the jobs that bring them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from collectors.memory import MemoryStorage
from collectors.spans import SpanFile, seal
from collectors.wire.blocks import part_schema
from monitor.clock import to_micros
from monitor.config.settings import ModelSettings
from monitor.cuts import Count, Partition
from monitor.hashing import hash_ids
from monitor.records import EVENT_TIME_TYPE, ColumnTypes, FeatureType, SpanKind, ValueType, Window, WindowKey
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement
from tests.ledgers import HOUR, NOON, TOPIC, Hand

TYPES: ColumnTypes = {"number": FeatureType(ValueType.FLOAT)}
LABEL_TOPIC = Partition("labels-id", 0, "labels")


@dataclass(frozen=True)
class Seen:
    """A prediction of the number `number`, or a label; its time in hours from noon."""

    id: str
    hours: float
    label: float | None = None
    number: float = 0.0
    instance: int = 0
    stratum: str = ""

    @property
    def at(self) -> datetime:
        return NOON + self.hours * HOUR


def settings(horizon: str | None = "4h", **sampling: object) -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "traffic": {"topic": "requests"},
            "labels": {"topic": "labels", "horizon": horizon} if horizon else None,
            "sampling": sampling,
            "windows": {"length": "1h", "allowed_lateness": "0s", "restate_for": "24h"},
        }
    )


@dataclass
class World:
    """A ledger, a folder of spans, and hands that commit traffic and labels."""

    ledger: Ledger
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    theta: int = 2**64

    def __post_init__(self) -> None:
        self._hands = {
            SpanKind.TRAFFIC: Hand.on(self.ledger.cuts, TOPIC),
            SpanKind.LABELS: Hand.on(self.ledger.cuts, LABEL_TOPIC),
        }

    @property
    def lease(self) -> Lease:
        lease = self.ledger.leases.acquire("model:model", "monitor", NOON, 1000 * HOUR)
        assert lease is not None
        return lease

    def traffic(self, *seen: Seen, until: float, version: str = "1") -> None:
        """Commit predictions, and that the traffic is complete for so many hours from noon."""
        self._commit(SpanKind.TRAFFIC, seen, until, version)
        self.ledger.windows.advance("model", "requests", settings().windows, self.lease, NOON + 1000 * HOUR)

    def labels(self, *seen: Seen, until: float) -> datetime | None:
        """Commit labels, and that they are complete so far; returns their watermark."""
        self._commit(SpanKind.LABELS, seen, until, "")
        return self.ledger.labels.advance("model", "labels", settings().windows, self.lease, NOON + 1000 * HOUR)

    def judge(self) -> None:
        """Judge what is closed."""
        for pending in self.ledger.windows.pending("model", 100 * HOUR, NOON + 2000 * HOUR):
            judged = Judgement(pending, {"verdict": "ok"}, None, None, "hash")
            self.ledger.verdicts.record(judged, self.lease, NOON)

    def _commit(self, kind: SpanKind, seen: Sequence[Seen], until: float, version: str) -> None:
        by_window: dict[Window, list[Seen]] = {}
        for each in seen:
            by_window.setdefault(Window.holding(each.at, HOUR), []).append(each)
        files = [self._seal(kind, WindowKey("model", version, key), rows) for key, rows in by_window.items()]
        hand = self._hands[kind]
        cut = hand.cut([(file.span_key, 0) for file in files], kind=kind, newest=NOON + until * HOUR)
        counts = [
            Count(kind, file.span_key, records, records - kept, stratum)
            for file in files
            for stratum, (records, kept) in file.counted.items()
        ]
        records = sum(count.records for count in counts)
        step = replace(cut.ranges[0], end=cut.ranges[0].start + records)
        spans = [file.file.span for file in files if file.file is not None]
        self.ledger.cuts.intend([(span.span_id, span.name) for span in spans], NOON + HOUR)
        for file in files:
            if file.file is not None:
                self.storage.put(file.file.span.name, file.file.content)
        hand.commit(replace(cut, ranges=[step], spans=spans, counts=counts, messages=records, decoded=records))

    def _seal(self, kind: SpanKind, key: WindowKey, rows: Sequence[Seen]) -> _Sealed:
        ids = pa.array([each.id for each in rows], pa.string())
        hashes = hash_ids(ids)
        kept = np.ones(len(rows), dtype=np.bool_) if self.theta == 2**64 else hashes < np.uint64(self.theta)
        counted = {
            stratum: (
                sum(each.stratum == stratum for each in rows),
                sum(each.stratum == stratum and bool(keep) for each, keep in zip(rows, kept, strict=True)),
            )
            for stratum in {each.stratum for each in rows}
        }
        if not kept.any():
            return _Sealed(key, counted, None)
        schema = part_schema(kind, TYPES)
        columns = {
            "request_id": ids,
            "instance": pa.array([each.instance for each in rows], pa.int64()),
            "event_time": pa.array([to_micros(each.at) for each in rows], pa.int64()).cast(EVENT_TIME_TYPE),
            "weight": pa.array(np.ones(len(rows))),
            "label": pa.array([each.label for each in rows], pa.float64()),
            "feature.number": pa.array([each.number for each in rows], pa.float64()),
            "prediction": pa.array([each.number for each in rows], pa.float64()),
            "misfits": pa.array(np.zeros(len(rows), dtype=np.int32)),
        }
        table = pa.table(
            [columns.get(one.name, pa.nulls(len(rows), one.type)) for one in schema], names=schema.names
        ).drop(["hash_rate"])
        strata = pa.array([each.stratum for each in rows], pa.string())
        keep = pa.array(kept)
        made = seal(
            kind,
            key,
            table.filter(keep),
            hashes[kept],
            theta=self.theta,
            types=TYPES if kind is SpanKind.TRAFFIC else {},
            strata=strata.filter(keep),
        )
        return _Sealed(key, counted, made)


@dataclass(frozen=True)
class _Sealed:
    span_key: WindowKey
    counted: dict[str, tuple[int, int]]
    file: SpanFile | None
