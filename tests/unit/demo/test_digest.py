from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from monitor.demo import digest


def finding(feature: str | None, value: float | None, flagged: bool, **more: Any) -> dict[str, Any]:
    base = {
        "kind": "skew",
        "feature": feature,
        "reference": "training",
        "measure": "cohens_w",
        "value": value,
        "threshold": None,
        "flagged": flagged,
        "explanation": f"{feature} moved by {value}",
    }
    return base | more


def window(day: date, *findings: dict[str, Any], verdict: str | None = None, rows: int = 900) -> dict[str, Any]:
    flagged = any(one["flagged"] for one in findings)
    return {
        "window_start": f"{day}T00:00:00Z",
        "rows": rows,
        "verdict": verdict or ("flagged" if flagged else "ok"),
        "findings": list(findings),
    }


FRIDAY = date(2013, 3, 1)


def test_weeks_begin_on_monday_and_add_windows_up() -> None:
    documents = [window(FRIDAY + timedelta(days=n), finding("temp", 1.0, flagged=n != 1)) for n in range(4)]
    first, second = digest.periods(documents, weekly=True)
    assert (first.start, first.rows, first.verdicts) == (FRIDAY, 2_700, {"flagged": 2, "ok": 1})
    assert (second.start, second.rows, second.verdicts) == (date(2013, 3, 4), 900, {"flagged": 1})
    assert first.flagged == [("temp", 2)]


def test_days_are_told_apart_where_they_fit_on_a_screen() -> None:
    documents = [window(FRIDAY), window(FRIDAY + timedelta(days=1), verdict="insufficient_evidence")]
    periods = digest.periods(documents, weekly=False)
    assert [dict(period.verdicts) for period in periods] == [{"ok": 1}, {"insufficient_evidence": 1}]


def test_a_feature_flagged_twice_in_one_window_counts_once() -> None:
    again = finding("temp", 0.3, flagged=True, reference="previous")
    (period,) = digest.periods([window(FRIDAY, finding("temp", 1.0, flagged=True), again)], weekly=True)
    assert period.flagged == [("temp", 1)]


def test_a_drift_tells_when_it_began_and_explains_its_strongest_day() -> None:
    values = [(date(2013, 3, 1), 0.2, False), (date(2013, 3, 2), 0.6, True), (date(2013, 7, 9), 3.0, True)]
    documents = [window(day, finding("temp", value, flagged=flagged)) for day, value, flagged in values]
    (drift,) = digest.drifts(documents)
    assert (drift.first, drift.windows, drift.strongest) == (date(2013, 3, 2), 2, date(2013, 7, 9))
    assert drift.explanation == "temp moved by 3.0"
    assert drift.by_month == [pytest.approx(0.4), 3.0]


def test_windows_are_counted_by_what_they_were_compared_with() -> None:
    before = finding("temp", 9.0, flagged=True, reference="previous")
    documents = [
        window(FRIDAY, finding("temp", 1.0, flagged=True), finding("temp", 2.0, flagged=True, measure="other"), before),
        window(FRIDAY + timedelta(days=1), before, finding("dest", 0.01, flagged=False)),
    ]
    (drift,) = digest.drifts(documents)
    assert (drift.windows, drift.against) == (2, {"training": 1, "previous": 2})


@pytest.mark.parametrize(
    ("hits", "strongest"),
    [
        pytest.param(
            [finding("temp", 9.0, flagged=True, reference="previous"), finding("temp", 1.0, flagged=True)],
            1,
            id="what moved from training tells more than what moved since yesterday",
        ),
        pytest.param(
            [finding("temp", 9.0, flagged=True, threshold=8.0), finding("temp", 0.5, flagged=True, threshold=0.1)],
            1,
            id="values of different measures are weighed by their thresholds",
        ),
        pytest.param(
            [finding("temp", -3.0, flagged=True), finding("temp", 2.0, flagged=True)],
            0,
            id="a fall counts like a rise",
        ),
        pytest.param(
            [finding("temp", 0.1, flagged=True), finding("temp", None, flagged=True)],
            0,
            id="a flag without a number is the weakest",
        ),
    ],
)
def test_the_strongest_hit_explains(hits: list[dict[str, Any]], strongest: int) -> None:
    days = [FRIDAY + timedelta(days=n) for n in range(len(hits))]
    (drift,) = digest.drifts([window(day, hit) for day, hit in zip(days, hits, strict=True)])
    assert drift.strongest == days[strongest]
    assert drift.explanation == hits[strongest]["explanation"]


def test_predictions_stand_first_then_what_left_training_most() -> None:
    before = finding("dewp", 9.0, flagged=True, reference="previous")
    documents = [
        window(FRIDAY, finding("dest", 5.0, flagged=True), finding("temp", 1.0, flagged=True), before),
        window(
            FRIDAY + timedelta(days=1),
            finding("temp", 1.0, flagged=True),
            finding("score", 0.2, flagged=True, kind="prediction_drift"),
            before,
        ),
    ]
    assert [drift.feature for drift in digest.drifts(documents)] == ["score", "temp", "dest", "dewp"]


def test_what_is_about_no_single_feature_has_the_name_of_its_kind() -> None:
    (drift,) = digest.drifts([window(FRIDAY, finding(None, None, flagged=True, kind="schema_anomaly"))])
    assert drift.feature == "schema anomaly"


def test_a_month_without_a_measurement_is_a_gap() -> None:
    documents = [window(FRIDAY, finding("temp", 1.0, flagged=True)), window(date(2013, 4, 1))]
    (drift,) = digest.drifts(documents)
    assert drift.by_month == [1.0, None]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        pytest.param([], "", id="nothing draws nothing"),
        pytest.param([0.0, 0.0], "▁▁", id="all zero stays low"),
        pytest.param([1.0, None, 2.0], "▅·█", id="a gap is a dot, the greatest is full"),
        pytest.param([None], "·", id="only gaps"),
    ],
)
def test_sparklines(values: list[float | None], drawn: str) -> None:
    assert digest.sparkline(values) == drawn
