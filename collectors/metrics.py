"""What a collector tells Prometheus; changes when a metric does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collectors.buffer import PreparedCut


class CollectorMetrics:
    """The counters and gauges of the collectors of one process. Counters count committed cuts only, each message once."""

    _registered: ClassVar[WeakKeyDictionary[CollectorRegistry, CollectorMetrics]] = WeakKeyDictionary()

    @classmethod
    def on(cls, registry: CollectorRegistry) -> CollectorMetrics:
        """Return the metrics of a registry; the collectors of one process share them."""
        found = cls._registered.get(registry)
        if found is None:
            found = cls._registered[registry] = cls(registry)
        return found

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics; see `on`."""

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"driftline_collector_{name}", text, labels, registry=registry)

        self._messages = counter("messages", "Messages read and committed, by topic or file pattern.", ("stream",))
        self._decoded = counter("decoded", "Messages that became records.")
        self._dead = counter("dead_lettered", "Messages that can never be read, by reason.", ("reason",))
        self._records = counter("records", "Records read, by model and kind.", ("model", "kind"))
        self._sampled_out = counter(
            "sampled_out", "Records that the sampler dropped, by model and kind.", ("model", "kind")
        )
        self._kept = counter("kept", "Records written to spans, by model and kind.", ("model", "kind"))
        self._misfits = counter("misfits", "Values that do not fit the type of their feature, by model.", ("model",))
        self._spans = counter("spans", "Spans sealed, by model and kind.", ("model", "kind"))
        self._span_bytes = counter(
            "span_bytes", "Bytes of the files of sealed spans, by model and kind.", ("model", "kind")
        )
        self._cuts = counter("cuts", "Cuts committed.")
        self.cut_seconds = Histogram(
            "driftline_collector_cut_seconds",
            "Duration of a commit: sealing, writing the files, and the transaction, attempts that failed included.",
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=registry,
        )
        self.paused_seconds = counter(
            "paused_seconds", "Seconds in which nothing was read because too much waited to be committed."
        )
        self.forwarded = counter("dead_letters_forwarded", "Dead letters that the dead letters' topic has.")
        self.stale_cuts = counter("stale_cuts", "Cuts discarded because another collector owned the input by then.")
        self._lost = counter("lost", "Offsets that the broker deleted before they were read, by topic.", ("stream",))
        self.retries = counter(
            "retries", "Attempts that failed for a reason that may pass, by what was attempted.", ("what",)
        )
        self._buffered_rows = Gauge(
            "driftline_collector_buffered_rows",
            "Records and dead letters that wait to be committed.",
            registry=registry,
        )
        self._lag = Gauge(
            "driftline_collector_lag",
            "Messages that wait to be read by this collector, by topic; of a file pattern, files that are not read to their end.",
            ("stream",),
            registry=registry,
        )

    def expect(self, model: str, kind: str) -> None:
        """Show that nothing was read of a model yet: what is not shown at all cannot be seen to stand still."""
        self._records.labels(model, kind)

    def buffered_rows_of_one(self) -> Callable[[float], None]:
        """Return what sets one collector's share of the rows that wait to be committed."""
        return _share(self._buffered_rows)

    def lag_of_one(self) -> Callable[[Mapping[str, int]], None]:
        """Return what sets one collector's share of the messages that wait to be read, by stream."""
        shares: dict[str, Callable[[float], None]] = {}

        def set_shares(lag: Mapping[str, int]) -> None:
            for stream in lag.keys() - shares.keys():
                shares[stream] = _share(self._lag.labels(stream))
            for stream, set_share in shares.items():
                set_share(lag.get(stream, 0))

        return set_shares

    def committed(self, prepared: PreparedCut) -> None:
        """Count a committed cut."""
        cut = prepared.cut
        self._cuts.inc()
        self._decoded.inc(cut.decoded)
        for stream, count in prepared.messages.items():
            self._messages.labels(stream).inc(count)
        for letter in cut.dead_letters:
            self._dead.labels(letter.reason).inc()
        for total in cut.counts:
            self._records.labels(total.key.model, total.kind).inc(total.records)
            self._sampled_out.labels(total.key.model, total.kind).inc(total.sampled_out)
        for span in cut.spans:
            self._kept.labels(span.model, span.kind).inc(span.rows)
            self._misfits.labels(span.model).inc(span.misfits)
            self._spans.labels(span.model, span.kind).inc()
            self._span_bytes.labels(span.model, span.kind).inc(span.size_bytes)
        for lost in cut.lost:
            self._lost.labels(lost.partition.name).inc(lost.end - lost.start)


def _share(gauge: Gauge) -> Callable[[float], None]:
    last = 0.0

    def set_share(value: float) -> None:
        nonlocal last
        gauge.inc(value - last)
        last = value

    return set_share
