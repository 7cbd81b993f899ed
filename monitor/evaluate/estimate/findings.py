"""Estimates as findings, which inform and never flag; changes with what a window's findings say of estimated quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.compare.findings import Finding, Kind, Outcome
from monitor.evaluate.estimate.estimates import Estimate

REFERENCE = "calibration"


def estimate_findings(estimates: Iterable[Estimate]) -> Iterator[Finding]:
    """Yield one finding an estimate; `reason` says why it may not be believed, where it may not.

    An estimate is no evidence of its own: what moved the scores is a finding already, and that quality is lost only labels prove.
    """
    for each in estimates:
        yield Finding(
            kind=Kind.ESTIMATED_QUALITY,
            feature=None,
            reference=REFERENCE,
            measure=each.name,
            value=each.value,
            threshold=None,
            p_value=None,
            flagged=False,
            reason=each.reason,
            explanation=each.explanation,
            outcome=Outcome.INFORMATIVE,
        )
