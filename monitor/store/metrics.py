"""What Prometheus learns from the ledger itself, read at every scrape: totals, identities, watermarks, verdicts, quality."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor.clock import Clock, SystemClock, to_micros
from monitor.errors import TransientError
from monitor.store.alert_metrics import alert_gauges
from monitor.store.ledger import Ledger
from monitor.store.outbox_metrics import outbox_gauges
from monitor.store.quality_metrics import quality_gauges
from monitor.store.retrain_metrics import retrain_gauges


class LedgerMetrics(Collector):
    """Gauges that are true for the whole team, whichever process is scraped."""

    def __init__(self, ledger: Ledger, clock: Clock | None = None) -> None:
        """Read `ledger` at every scrape; ages are as of `clock`, the system's where it is left out."""
        self._ledger = ledger
        self._clock = clock or SystemClock()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the gauges; none but `driftline_ledger_up` 0 while the database does not answer."""
        up = GaugeMetricFamily("driftline_ledger_up", "1 while the ledger's database answers, else 0.")
        try:
            families = [
                *self._totals(),
                self._watermarks(),
                self._verdicts(),
                *quality_gauges(self._ledger),
                *outbox_gauges(self._ledger, self._clock.now()),
                *alert_gauges(self._ledger, self._clock.now()),
                *retrain_gauges(self._ledger, self._clock.now()),
            ]
        except TransientError:
            families = []
        up.add_metric([], float(bool(families)))
        yield up
        yield from families

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Yield nothing, so that registering does not read the database."""
        return ()

    def _totals(self) -> Iterable[GaugeMetricFamily]:
        totals = self._ledger.identities()
        for name, what in _TOTALS.items():
            yield GaugeMetricFamily(f"driftline_ledger_{name}", f"{what}, over all committed ranges.", totals[name])
        unaccounted = GaugeMetricFamily(
            "driftline_ledger_unaccounted",
            "By how much an identity fails: messages = decoded + dead-lettered; records = sampled out + kept + late. Must be 0.",
            labels=["identity"],
        )
        read = totals["decoded"] + totals["dead_lettered"]
        held = totals["sampled_out"] + totals["kept"] + totals["late"]
        unaccounted.add_metric(["messages"], totals["messages"] - read)
        unaccounted.add_metric(["records"], totals["records"] - held)
        yield unaccounted

    def _watermarks(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "driftline_model_watermark_seconds",
            "Event time up to which a model's input is complete, in seconds since the epoch.",
            labels=["model"],
        )
        for model, mark in self._ledger.watermarks().items():
            family.add_metric([model], to_micros(mark) / 1e6)
        return family

    def _verdicts(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "driftline_windows_judged",
            "Judged windows by the verdict of their newest revision.",
            labels=["model", "verdict"],
        )
        for (model, verdict), count in self._ledger.verdict_counts().items():
            family.add_metric([model, verdict], count)
        return family


_TOTALS = {
    "messages": "Messages read",
    "decoded": "Messages decoded",
    "dead_lettered": "Messages that can never be read",
    "records": "Records decoded",
    "sampled_out": "Records that the sampler dropped",
    "kept": "Records in spans of open windows and of labels",
    "late": "Records in spans of windows that were closed",
    "lost": "Offsets that the broker deleted before they were read",
}
