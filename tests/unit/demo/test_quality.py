from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from monitor.demo import quality
from monitor.report.quality_table import WindowQuality
from tests.unit.demo.measured import FINE, LOST, day


def test_weeks_begin_on_monday_or_where_the_input_does() -> None:
    found = quality.weeks([day("2013-06-22"), day("2013-06-23"), day("2013-06-24"), day("2013-07-01")])
    assert [week.start for week in found] == [date(2013, 6, 22), date(2013, 6, 24), date(2013, 7, 1)]
    assert [week.labelled for week in found] == [200, 100, 100]


def test_a_week_is_the_mean_of_its_days_by_their_labels() -> None:
    (week,) = quality.weeks(
        [
            day("2013-07-01", labelled=300, metrics={"auc": 0.9}, estimates={"auc": (0.8, True)}),
            day("2013-07-02", labelled=100, metrics={"auc": 0.5}, estimates={"auc": (0.4, False)}),
            day("2013-07-03", labelled=100, metrics={"auc": 0.5}, estimates={"auc": (None, False)}),
        ]
    )
    assert week.metrics[quality.AUC][:2] == pytest.approx((0.74, 0.7))
    assert week.metrics[quality.AUC].doubtful == 1
    assert week.metrics[quality.ACCURACY].measured == pytest.approx(0.8)
    assert week.metrics[quality.ACCURACY][1:] == (None, 0)


def test_windows_that_no_metric_could_be_computed_of_are_in_no_week() -> None:
    nothing = WindowQuality("2013-07-01T00:00:00Z", "1", {**(day("2013-07-01").evaluation or {}), "slices": []}, None)
    assert quality.weeks([nothing, WindowQuality("2013-07-02T00:00:00Z", "1", None, None)]) == []


def test_a_week_counts_days_on_which_quality_was_lost_and_names_the_least_usual_metric() -> None:
    worse = {**LOST, "measure": "calibration", "p_value": 1e-9}
    (week,) = quality.weeks(
        [
            day("2013-07-01", LOST, FINE),
            day("2013-07-02", FINE),
            day("2013-07-03", FINE, slices={"EWR": worse}),
        ]
    )
    assert (week.lost, week.worst) == (2, "calibration")
    (fine,) = quality.weeks([day("2013-07-02", FINE)])
    assert (fine.lost, fine.worst) == (0, None)


@pytest.mark.parametrize(
    ("estimates", "estimated", "foreseen"),
    [
        pytest.param(
            {"binary_crossentropy": (0.5, True)}, 0.5, False, id="an estimate on the good side of the threshold"
        ),
        pytest.param({"binary_crossentropy": (0.8, True)}, 0.8, True, id="an estimate beyond the threshold too"),
        pytest.param({"binary_crossentropy": (None, False)}, None, False, id="an estimate without a value"),
        pytest.param({}, None, False, id="no estimate"),
    ],
)
def test_the_first_loss_is_held_against_what_was_estimated(
    estimates: Mapping[str, tuple[float | None, bool]], estimated: float | None, foreseen: bool
) -> None:
    found = quality.loss(
        [day("2013-07-01", FINE), day("2013-07-02", FINE, LOST, estimates=estimates), day("2013-07-03", LOST)]
    )
    assert found == quality.Loss(
        days=2,
        of=3,
        first=date(2013, 7, 2),
        explanation="binary_crossentropy is 0.9 on 100 labelled examples; usual is 0.5, and up to 0.7",
        estimated=estimated,
        foreseen=foreseen,
    )


def test_a_loss_of_something_that_should_be_high_is_foreseen_below_its_threshold() -> None:
    low: Mapping[str, Any] = {**LOST, "measure": "auc", "value": 0.5, "threshold": 0.6}
    found = quality.loss([day("2013-07-01", low, estimates={"auc": (0.55, True)})])
    assert found is not None
    assert found.foreseen


def test_a_missed_threshold_is_a_loss_without_a_p_value() -> None:
    missed = {**LOST, "measure": "auc", "threshold": None, "p_value": None, "explanation": "auc is 0.6; wanted is 0.7"}
    found = quality.loss([day("2013-07-01", missed, estimates={"auc": (0.55, True)})])
    assert found is not None
    assert (found.explanation, found.estimated, found.foreseen) == ("auc is 0.6; wanted is 0.7", 0.55, False)


def test_where_nothing_is_lost_there_is_no_loss() -> None:
    assert quality.loss([day("2013-07-01", FINE)]) is None


def test_labels_arrive_as_on_the_middle_day_and_on_the_slowest() -> None:
    days = [day("2013-07-01", delays={"p50": hours * 3600.0, "p99": hours * 7200.0}) for hours in (1, 2, 9)]
    assert quality.arrival(days) == quality.Arrival(100 / 110, 2.0, 18.0)
    assert quality.labelled(days) == 300


def test_without_delays_nothing_is_said_of_arrivals() -> None:
    assert quality.arrival([WindowQuality("2013-07-01T00:00:00Z", "1", None, None)]) is None
