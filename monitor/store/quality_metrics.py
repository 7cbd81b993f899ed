"""What Prometheus learns of quality from the ledger, read at every scrape; changes with what is told of it.

Of each version its newest window is told, and no others: of evaluations the newest one whose labels were complete, since labels
that come early are not like the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from monitor.store.ledger import Ledger

MOST_SLICES = 50
"""Slices of a version that are told, beside all rows: those with the most labels."""
_QUANTILES = {"p50": "0.5", "p90": "0.9", "p99": "0.99", "max": "1"}


def quality_gauges(ledger: Ledger) -> Iterable[GaugeMetricFamily]:
    """Yield the gauges; raises TransientError while the database does not answer."""
    quality = GaugeMetricFamily(
        "driftline_quality",
        "Metrics of the EvalConfig for the newest window with all its labels, by slice; empty for all rows.",
        labels=["model", "version", "slice", "metric"],
    )
    coverage = GaugeMetricFamily(
        "driftline_label_coverage_ratio",
        "Share of the predictions of the newest window with all its labels that have one.",
        labels=["model", "version"],
    )
    delay = GaugeMetricFamily(
        "driftline_label_delay_seconds",
        "Time from prediction to label in the newest window with all its labels.",
        labels=["model", "version", "quantile"],
    )
    for record in ledger.evaluations.latest():
        version = [record.key.model, record.key.version]
        for each in _told(record.document["slices"]):
            for metric, value in each["metrics"].items():
                if value is not None:
                    quality.add_metric([*version, _slice_text(each["slice"]), metric], value)
        labels = record.document["labels"]
        if labels["coverage"] is not None:
            coverage.add_metric(version, labels["coverage"])
        for name, seconds in (labels["delay_seconds"] or {}).items():
            delay.add_metric([*version, _QUANTILES[name]], seconds)
    yield from (quality, _estimated(ledger), coverage, delay, _evaluated(ledger), _labels(ledger))


def _told(slices: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    yield from islice(sorted(slices, key=lambda each: (bool(each["slice"]), -each["labelled"])), MOST_SLICES + 1)


def _slice_text(slice_: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in slice_.items())


def _estimated(ledger: Ledger) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "driftline_quality_estimated",
        "Quality of the newest judged window, estimated from its scores; NaN where the estimate is not to be relied on.",
        labels=["model", "version", "metric"],
    )
    for document in ledger.estimates.latest():
        for each in document["estimates"]:
            if each["value"] is not None and each["class_id"] is None:
                value = each["value"] if each["estimable"] else math.nan
                family.add_metric([document["model"], document["version"], each["measure"]], value)
    return family


def _evaluated(ledger: Ledger) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "driftline_windows_evaluated",
        "Windows evaluated by their labels, by stage and verdict of the newest evaluation.",
        labels=["model", "stage", "verdict"],
    )
    for key, count in ledger.evaluations.counts().items():
        family.add_metric(list(key), count)
    return family


def _labels(ledger: Ledger) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "driftline_labels",
        "Labels counted so far, by what became of them: in_time, early, too_late, unsampled or unknown.",
        labels=["model", "fate"],
    )
    for model, fates in ledger.labels.totals().items():
        for fate, count in asdict(fates).items():
            family.add_metric([model, fate], count)
    return family
