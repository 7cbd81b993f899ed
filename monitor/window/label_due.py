"""When a window is evaluated: early, at the horizon, and again when something changed; changes with when that is worth it.

A look is the join of a window with its labels. When one is due is told by counts alone; whether its result is worth an
evaluation, by what it found. Looks before the horizon are taken at ages that double, since most labels come soon: with a horizon
of 64 hours when a window closes, then one hour after its end at the earliest, then 2, 4, 8, 16 and 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.records import WindowKey
from monitor.window.label_reach import Reach

COVERAGE_STEP = 0.1
"""So much more of the predictions must have a label, or twice as many, before an early evaluation is made anew."""
_FIRST_AGE = 64
"""After the first look the next one is due at the age of a horizon / 64."""
_MAX_DELAY = timedelta(minutes=10)


class Stage(StrEnum):
    """How much an evaluation knows."""

    PROVISIONAL = "provisional"
    """Labels are still to come."""
    FINAL = "final"
    """Labels are complete up to the horizon; a window has one such evaluation."""
    RESTATED = "restated"
    """Something came after the final one: late rows, or labels that were late themselves."""


@dataclass(frozen=True, slots=True)
class Look:
    """The last time that a window was joined with its labels.

    Attributes:
        number: of the look, from 1.
        arrived: spans of labels that had been committed, of those that may be of the window.
        traffic_revision: the window's revision.
        mark: the labels' watermark, None before the first.
        at: wall clock.
    """

    number: int
    arrived: int
    traffic_revision: int
    mark: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The newest evaluation of a window, in so far as it says whether another is worth it; `digest` is of its labels."""

    stage: Stage
    revision: int
    traffic_revision: int
    labelled: int
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A judged window that is not done with.

    Attributes:
        traffic_revision: its newest.
        arrived: spans of labels that are committed by now, of those that may be of the window.
    """

    key: WindowKey
    traffic_revision: int
    arrived: int
    look: Look | None = None
    newest: Evaluated | None = None


def stage_due(
    candidate: Candidate, reach: Reach, mark: datetime | None, restate_for: timedelta, now: datetime
) -> Stage | None:
    """Return what evaluation a window may be ripe for, so that a look is due; None where nothing is to be done.

    Args:
        candidate: the window.
        reach: of its model's labels.
        mark: the watermark of the labels, None before the first.
        restate_for: how long after the horizon, by that watermark, something new restates the evaluation.
        now: wall clock; looks at a window that is final lie apart by a delay that doubles up to ten minutes.
    """
    look, newest, window = candidate.look, candidate.newest, candidate.key.window
    news = look is None or candidate.arrived != look.arrived or candidate.traffic_revision != look.traffic_revision
    if newest is not None and newest.stage is not Stage.PROVISIONAL:
        over = mark is not None and mark - reach.horizon - window.end > restate_for
        rested = look is None or look.at + min(timedelta(seconds=2 ** min(look.number, 20)), _MAX_DELAY) <= now
        return Stage.RESTATED if news and rested and not over else None
    if reach.complete(window, mark):
        return Stage.FINAL
    if not candidate.arrived or not news:
        return None
    if look is None or candidate.traffic_revision != look.traffic_revision:
        return Stage.PROVISIONAL
    age, before = _age(candidate, mark), _age(candidate, look.mark)
    return Stage.PROVISIONAL if age >= max(2 * before, reach.horizon / _FIRST_AGE) else None


def worth_it(stage: Stage, candidate: Candidate, labelled: int, rows: int, digest: str) -> bool:
    """Say whether what a look found is worth an evaluation.

    Args:
        stage: what the window is ripe for.
        candidate: the window, as it was before the look.
        labelled: predictions with a label.
        rows: predictions.
        digest: of the labels.
    """
    newest = candidate.newest
    if stage is Stage.FINAL:
        return True
    if newest is None:
        return labelled > 0
    if candidate.traffic_revision != newest.traffic_revision:
        return True
    if stage is Stage.RESTATED:
        return digest != newest.digest
    step = COVERAGE_STEP * max(rows, newest.rows)
    return labelled >= min(2 * newest.labelled, newest.labelled + step) and labelled > newest.labelled


def _age(candidate: Candidate, mark: datetime | None) -> timedelta:
    return max((mark or candidate.key.window.end) - candidate.key.window.end, timedelta(0))
