"""What the comparison of two versions found, and its JSON; changes with what people and scripts are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self

import numpy as np

from monitor.additive import Additive
from monitor.clock import from_micros, rfc3339
from monitor.compare.findings import finite
from monitor.evaluate.versions.agreement import Agreement
from monitor.evaluate.versions.answers import Answers
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.deciding import Interval, Verdict
from monitor.evaluate.versions.mcnemar import McNemar

SCHEMA_VERSION = 1


class Within(StrEnum):
    """What a tolerance makes of paired predictions."""

    TOLERANCE = "within_tolerance"
    BEYOND = "beyond_tolerance"


@dataclass(frozen=True, slots=True)
class Seen(Additive):
    """What there was to compare of one version: rows, those with a label, those without a prediction, and requests."""

    rows: int = 0
    labelled: int = 0
    unanswered: int = 0
    requests: int = 0

    @classmethod
    def of(cls, answers: Answers) -> Self:
        """Return what there is of a version's rows."""
        unanswered = len(answers) - int(np.count_nonzero(answers.answered()))
        return cls(len(answers), int(np.count_nonzero(answers.labelled())), unanswered, answers.requests)

    def to_json(self) -> dict[str, int]:
        """Return the JSON object."""
        return {
            "rows": self.rows,
            "labelled": self.labelled,
            "unanswered": self.unanswered,
            "requests": self.requests,
        }


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of both versions.

    Attributes:
        name: of the metric.
        decides: whether its verdict counts.
        higher_is_better: whether a larger value is the better one.
        stable: the stable version's value; NaN where it is undefined.
        candidate: the candidate's.
        estimate: candidate less stable; of a mean within hours, so that it need not be the difference of the two values.
        interval: of the estimate, good at all looks; None where there is none.
        fixed_interval: of the estimate, good at one look (of each of the looks that were foreseen, for a metric that is no mean).
        level: probability with which either excludes the truth.
        verdict: None for a metric that is no mean and does not decide.
        reason: one sentence.
        requests: of the stable version and of the candidate.
        decided_in: start of the hour in which the verdict was reached, in microseconds; None without one, or without times.
    """

    name: str
    decides: bool
    higher_is_better: bool
    stable: float
    candidate: float
    estimate: float | None
    interval: Interval | None
    fixed_interval: Interval | None
    level: float
    verdict: Verdict | None
    reason: str
    requests: tuple[int, int]
    decided_in: int | None = None

    def to_json(self, every: timedelta) -> dict[str, Any]:
        """Return the JSON object; `every` is the length of an hour."""
        return {
            "metric": self.name,
            "decides": self.decides,
            "higher_is_better": self.higher_is_better,
            "verdict": None if self.verdict is None else str(self.verdict),
            "reason": self.reason,
            "decided_at": None if self.decided_in is None else rfc3339(from_micros(self.decided_in) + every),
            "stable": finite(self.stable),
            "candidate": finite(self.candidate),
            "estimate": finite(self.estimate),
            "interval": _ends(self.interval),
            "fixed_interval": _ends(self.fixed_interval),
            "level": self.level,
            "requests": {"stable": self.requests[0], "candidate": self.requests[1]},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side.

    Attributes:
        asked: what was asked.
        seen: what there was of the stable version and of the candidate.
        metrics: those that decide first; none without labels.
        agreement: of paired predictions; None where the versions answered different requests.
        slices: the same by slice, for each of the columns that were asked for.
        mcnemar: of paired decisions with labels.
        warnings: what a person should know before trusting it, a sentence each.
    """

    asked: Asked
    seen: tuple[Seen, Seen]
    metrics: Sequence[Metric] = ()
    agreement: Agreement | None = None
    slices: Mapping[str, Agreement] = field(default_factory=dict)
    mcnemar: McNemar | None = None
    warnings: Sequence[str] = ()

    @property
    def verdict(self) -> Verdict | Within | None:
        """The worst of the verdicts that count; None where nothing was to be judged.

        Paired predictions that keep to a tolerance are good enough where labels do not say that the candidate is worse.
        """
        found = {metric.verdict for metric in self.metrics if metric.decides}
        if Verdict.WORSE in found:
            return Verdict.WORSE
        if self.agreement is not None and self.agreement.beyond is not None:
            return Within.BEYOND if self.agreement.beyond else Within.TOLERANCE
        return next((verdict for verdict in _WORST_FIRST if verdict in found), None)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of docs/versions.md."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": None if self.verdict is None else str(self.verdict),
            "paired": self.agreement is not None,
            "problem": str(self.asked.problem),
            "alpha": self.asked.alpha,
            "margin": self.asked.margin,
            "tolerance": self.asked.tolerance,
            "seen": {"stable": self.seen[0].to_json(), "candidate": self.seen[1].to_json()},
            "metrics": [metric.to_json(self.asked.every) for metric in self.metrics],
            "agreement": None if self.agreement is None else self.agreement.to_json(),
            "slices": [{"slice": name, **found.to_json()} for name, found in self.slices.items()],
            "mcnemar": None if self.mcnemar is None else self.mcnemar.to_json(),
            "warnings": list(self.warnings),
        }


_WORST_FIRST = (Verdict.WORSE, Verdict.UNDECIDED, Verdict.NO_WORSE, Verdict.EQUIVALENT, Verdict.BETTER)


def _ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [finite(end) for end in interval]
