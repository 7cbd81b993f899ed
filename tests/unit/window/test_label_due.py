"""When a window is looked at again, and when what was found is worth an evaluation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.records import Window, WindowKey
from monitor.window.label_due import Candidate, Evaluated, Look, Stage, stage_due, worth_it
from monitor.window.label_reach import Reach, overlap

HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REACH = Reach(64 * HOUR)
WINDOW = Window(NOON - HOUR, NOON)
FRESH = Candidate(WindowKey("model", "1", WINDOW), traffic_revision=1, arrived=100)
LOOKED = replace(FRESH, look=Look(1, 100, 1, NOON, NOON))
MORE = replace(LOOKED, arrived=150)
EARLY = Evaluated(Stage.PROVISIONAL, 1, 1, labelled=100, rows=1000, digest="a")
FINAL = replace(EARLY, stage=Stage.FINAL)


def after(hours: float) -> datetime:
    return NOON + hours * HOUR


@pytest.mark.parametrize(
    ("candidate", "mark", "now", "stage"),
    [
        pytest.param(FRESH, NOON, NOON, Stage.PROVISIONAL, id="labels have come and nobody has looked"),
        pytest.param(FRESH, None, NOON, Stage.PROVISIONAL, id="the labels have no watermark yet"),
        pytest.param(replace(FRESH, arrived=0), NOON, NOON, None, id="no label has come"),
        pytest.param(replace(FRESH, arrived=0), after(63), NOON, None, id="no label has come, shortly before the horizon"),
        pytest.param(replace(FRESH, arrived=0), after(64), NOON, Stage.FINAL, id="no label has come up to the horizon"),
        pytest.param(LOOKED, after(9), NOON, None, id="nothing has come since the last look"),
        pytest.param(MORE, after(0.9), NOON, None, id="more has come, but soon after the first look"),
        pytest.param(MORE, after(1), NOON, Stage.PROVISIONAL, id="more has come after a while"),
        pytest.param(
            replace(MORE, look=Look(2, 100, 1, after(8), NOON)), after(15), NOON, None, id="not yet twice as old"
        ),
        pytest.param(
            replace(MORE, look=Look(2, 100, 1, after(8), NOON)), after(16), NOON, Stage.PROVISIONAL, id="twice as old"
        ),
        pytest.param(
            replace(LOOKED, traffic_revision=2), after(0.1), NOON, Stage.PROVISIONAL, id="late rows made a revision"
        ),
        pytest.param(replace(MORE, newest=EARLY), after(64), NOON, Stage.FINAL, id="the horizon after an early one"),
        pytest.param(LOOKED, after(64), NOON, Stage.FINAL, id="the horizon, even if nothing has come since the last look"),
        pytest.param(replace(LOOKED, newest=FINAL), after(65), after(65), None, id="final, and nothing new"),
        pytest.param(replace(MORE, newest=FINAL), after(65), after(65), Stage.RESTATED, id="a late label"),
        pytest.param(
            replace(LOOKED, newest=FINAL, traffic_revision=2), after(65), after(65), Stage.RESTATED, id="a late row"
        ),
        pytest.param(replace(MORE, newest=FINAL), after(65), NOON + MINUTE / 60, None, id="a second after the last look"),
        pytest.param(replace(MORE, newest=FINAL), after(88), after(88), Stage.RESTATED, id="at the end of restating"),
        pytest.param(replace(MORE, newest=FINAL), after(88.1), after(89), None, id="after it"),
    ],
)  # fmt: skip
def test_when_a_look_is_due(candidate: Candidate, mark: datetime | None, now: datetime, stage: Stage | None) -> None:
    assert stage_due(candidate, REACH, mark, DAY, now) is stage


def test_looks_before_the_horizon_are_few_however_labels_trickle() -> None:
    looks, candidate = 0, FRESH
    for minute in range(64 * 60):
        mark = NOON + minute * MINUTE
        candidate = replace(candidate, arrived=candidate.arrived + 1)
        if stage_due(candidate, REACH, mark, DAY, mark) is not None:
            looks += 1
            candidate = replace(candidate, look=Look(looks, candidate.arrived, 1, mark, mark))
    assert looks == 1 + 6


def test_looks_at_a_final_window_lie_further_and_further_apart() -> None:
    looks, candidate, now = 0, replace(MORE, newest=FINAL), after(65)
    for second in range(3600):
        candidate = replace(candidate, arrived=candidate.arrived + 1)
        if stage_due(candidate, REACH, after(65), DAY, now + second * timedelta(seconds=1)) is not None:
            looks += 1
            at = now + second * timedelta(seconds=1)
            candidate = replace(candidate, look=Look(looks + 1, candidate.arrived, 1, after(65), at))
    assert 8 <= looks <= 14


@pytest.mark.parametrize(
    ("stage", "newest", "traffic_revision", "labelled", "digest", "worth"),
    [
        pytest.param(Stage.PROVISIONAL, None, 1, 0, "0", False, id="a first one without labels"),
        pytest.param(Stage.PROVISIONAL, None, 1, 1, "b", True, id="a first one with one label"),
        pytest.param(Stage.PROVISIONAL, EARLY, 1, 199, "b", False, id="not much more labels"),
        pytest.param(Stage.PROVISIONAL, EARLY, 1, 200, "b", True, id="twice as many, and ten points more"),
        pytest.param(Stage.PROVISIONAL, replace(EARLY, labelled=3), 1, 6, "b", True, id="twice as few"),
        pytest.param(Stage.PROVISIONAL, replace(EARLY, labelled=600), 1, 700, "b", True, id="ten points more"),
        pytest.param(Stage.PROVISIONAL, replace(EARLY, labelled=600), 1, 690, "b", False, id="nine points more"),
        pytest.param(Stage.PROVISIONAL, replace(EARLY, labelled=0), 1, 0, "a", False, id="none as before"),
        pytest.param(Stage.PROVISIONAL, EARLY, 2, 100, "a", True, id="other rows"),
        pytest.param(Stage.FINAL, EARLY, 1, 100, "a", True, id="a final one, whatever was found"),
        pytest.param(Stage.FINAL, None, 1, 0, "0", True, id="a final one without labels"),
        pytest.param(Stage.RESTATED, FINAL, 1, 100, "a", False, id="the same labels"),
        pytest.param(Stage.RESTATED, FINAL, 1, 100, "b", True, id="other labels"),
        pytest.param(Stage.RESTATED, FINAL, 2, 100, "a", True, id="the same labels of other rows"),
    ],
)
def test_what_is_worth_an_evaluation(
    stage: Stage, newest: Evaluated | None, traffic_revision: int, labelled: int, digest: str, worth: bool
) -> None:
    candidate = replace(FRESH, newest=newest, traffic_revision=traffic_revision)
    assert worth_it(stage, candidate, labelled, 1000, digest) is worth


def test_a_model_whose_labels_come_with_its_traffic_is_final_when_its_window_closes() -> None:
    at_once = Reach(timedelta(0))
    assert at_once.labels_of(WINDOW) == WINDOW
    assert stage_due(replace(FRESH, arrived=0), at_once, NOON, DAY, NOON) is Stage.FINAL


def test_the_reach_of_labels_and_predictions() -> None:
    day = Reach(DAY)
    assert day.labels_of(WINDOW) == Window(WINDOW.start - DAY, WINDOW.end + DAY)
    assert day.predictions_of(WINDOW) == Window(WINDOW.start - 2 * DAY, WINDOW.end + DAY)
    assert Reach(30 * DAY).early == DAY
    assert Reach(HOUR).early == HOUR
    assert not overlap(WINDOW, Window(NOON, NOON + HOUR))
    assert overlap(WINDOW, Window(NOON - MINUTE, NOON + HOUR))
