"""Findings and the verdict of a window, and their JSON: the contract that people and scripts depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from monitor.clock import rfc3339
from monitor.records import Window

SCHEMA_VERSION = 1


class Verdict(StrEnum):
    """What a window's findings add up to; flagged outranks insufficient evidence."""

    OK = "ok"
    FLAGGED = "flagged"
    INSUFFICIENT = "insufficient_evidence"


class Kind(StrEnum):
    """What was compared."""

    SCHEMA_ANOMALY = "schema_anomaly"
    SKEW = "skew"
    DRIFT = "drift"
    PREDICTION_DRIFT = "prediction_drift"
    MISSING_VALUES = "missing_values"
    BASELINE = "baseline"
    DATA_BREAK = "data_break"
    JOINT_DRIFT = "joint_drift"
    ATTRIBUTION_DRIFT = "attribution_drift"
    CUSTOM_VALIDATION = "custom_validation"
    OUTPUT_HEALTH = "output_health"
    QUALITY = "quality"
    ESTIMATED_QUALITY = "estimated_quality"


class Outcome(StrEnum):
    """How one comparison ended, beside its flag."""

    JUDGED = "judged"
    INFORMATIVE = "informative"
    INSUFFICIENT = "insufficient_evidence"


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured comparison, flagged or not.

    `outcome` says whether it counts for the verdict (`JUDGED`), only informs (a TFDV distance without the user's
    threshold), or had too few rows (`INSUFFICIENT`); it is not part of the JSON, `reason` carries it for readers. Nor
    is `null`, the distribution where nothing has changed, in words.
    """

    kind: Kind
    feature: str | None
    reference: str
    measure: str
    value: float | None
    threshold: float | None
    p_value: float | None
    flagged: bool
    reason: str | None
    explanation: str
    outcome: Outcome = Outcome.JUDGED
    null: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this finding; a number that JSON cannot hold becomes null."""
        return {
            "kind": str(self.kind),
            "feature": self.feature,
            "reference": self.reference,
            "measure": self.measure,
            "value": finite(self.value),
            "threshold": finite(self.threshold),
            "p_value": finite(self.p_value),
            "flagged": self.flagged,
            "reason": self.reason,
            "explanation": self.explanation,
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """What findings are about, for their head."""

    model: str | None = None
    version: str | None = None
    window: Window | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class WindowFindings:
    """All findings of one window and slice, with the verdict they add up to."""

    verdict: Verdict
    findings: Sequence[Finding]
    rows_seen: int
    rows: int
    n_effective: float
    model: str | None = None
    version: str | None = None
    slice: Mapping[str, str] = field(default_factory=dict)
    baseline: int | None = None
    window: Window | None = None
    revision: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of DESIGN's "Findings"."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "version": self.version,
            "slice": dict(self.slice),
            "baseline": self.baseline,
            "window_start": rfc3339(self.window.start) if self.window else None,
            "window_end": rfc3339(self.window.end) if self.window else None,
            "revision": self.revision,
            "rows_seen": self.rows_seen,
            "rows": self.rows,
            "n_effective": finite(self.n_effective),
            "verdict": str(self.verdict),
            "findings": [finding.to_json() for finding in self.findings],
        }


def finite(value: float | None) -> float | None:
    """Return `value`, or None where JSON has no such number."""
    return value if value is not None and math.isfinite(value) else None


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Add findings up: any flag wins; else insufficient when at least half of the judged comparisons lacked evidence."""
    if any(finding.flagged for finding in findings):
        return Verdict.FLAGGED
    judged = sum(finding.outcome is Outcome.JUDGED and finding.p_value is not None for finding in findings)
    lacking = sum(finding.outcome is Outcome.INSUFFICIENT for finding in findings)
    return Verdict.INSUFFICIENT if lacking and lacking >= judged else Verdict.OK
