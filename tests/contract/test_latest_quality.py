"""The newest of what the ledger knows of quality, for metrics that are read at every scrape."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monitor.records import WindowKey
from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.ledger import Ledger
from monitor.window.label_due import Look, Stage
from tests.ledgers import EVALUATION, NOON, held, key

FINAL = replace(EVALUATION, stage=Stage.FINAL, document={})


def record(ledger: Ledger, *evaluations: EvaluationRecord) -> None:
    for each in evaluations:
        ledger.evaluations.record(each, Look(1, 7, 1, NOON, NOON), held(ledger), NOON)


def of(hours: int, revision: int = 1, **change: Any) -> EvaluationRecord:
    return replace(FINAL, key=key(hours, change.pop("version", "1")), revision=revision, **change)


def test_the_newest_window_of_each_version_counts_in_its_newest_revision(ledger: Ledger) -> None:
    newest = of(5, 2, stage=Stage.RESTATED, verdict="flagged")
    other_version = of(8, version="2")
    other_model = replace(FINAL, key=WindowKey("other", "1", key(20).window))
    record(ledger, of(9), of(5), of(7), newest, other_version, other_model)
    assert ledger.evaluations.latest() == [newest, other_version, other_model]


def test_windows_whose_labels_are_still_coming_are_passed_over(ledger: Ledger) -> None:
    record(ledger, of(9), of(5, stage=Stage.PROVISIONAL), of(8, version="2", stage=Stage.PROVISIONAL))
    assert ledger.evaluations.latest() == [of(9)]


def test_the_newest_estimate_of_each_version_counts(ledger: Ledger) -> None:
    assert ledger.estimates.latest() == []
    lease = held(ledger)
    for hours, version, revision, said in (
        (9, "1", 1, "old"),
        (5, "1", 1, "first"),
        (5, "1", 2, "last"),
        (8, "2", 1, "two"),
    ):
        ledger.estimates.record(key(hours, version), revision, {"said": said}, lease, NOON)
    assert ledger.estimates.latest() == [{"said": "last"}, {"said": "two"}]
