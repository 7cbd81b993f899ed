from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics
from monitor.store.quality_metrics import MOST_SLICES
from monitor.window.label_due import Look, Stage
from tests.ledgers import HOUR, NOON, key

LABELS = {"coverage": 0.75, "delay_seconds": {"p50": 60.0, "p90": 90.0, "p99": 100.0, "max": 120.0}}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


def evaluated(ledger: Ledger, slices: list[dict[str, Any]], labels: Mapping[str, Any] = LABELS) -> None:
    lease = ledger.leases.acquire("model:model", "monitor", NOON, HOUR)
    assert lease is not None
    document = {"slices": slices, "labels": labels}
    found = EvaluationRecord(key(5), 1, Stage.FINAL, 1, "flagged", None, 5, 10, "d", "hash", document)
    ledger.evaluations.record(found, Look(1, 7, 1, NOON, NOON), lease, NOON)


def of(name: Mapping[str, str], labelled: int, **metrics: float | None) -> dict[str, Any]:
    return {"slice": name, "labelled": labelled, "metrics": metrics, "findings": []}


def samples(ledger: Ledger, name: str) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(ledger))
    assert generate_latest(registry)
    (family,) = [family for family in registry.collect() if family.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_metrics_are_told_by_slice_and_those_without_a_value_are_not(ledger: Ledger) -> None:
    evaluated(ledger, [of({}, 9, auc=0.75, recall=None), of({"origin": "JFK", "carrier": "UA"}, 4, auc=0.5)])
    assert samples(ledger, "driftline_quality") == {
        ("model", "1", "", "auc"): 0.75,
        ("model", "1", "origin=JFK,carrier=UA", "auc"): 0.5,
    }


def test_of_many_slices_those_with_the_most_labels_are_told_beside_all_rows(ledger: Ledger) -> None:
    evaluated(ledger, [of({"n": str(n)}, n, auc=0.5) for n in range(60)] + [of({}, 1, auc=0.5)])
    told = {name for _, _, name, _ in samples(ledger, "driftline_quality")}
    assert told == {""} | {f"n={n}" for n in range(60 - MOST_SLICES, 60)}


def test_coverage_and_delay_of_labels_are_told(ledger: Ledger) -> None:
    evaluated(ledger, [])
    assert samples(ledger, "driftline_label_coverage_ratio") == {("model", "1"): 0.75}
    assert samples(ledger, "driftline_label_delay_seconds") == {
        ("model", "1", "0.5"): 60.0,
        ("model", "1", "0.9"): 90.0,
        ("model", "1", "0.99"): 100.0,
        ("model", "1", "1"): 120.0,
    }


def test_a_window_without_labels_has_no_delays(ledger: Ledger) -> None:
    evaluated(ledger, [], {"coverage": 0.0, "delay_seconds": None})
    assert samples(ledger, "driftline_label_coverage_ratio") == {("model", "1"): 0.0}
    assert samples(ledger, "driftline_label_delay_seconds") == {}


def test_windows_are_counted_by_stage_and_verdict(ledger: Ledger) -> None:
    evaluated(ledger, [])
    assert samples(ledger, "driftline_windows_evaluated") == {("model", "final", "flagged"): 1}


def test_an_estimate_that_is_not_to_be_relied_on_is_told_as_nan(ledger: Ledger) -> None:
    lease = ledger.leases.acquire("model:model", "monitor", NOON, HOUR)
    assert lease is not None
    estimates = [
        {"measure": "auc", "class_id": None, "value": 0.7, "estimable": True},
        {"measure": "recall", "class_id": None, "value": 0.2, "estimable": False},
        {"measure": "precision", "class_id": None, "value": None, "estimable": False},
        {"measure": "precision", "class_id": 2, "value": 0.5, "estimable": True},
    ]
    document = {"model": "model", "version": "1", "estimates": estimates}
    ledger.estimates.record(key(5), 1, document, lease, NOON)
    told = samples(ledger, "driftline_quality_estimated")
    assert set(told) == {("model", "1", "auc"), ("model", "1", "recall")}
    assert told["model", "1", "auc"] == 0.7
    assert math.isnan(told["model", "1", "recall"])


def test_an_empty_ledger_tells_nothing(ledger: Ledger) -> None:
    for name in ("driftline_quality", "driftline_quality_estimated", "driftline_labels", "driftline_windows_evaluated"):
        assert samples(ledger, name) == {}
