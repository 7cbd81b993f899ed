"""What months of findings add up to for one screen. Pure; changes with what the demo says about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from statistics import median
from typing import Any, NamedTuple

Document = Mapping[str, Any]
"""The findings of one window, as JSON."""

TRAINING = "training"
PREVIOUS = "previous"
ACCUMULATED = "accumulated"


@dataclass(frozen=True, slots=True)
class Period:
    """The windows that start on one day or in one week.

    Attributes:
        start: first day (Monday where it is a week, or the first day of the input if later).
        verdicts: number of windows by verdict.
        flagged: (feature, number of windows in which it was flagged), most often first.
    """

    start: date
    rows: int
    verdicts: Mapping[str, int]
    flagged: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature that was flagged.

    Attributes:
        first: day of the first window in which it was flagged.
        windows: number of windows in which it was flagged.
        against: number of windows in which it was flagged, by reference.
        by_month: median over the month's windows, flagged or not, of what was measured against training on the strongest
            day; None where it was not measured.
        strongest: day on which a flagged value exceeded its threshold most, against training where that was ever flagged.
        explanation: what moved on that day.
    """

    feature: str
    first: date
    windows: int
    against: Mapping[str, int]
    by_month: Sequence[float | None]
    strongest: date
    explanation: str


def day_of(document: Document) -> date:
    """Return the UTC day on which the document's window starts."""
    return datetime.fromisoformat(document["window_start"]).date()


def periods(documents: Sequence[Document], *, weekly: bool) -> list[Period]:
    """Add windows up by day, or by week from Monday; `documents` are in window order."""

    def start(document: Document) -> date:
        day = day_of(document)
        return day - timedelta(days=day.weekday()) if weekly else day

    return [_period(list(group)) for _, group in groupby(documents, key=start)]


def drifts(documents: Sequence[Document]) -> list[Drift]:
    """Return the features that were flagged: predictions first, then those flagged against training most, then the rest."""
    flagged: dict[str, list[_Hit]] = {}
    predictions = set()
    for document in documents:
        for finding in document["findings"]:
            if finding["flagged"]:
                flagged.setdefault(name_of(finding), []).append(_Hit(day_of(document), finding))
                if finding["kind"] == "prediction_drift":
                    predictions.add(name_of(finding))
    found = [_drift(documents, feature, hits) for feature, hits in flagged.items()]
    return sorted(
        found,
        key=lambda drift: (
            drift.feature not in predictions,
            -drift.against.get(TRAINING, 0),
            -drift.windows,
            drift.feature,
        ),
    )


def months(documents: Iterable[Document]) -> list[tuple[int, int]]:
    """Return the (year, month) pairs in which windows start, in order."""
    return sorted({_month(document) for document in documents})


def sparkline(values: Sequence[float | None]) -> str:
    """Draw values as blocks from zero to the greatest; a dot where there is none."""
    top = max((value for value in values if value is not None), default=0.0)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join("·" if value is None else blocks[min(7, int(8 * value / top)) if top > 0 else 0] for value in values)


def name_of(finding: Mapping[str, Any]) -> str:
    """Return what a finding is about: its feature, or its kind where it is about no single feature."""
    return str(finding["feature"] or finding["kind"].replace("_", " "))


def _period(group: Sequence[Document]) -> Period:
    flagged: Counter[str] = Counter()
    for document in group:
        flagged.update({name_of(finding) for finding in document["findings"] if finding["flagged"]})
    return Period(
        start=day_of(group[0]),
        rows=sum(document["rows"] for document in group),
        verdicts=Counter(document["verdict"] for document in group),
        flagged=sorted(flagged.items(), key=lambda item: (-item[1], item[0])),
    )


class _Hit(NamedTuple):
    day: date
    finding: Mapping[str, Any]

    def strength(self) -> tuple[bool, float]:
        """Return what makes one hit tell more than another: its reference, then how far it passed its threshold."""
        value, threshold = (abs(self.finding[name] or 0.0) for name in ("value", "threshold"))
        return self.finding["reference"] == TRAINING, value / threshold if threshold else value


def _drift(documents: Sequence[Document], feature: str, hits: Sequence[_Hit]) -> Drift:
    strongest = max(hits, key=_Hit.strength)
    against = Counter(reference for _, reference in {(hit.day, hit.finding["reference"]) for hit in hits})
    return Drift(
        feature=feature,
        first=hits[0].day,
        windows=len({hit.day for hit in hits}),
        against=against,
        by_month=_by_month(documents, (feature, TRAINING, strongest.finding["measure"])),
        strongest=strongest.day,
        explanation=strongest.finding["explanation"],
    )


def _by_month(documents: Sequence[Document], measured: tuple[str, str, str]) -> list[float | None]:
    values: dict[tuple[int, int], list[float]] = {}
    for document in documents:
        month = values.setdefault(_month(document), [])
        month += [
            float(finding["value"])
            for finding in document["findings"]
            if finding["value"] is not None and (name_of(finding), finding["reference"], finding["measure"]) == measured
        ]
    return [median(values[month]) if values[month] else None for month in sorted(values)]


def _month(document: Document) -> tuple[int, int]:
    day = day_of(document)
    return day.year, day.month
