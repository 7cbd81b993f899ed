"""What labels, and estimates before them, add up to for one screen. Pure; changes with what the demo says about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

from monitor.report.quality_table import WindowQuality

AUC = "auc"
ACCURACY = "binary_accuracy"
LATE = "mean_label"
PREDICTED = "mean_prediction"
_METRICS = (AUC, ACCURACY, LATE, PREDICTED)


class Compared(NamedTuple):
    """A metric over some days, each by its labels: measured, and estimated before the labels came; None where there is none.

    `doubtful` is the number of days on which the estimate was not to be relied on.
    """

    measured: float | None
    estimated: float | None
    doubtful: int


@dataclass(frozen=True, slots=True)
class Week:
    """The evaluated windows that start in one week.

    Attributes:
        start: Monday, or the first day of the input if later.
        metrics: by TFMA's name: AUC, ACCURACY, LATE and PREDICTED.
        lost: days on which quality was lost, in all flights or in a slice.
        worst: the metric that was least like what is usual on any of them; None where nothing was lost.
    """

    start: date
    labelled: int
    metrics: Mapping[str, Compared]
    lost: int
    worst: str | None


@dataclass(frozen=True, slots=True)
class Loss:
    """Days on which quality was lost, and the first of them.

    Attributes:
        days: their number, of `of` evaluated days.
        first: the first one.
        explanation: what labels said of it.
        estimated: what had been estimated of the same metric; None where nothing was.
        foreseen: whether the estimate passed the same threshold.
    """

    days: int
    of: int
    first: date
    explanation: str
    estimated: float | None
    foreseen: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """How labels came.

    Attributes:
        coverage: share of the predictions that got one.
        half, nearly_all: hours within which 50 % of a day's labels came on the middle day, and 99 % on the slowest.
    """

    coverage: float
    half: float
    nearly_all: float


def weeks(windows: Sequence[WindowQuality]) -> list[Week]:
    """Add evaluated windows of one day up by week, from Monday; they are in order."""
    evaluated = [each for each in windows if each.measured()]
    return [_week(list(group)) for _, group in groupby(evaluated, key=lambda each: _monday(_day(each)))]


def loss(windows: Sequence[WindowQuality]) -> Loss | None:
    """Return what was lost, None where nothing was."""
    evaluated = [each for each in windows if each.evaluation is not None]
    lost = [each for each in evaluated if each.lost()]
    if not lost:
        return None
    first = lost[0]
    finding = min(_flagged(first), key=_rank)
    estimated = first.estimated(finding["measure"]) or {}
    guess, threshold = estimated.get("value"), finding["threshold"]
    foreseen = None not in (guess, threshold) and (guess > threshold) == (finding["value"] > threshold)
    explanation = str(finding["explanation"]).removesuffix(": quality is lost")
    return Loss(_days(lost), _days(evaluated), _day(first), explanation, guess, foreseen)


def arrival(windows: Iterable[WindowQuality]) -> Arrival | None:
    """Return how the labels of evaluated windows came, None where none did."""
    labels = [each.evaluation["labels"] for each in windows if each.evaluation is not None]
    delays = [each["delay_seconds"] for each in labels if each["delay_seconds"] is not None]
    predictions = sum(each["predictions"] for each in labels)
    if not delays or not predictions:
        return None
    return Arrival(
        coverage=sum(each["labelled"] for each in labels) / predictions,
        half=median(each["p50"] for each in delays) / 3600,
        nearly_all=max(each["p99"] for each in delays) / 3600,
    )


def labelled(windows: Iterable[WindowQuality]) -> int:
    """Return how many predictions of evaluated windows were joined with a label."""
    return sum(each.evaluation["labels"]["labelled"] for each in windows if each.evaluation is not None)


def _week(days: Sequence[WindowQuality]) -> Week:
    flagged = [finding for day in days for finding in _flagged(day)]
    return Week(
        start=_day(days[0]),
        labelled=labelled(days),
        metrics={metric: _compared(days, metric) for metric in _METRICS},
        lost=_days(day for day in days if day.lost()),
        worst=str(min(flagged, key=_rank)["measure"]) if flagged else None,
    )


def _compared(days: Sequence[WindowQuality], metric: str) -> Compared:
    guesses = [(day, guess) for day in days if (guess := day.estimated(metric)) and guess["value"] is not None]
    return Compared(
        measured=_mean((day.measured().get(metric), labelled([day])) for day in days),
        estimated=_mean((guess["value"], labelled([day])) for day, guess in guesses),
        doubtful=sum(not guess["estimable"] for _, guess in guesses),
    )


def _mean(weighted: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in weighted if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _flagged(window: WindowQuality) -> Iterator[Mapping[str, Any]]:
    slices = [] if window.evaluation is None else window.evaluation["slices"]
    # What is lost in all flights tells more than what is lost in a slice, whose chance is greater.
    for found in sorted(slices, key=lambda each: bool(each["slice"])):
        yield from (finding for finding in found["findings"] if finding["flagged"])


def _rank(finding: Mapping[str, Any]) -> float:
    return 1.0 if finding["p_value"] is None else float(finding["p_value"])


def _days(windows: Iterable[WindowQuality]) -> int:
    """Return the number of days; while two versions serve, a day has two windows."""
    return len({_day(window) for window in windows})


def _day(window: WindowQuality) -> date:
    return datetime.fromisoformat(window.start).date()


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
