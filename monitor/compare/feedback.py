"""What people said of earlier findings, heeded in later ones; changes with what a person can say.

A *false alarm* raises the limit of that comparison by the value that was flagged. A window taken for *normal* is one more way
for the feature to be: a later window that is no different from it is not flagged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.compare.comparisons import Pair, Side, comparisons
from monitor.compare.expected import expected_of
from monitor.compare.findings import Finding, Outcome
from monitor.profile.calendar import Calendar
from monitor.profile.features import FeatureCounts


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """The largest value of one comparison that somebody called a false alarm, and what to say of that."""

    value: float
    said: str


@dataclass(frozen=True, slots=True)
class Normal:
    """A feature in a window that somebody took for normal, on the same baseline's cells, and what to say of that."""

    counts: FeatureCounts
    blocks: float
    said: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """All that was said of a model's findings against one baseline.

    Attributes:
        false_alarms: by feature, reference and measure.
        normal: by feature.
    """

    false_alarms: Mapping[tuple[str, str, str], FalseAlarm] = field(default_factory=dict)
    normal: Mapping[str, Sequence[Normal]] = field(default_factory=dict)


NO_FEEDBACK = Feedback()


def called_false_alarm(finding: Finding, feedback: Feedback) -> Finding:
    """Return a finding that is not flagged where somebody called as large a value of it a false alarm."""
    if not finding.flagged or finding.value is None or finding.feature is None:
        return finding
    alarm = feedback.false_alarms.get((finding.feature, finding.reference, finding.measure))
    # A like window comes out higher as often as lower, so it takes a difference that would be one by itself.
    limit = 0.0 if alarm is None else alarm.value + (finding.threshold or 0.0)
    if alarm is None or finding.value > limit:
        return finding
    return replace(finding, flagged=False, threshold=limit, reason=alarm.said)


def heeded(finding: Finding, pair: Pair, level: float, feedback: Feedback, calendar: Calendar | None) -> Finding:
    """Return a finding of a pair at `level` as it is after what people said of earlier ones."""
    finding = called_false_alarm(finding, feedback)
    if not finding.flagged:
        return finding
    for normal in feedback.normal.get(pair.feature, ()):
        if not _differs(finding.measure, _beside(pair, normal, calendar), level):
            return replace(finding, flagged=False, reason=normal.said)
    return finding


def _beside(pair: Pair, normal: Normal, calendar: Calendar | None) -> Pair:
    blocks = (pair.current.blocks, normal.blocks)
    expected = expected_of(normal.counts, pair.known, calendar, (None, None), blocks, training=False)
    return replace(pair, other=Side(normal.counts, blocks=normal.blocks), expected=expected)


def _differs(measure: str, pair: Pair, level: float) -> bool:
    """Say whether the comparison of that name is flagged; True where the two cannot be compared by it, for want of rows too."""
    found = [finding for each in comparisons(pair) if (finding := each.at(level)).measure == measure]
    return not found or found[0].flagged or found[0].outcome is Outcome.INSUFFICIENT
