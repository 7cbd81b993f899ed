"""What detectors said about windows, added up; changes with what is promised of detection."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.detection.cases import NATURAL, NULL, RUN, Case
from bench.detection.changes import CORRELATION, MARGINAL

FALSE_ALARMS = 0.01
FALSE_ALARMS_BOUND = 0.02
DETECTION = 0.97
CORRELATION_DETECTION = 0.8
NATURAL_ALARMS = 0.05
PRECISION = 0.9
_WILSON_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Flag:
    """One comparison: of which columns (two where it is of their dependence) and how; value and threshold where given."""

    columns: tuple[str, ...]
    measure: str
    value: float | None = None
    threshold: float | None = None

    def about(self, names: Sequence[str]) -> bool:
        """Return whether one of its columns is among `names`."""
        return not set(self.columns).isdisjoint(names)

    @property
    def strength(self) -> float:
        """Value over threshold; how near it came to be flagged."""
        if self.value is None or self.threshold is None:
            return -1.0
        return self.value / self.threshold if self.threshold > 0.0 else math.inf

    @property
    def what(self) -> str:
        """The columns as one name."""
        return " x ".join(self.columns)

    def __str__(self) -> str:
        """Return columns, measure, value and threshold."""
        value, threshold = (("-" if number is None else f"{number:.4g}") for number in (self.value, self.threshold))
        return f"{self.what} {self.measure} {value} / {threshold}"


@dataclass(frozen=True, slots=True)
class Judged:
    """What a detector said about a window, without its rows.

    Attributes:
        flags: what it flagged.
        best: of the changed columns' comparisons the one that came nearest to its threshold, where the detector tells.
    """

    data: str
    group: str
    kind: str
    number: int
    rows: int
    changed: tuple[str, ...]
    flags: tuple[Flag, ...]
    best: Flag | None = None

    @classmethod
    def of(cls, case: Case, flags: Iterable[Flag], best: Flag | None = None) -> Judged:
        """Join a window and what was said about it."""
        rows = case.table.num_rows
        return cls(case.data, case.group, case.kind, case.number, rows, case.changed, tuple(flags), best)

    @property
    def hit(self) -> bool:
        """A changed column was flagged, alone or with another."""
        return any(flag.about(self.changed) for flag in self.flags)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of windows or features."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share; not a number where there was nothing."""
        return self.count / self.of if self.of else math.nan

    @property
    def upper(self) -> float:
        """Upper end of Wilson's 95% interval (1927, Journal of the American Statistical Association 22)."""
        if not self.of:
            return math.nan
        share, z2 = self.value, _WILSON_Z**2
        root = math.sqrt(share * (1.0 - share) / self.of + z2 / (4.0 * self.of**2))
        return (share + z2 / (2.0 * self.of) + _WILSON_Z * root) / (1.0 + z2 / self.of)


def rate(judged: Sequence[Judged], kind: str) -> Rate:
    """Return how many windows of a kind were flagged: for a change in a changed column, else at all."""
    chosen = [each for each in judged if each.kind == kind]
    return Rate(sum(each.hit if each.changed else bool(each.flags) for each in chosen), len(chosen))


def marginal_detection(judged: Sequence[Judged]) -> float:
    """Return the mean detection over the kinds that change a marginal; each kind counts the same."""
    rates = [rate(judged, kind) for kind in MARGINAL]
    there = [each.value for each in rates if each.of]
    return sum(there) / len(there) if there else math.nan


def precision(judged: Sequence[Judged]) -> Rate:
    """Return the share of flagged features that were really changed, over windows with one change of a marginal."""
    chosen = [each for each in judged if each.changed and each.kind != CORRELATION]
    named = [{flag.columns: flag.about(each.changed) for flag in each.flags} for each in chosen]
    return Rate(sum(sum(right.values()) for right in named), sum(map(len, named)))


@dataclass(frozen=True, slots=True)
class Promise:
    """One target, for one size of window: what was measured and what it should be."""

    group: str
    what: str
    value: float
    limit: float
    at_most: bool

    @property
    def met(self) -> bool:
        """The promise is kept."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def promises(judged: Sequence[Judged], *, joint: bool) -> list[Promise]:
    """Compare what was measured with what is promised; of what was not measured, or not asked for (`joint`), nothing is said."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        groups[each.group].append(each)
    found = [promise for group, here in groups.items() for promise in _promises(group, here, joint=joint)]
    return [promise for promise in found if not math.isnan(promise.value)]


def _promises(group: str, judged: list[Judged], *, joint: bool) -> Iterable[Promise]:
    alarms = rate(judged, NULL)
    yield Promise(group, "false alarms per null window", alarms.value, FALSE_ALARMS, at_most=True)
    yield Promise(group, "their Wilson upper bound", alarms.upper, FALSE_ALARMS_BOUND, at_most=True)
    for kind in (NATURAL, RUN):
        yield Promise(group, f"alarms per {kind} window", rate(judged, kind).value, NATURAL_ALARMS, at_most=True)
    if not group.startswith("300 ") and alarms.of:
        yield Promise(group, "detection of a changed marginal", marginal_detection(judged), DETECTION, at_most=False)
    if joint and group.startswith("1,000 "):
        found = rate(judged, CORRELATION).value
        yield Promise(group, "detection of correlation only", found, CORRELATION_DETECTION, at_most=False)
    yield Promise(group, "precision of flagged features", precision(judged).value, PRECISION, at_most=False)
