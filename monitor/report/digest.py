"""What a reader is told first: verdicts in words, counts, and the order of importance; changes with the reports' wording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from monitor.compare.findings import Finding, Outcome, Verdict, WindowFindings

VERDICTS = {
    Verdict.OK: "OK",
    Verdict.FLAGGED: "FLAGGED",
    Verdict.INSUFFICIENT: "INSUFFICIENT EVIDENCE",
}
MEASURES = {
    "cohens_w": "Cohen's w",
    "cohens_d": "Cohen's d",
    "missing_rate": "missing rate",
    "infinity_norm": "L-infinity",
    "jensen_shannon_divergence": "Jensen-Shannon",
}


@dataclass(frozen=True, slots=True)
class Digest:
    """One comparison in brief.

    Attributes:
        verdict: in words.
        headline: one sentence.
        flagged: the flagged findings, in the order in which the comparison gave them.
        lacking: distinct reasons for which comparisons lacked evidence.
        judged: number of comparisons that counted for the verdict.
        informative: number of those that only inform.
        closest: the unflagged judged finding above zero that came nearest to its threshold.
    """

    verdict: str
    headline: str
    flagged: Sequence[Finding]
    lacking: Sequence[str]
    judged: int
    informative: int
    closest: Finding | None


def digest(found: WindowFindings) -> Digest:
    """Sum one comparison up."""
    flagged = [finding for finding in found.findings if finding.flagged]
    judged = sum(finding.outcome is Outcome.JUDGED for finding in found.findings)
    lacking = [finding for finding in found.findings if finding.outcome is Outcome.INSUFFICIENT]
    reasons = dict.fromkeys(finding.reason or finding.explanation for finding in lacking)
    return Digest(
        verdict=VERDICTS[found.verdict],
        headline=_headline(found, flagged, judged, len(lacking)),
        flagged=flagged,
        lacking=list(reasons),
        judged=judged,
        informative=sum(finding.outcome is Outcome.INFORMATIVE for finding in found.findings),
        closest=_closest(found.findings),
    )


def flagged_features(findings: Iterable[Finding]) -> list[str]:
    """Return the features with a flagged finding, most important first."""
    return list(dict.fromkeys(finding.feature for finding in findings if finding.flagged and finding.feature))


def slice_text(values: Mapping[str, str]) -> str:
    """Return a slice as people read it; empty for all rows."""
    return ", ".join(f"{column} = {value}" for column, value in sorted(values.items()))


def measure_name(measure: str) -> str:
    """Return what people call a measure; TFDV's anomaly types in small letters."""
    return MEASURES.get(measure, measure.replace("_", " ").lower())


def number(value: float | None) -> str:
    """Return a measured value with as many digits as a reader needs."""
    return "" if value is None else f"{value:.3g}"


def _headline(found: WindowFindings, flagged: Sequence[Finding], judged: int, lacking: int) -> str:
    if found.verdict is Verdict.OK:
        return f"none of {judged} comparisons shows a change that matters"
    if found.verdict is Verdict.INSUFFICIENT:
        return (
            f"{lacking} of {judged + lacking} comparisons lack evidence" if found.rows else "there are no rows to judge"
        )
    features = flagged_features(flagged)
    if not features:
        return f"{len(flagged)} of {judged} comparisons flagged"
    named = ", ".join(features[:5]) + (f" and {len(features) - 5} more" if len(features) > 5 else "")
    return f"{len(features)} feature{'s' if len(features) > 1 else ''} changed: {named}"


def _closest(findings: Sequence[Finding]) -> Finding | None:
    near = [
        (finding.value / finding.threshold, finding)
        for finding in findings
        if not finding.flagged and finding.outcome is Outcome.JUDGED and finding.value and finding.threshold
    ]
    return max(near, key=lambda pair: pair[0])[1] if near else None


@dataclass
class Tally:
    """Counts over the windows of a backtest, added to as they come."""

    windows: int = 0
    rows: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None

    def add(self, found: WindowFindings) -> None:
        """Count one more window; windows come in the order of time."""
        self.windows += 1
        self.rows += found.rows
        self.verdicts[found.verdict] += 1
        self.features.update(flagged_features(found.findings))
        if found.window is not None:
            self.first = self.first or found.window.start
            self.last = found.window.end
