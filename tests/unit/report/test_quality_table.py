"""Quality of windows as people see it: measured and estimated side by side, whole at any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from monitor.report.quality_table import WindowQuality, print_quality, telling


def _finding(measure: str, *, flagged: bool = False, judged: bool = True) -> dict[str, Any]:
    threshold = 0.7 if judged else None
    return {"measure": measure, "reference": "training", "reason": None, "threshold": threshold, "flagged": flagged}


def _evaluation(
    verdict: str = "ok", stage: str = "final", *, flagged: bool = False, **metrics: float
) -> dict[str, Any]:
    overall = {
        "slice": {},
        "metrics": {**metrics, "example_count": 100.0},
        "findings": [*(_finding(name, flagged=flagged) for name in metrics), _finding("example_count", judged=False)],
    }
    city = {"slice": {"city": "oslo"}, "metrics": metrics, "findings": [_finding("auc", flagged=flagged)]}
    labels = {"labelled": 1_234, "coverage": 0.5}
    return {"verdict": verdict, "stage": stage, "labels": labels, "slices": [overall, city], "concentrated": []}


def _estimate(value: float | None, *, estimable: bool = True) -> dict[str, Any]:
    return {"estimates": [{"measure": "auc", "class_id": None, "value": value, "estimable": estimable}]}


def _printed(*windows: WindowQuality, width: int = 120) -> str:
    stream = io.StringIO()
    print_quality(Console(file=stream, width=width), windows)
    return stream.getvalue()


def _window(
    evaluation: Any, estimate: Any = None, start: str = "2026-03-01T05:00:00Z", version: str = "1"
) -> WindowQuality:
    return WindowQuality(start, version, evaluation, estimate)


@pytest.mark.parametrize(
    ("estimate", "cell"),
    [
        (None, "0.812  "),
        (_estimate(0.79), "0.812 ~0.790"),
        (_estimate(0.79, estimable=False), "0.812 ?0.790"),
        (_estimate(None), "0.812  "),
    ],
    ids=["none", "to be relied on", "not to be relied on", "no number"],
)
def test_a_metric_stands_beside_its_estimate(estimate: Any, cell: str) -> None:
    assert cell in _printed(_window(_evaluation(auc=0.812), estimate))


def test_a_window_without_labels_has_its_estimate_only() -> None:
    printed = _printed(_window(None, _estimate(0.79)))
    assert "– ~0.790" in printed
    assert "no labels yet" in printed


def test_only_metrics_that_say_something_of_quality_are_shown() -> None:
    window = _window(_evaluation(auc=0.8, binary_accuracy=0.7))
    assert telling([window]) == ["auc", "binary_accuracy"]
    assert "example_count" not in _printed(window)


def test_what_was_lost_is_named_with_how_much_more() -> None:
    window = _window(_evaluation("flagged", flagged=True, auc=0.5, recall=0.1))
    assert window.lost() == ["auc", "recall", "auc of city=oslo"]
    assert "auc +2" in _printed(window)


def test_an_evaluation_that_is_not_final_says_so() -> None:
    assert "ok (provisional)" in _printed(_window(_evaluation(stage="provisional", auc=0.8)))


@pytest.mark.parametrize(("versions", "shown"), [(("1", "1"), False), (("1", "2"), True)])
def test_versions_are_named_where_there_are_several(versions: tuple[str, str], shown: bool) -> None:
    printed = _printed(*(_window(_evaluation(auc=0.8), version=version) for version in versions))
    assert ("Version" in printed) is shown


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_cell_is_cut_at_any_width(width: int) -> None:
    evaluation = _evaluation("insufficient_evidence", binary_crossentropy=0.4, auc=0.8, binary_accuracy=0.7, recall=1.0)
    printed = _printed(_window(evaluation, _estimate(0.79)), width=width)
    assert "…" not in printed


def test_windows_of_days_are_named_by_their_day() -> None:
    printed = _printed(_window(_evaluation(auc=0.8), start="2026-03-01T00:00:00Z"))
    assert "2026-03-01 " in printed
    assert "00:00" not in printed


def test_where_the_loss_is_concentrated_is_said_of_the_newest_window() -> None:
    lost = {
        **_evaluation("flagged", flagged=True, auc=0.5),
        "concentrated": ["the loss is 3 in city = oslo, 1 elsewhere"],
    }
    assert "2026-03-01T05:00:00Z: the loss is 3 in city = oslo" in _printed(_window(lost))
