"""A verdict for windows that are too small for one: together with those before them; changes with how far that goes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from monitor.compare.case import TRAINING
from monitor.compare.feedback import Feedback
from monitor.compare.findings import Finding, Outcome, Verdict, WindowFindings, verdict_of
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.profile.rollup import rolled_up

POOLED_WINDOWS = 24
"""Windows that are taken together at most, the one that is judged among them."""
_STEPS = (2, 4, 8, 16, POOLED_WINDOWS)

Recent = Callable[[], Sequence[Profile]]


def no_windows() -> Sequence[Profile]:
    """Return nothing: no window came before, or none is to be judged together with this one."""
    return ()


def pooled(
    alone: WindowFindings,
    profile: Profile,
    recent: Recent,
    baseline: Baseline,
    settings: DetectionSettings,
    share: float,
    feedback: Feedback,
) -> WindowFindings:
    """Return the findings of a window that alone has too little evidence, with those of it and the windows before it.

    The fewest windows that have enough together are judged against training; each number of windows that is tried has its part of
    the budget. A window whose pool lacks evidence too stays as it is.

    Args:
        alone: findings of the window by itself.
        profile: of the window.
        recent: gives the windows before it, oldest first; asked for only where they are needed.
        baseline: that all were profiled on.
        settings: of the detection.
        share: of the window's budget of false alarms.
        feedback: what people said of earlier findings.
    """
    if alone.verdict is not Verdict.INSUFFICIENT or not profile.rows or TRAINING not in settings.references:
        return alone
    before = recent()
    of_training = settings.model_copy(update={"references": [TRAINING]})
    for count in sorted({min(step, len(before) + 1) for step in _STEPS} - {1}):
        together = rolled_up([*before[len(before) + 1 - count :], profile])
        found = judge(together, baseline, {}, of_training, share=share / len(_STEPS), feedback=feedback)
        if found.verdict is not Verdict.INSUFFICIENT:
            findings = [_said(finding, count) for finding in found.findings if finding.outcome is Outcome.JUDGED]
            kept = [finding for finding in alone.findings if finding.outcome is not Outcome.INSUFFICIENT]
            return replace(alone, verdict=verdict_of([*findings, *kept]), findings=[*findings, *kept])
    return alone


def _said(finding: Finding, count: int) -> Finding:
    said = f"over this and the {count - 1} windows before, since each has too few rows"
    reason = said if finding.reason is None else f"{finding.reason}; {said}"
    return replace(finding, reason=reason)
