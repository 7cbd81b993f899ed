"""Which finding comes first; changes with what a person should see first."""

from __future__ import annotations

import math
from collections.abc import Iterable

from monitor.alert.facts import FlaggedFinding

MOST_FINDINGS = 100
"""Findings that an alert keeps, the strongest: beyond that nobody reads, and messages have limits."""


def ranked(findings: Iterable[FlaggedFinding]) -> list[FlaggedFinding]:
    """Return findings, the strongest first: all rows before slices, by p-value, then by how far they are beyond their threshold.

    What has no p-value is no test, such as a data break, a broken schema or a person's threshold: it leads.
    """
    return sorted(
        findings,
        key=lambda finding: (
            bool(finding["slice"]),
            finding["p_value"] or 0.0,
            -_strength(finding),
            finding["kind"],
            finding["feature"] or "",
            sorted(finding["slice"].items()),
            finding["reference"],
            finding["measure"],
            finding["version"] or "",
        ),
    )


def _strength(finding: FlaggedFinding) -> float:
    """Return the ratio of value and threshold, whichever of the two is greater: of some metrics less is worse."""
    value, threshold = finding["value"], finding["threshold"]
    if value is None or not threshold:
        return math.inf
    ratio = value / threshold
    return float(max(ratio, 1.0 / ratio)) if ratio > 0.0 else math.inf
