"""Evaluated windows as the ledger gives them, for tests of what the demo says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.report.quality_table import WindowQuality

LOST = {
    "measure": "binary_crossentropy",
    "value": 0.9,
    "threshold": 0.7,
    "p_value": 1e-6,
    "flagged": True,
    "explanation": "binary_crossentropy is 0.9 on 100 labelled examples; usual is 0.5, and up to 0.7: quality is lost",
}
FINE = {**LOST, "measure": "auc", "value": 0.7, "threshold": 0.6, "p_value": 0.4, "flagged": False, "explanation": ""}


def day(
    start: str,
    *findings: Mapping[str, Any],
    labelled: int = 100,
    metrics: Mapping[str, float] | None = None,
    estimates: Mapping[str, tuple[float | None, bool]] | None = None,
    slices: Mapping[str, Mapping[str, Any]] | None = None,
    delays: Mapping[str, float] | None = None,
) -> WindowQuality:
    """Return a window of one day: findings of all rows, estimates as (value, estimable), a finding by origin in `slices`."""
    measured = {"auc": 0.7, "binary_accuracy": 0.8, "mean_label": 0.3, "mean_prediction": 0.1, **(metrics or {})}
    labels = {
        "labelled": labelled,
        "predictions": labelled + 10,
        "coverage": labelled / (labelled + 10),
        "delay_seconds": {"p50": 3600.0, "p90": 7200.0, "p99": 9000.0, "max": 9999.0} if delays is None else delays,
    }
    found = [{"slice": {"origin": name}, "metrics": {}, "findings": [one]} for name, one in (slices or {}).items()]
    found.append({"slice": {}, "metrics": measured, "findings": list(findings)})
    estimate = [
        {"measure": name, "class_id": None, "value": value, "estimable": estimable}
        for name, (value, estimable) in (estimates or {}).items()
    ]
    evaluation = {"labels": labels, "slices": found, "verdict": "flagged" if findings else "ok", "stage": "final"}
    return WindowQuality(f"{start}T00:00:00Z", "1", evaluation, {"estimates": estimate})
