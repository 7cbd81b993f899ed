"""The verdict on a window: the one code path of `check`, `backtest` and production; changes with what a verdict weighs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from monitor.compare.against_schema import tfdv_findings
from monitor.compare.anomalies import misfit_findings
from monitor.compare.breaks.causes import Break
from monitor.compare.breaks.find import find_breaks
from monitor.compare.case import TRAINING, Case, Reference
from monitor.compare.declared import with_declared
from monitor.compare.feedback import NO_FEEDBACK, Feedback, called_false_alarm, heeded
from monitor.compare.findings import Finding, Kind, Outcome, Subject, WindowFindings, verdict_of
from monitor.compare.plan import plan_of
from monitor.compare.thresholds import threshold_findings
from monitor.config.detection import DetectionSettings
from monitor.errors import InvariantBroken
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile

NOBODY = Subject()


def judge(
    profile: Profile,
    baseline: Baseline,
    earlier: Mapping[str, Profile],
    settings: DetectionSettings,
    *,
    share: float = 1.0,
    feedback: Feedback = NO_FEEDBACK,
    beside: Sequence[Finding] = (),
    subject: Subject = NOBODY,
    slice_key: Mapping[str, str] | None = None,
) -> WindowFindings:
    """Compare a window with its references, and say what all comparisons add up to.

    Args:
        profile: the window, profiled on `baseline`.
        baseline: the training reference.
        earlier: by the name of the reference ("previous", "seasonal", ...) the earlier windows to compare with, profiled on
            the same baseline; those that the settings do not name are left out, as are empty ones.
        settings: budget of false alarms, references, least effects, overrides.
        share: of the window's budget of false alarms, for this judgement: the overall one and those of slices share it.
        feedback: what people said of earlier findings.
        beside: findings of what is judged by other means, such as rules over the rows.
        subject: what the findings are about, for their head.
        slice_key: the same.

    Raises:
        InvariantBroken: a profile was made on another baseline, so that its cells mean something else.
    """
    if any(each.baseline != baseline.fingerprint for each in (profile, *earlier.values())):
        raise InvariantBroken("a profile was made on another baseline than the one it is judged by")
    case = Case(profile, baseline, list(_references(baseline, earlier, settings)), settings, share)
    found = with_declared(_findings(case, feedback), settings.schema_changes, subject.window)
    findings = _ordered([*found, *beside], case) if profile.rows else [_nothing()]
    return WindowFindings(
        verdict=verdict_of(findings),
        findings=findings,
        rows_seen=profile.rows_seen,
        rows=profile.rows,
        n_effective=profile.n_effective,
        model=subject.model,
        version=subject.version,
        slice=dict(slice_key or {}),
        baseline=baseline.number,
        window=subject.window,
        revision=subject.revision,
    )


def _references(baseline: Baseline, earlier: Mapping[str, Profile], settings: DetectionSettings) -> Iterator[Reference]:
    for name in settings.references:
        if name == TRAINING:
            yield Reference.training(baseline)
        elif name in earlier and earlier[name].rows:
            yield Reference.earlier(name, earlier[name])


def _findings(case: Case, feedback: Feedback) -> Iterator[Finding]:
    compared = list(calibrated_findings(case, feedback))
    breaks = {each.feature: each for each in find_breaks(case.profile, case.baseline, _moved(case, compared))}
    for each in breaks.values():
        if not case.override(each.feature).ignore:
            yield _break_finding(each)
    against_schema = (*misfit_findings(case.profile, case.baseline), *tfdv_findings(case))
    heard = [each for each in against_schema if each.feature is None or not case.override(each.feature).ignore]
    for finding in (*heard, *compared):
        broken = finding.feature in breaks and finding.flagged and finding.reason is None
        yield replace(finding, reason="the data break of this feature explains it") if broken else finding


def calibrated_findings(case: Case, feedback: Feedback = NO_FEEDBACK) -> Iterator[Finding]:
    """Yield the calibrated comparisons of a window, whose levels share one budget of false alarms; no TFDV in them."""
    plan = plan_of(case)
    moved: dict[str, set[str]] = defaultdict(set)
    for pair, planned in plan.pairs:
        for comparison in planned:
            found = comparison.at(plan.level)
            judged = heeded(found, pair, plan.level, feedback, case.baseline.calendar)
            if judged.flagged and judged.kind is not Kind.MISSING_VALUES:
                moved[pair.reference].add(pair.feature)
            yield judged
        yield from threshold_findings(pair)
    for group in plan.groups:
        for found in group.at(plan.level * group.weight, moved[group.reference]):
            yield called_false_alarm(found, feedback)


def _moved(case: Case, compared: Sequence[Finding]) -> dict[str, float]:
    """Return the features that differ from training, with how far each is above its threshold."""
    moved: dict[str, float] = {}
    for finding in compared:
        name = finding.feature
        if finding.flagged and finding.reference == TRAINING and name is not None and name in case.profile.counts:
            moved[name] = max(moved.get(name, 0.0), _strength(finding))
    return moved


def _break_finding(found: Break) -> Finding:
    return Finding(
        kind=Kind.DATA_BREAK,
        feature=found.feature,
        reference=TRAINING,
        measure=str(found.cause),
        value=found.share,
        threshold=None,
        p_value=None,
        flagged=True,
        reason=None,
        explanation=found.explanation,
    )


def _nothing() -> Finding:
    return Finding(
        kind=Kind.SKEW,
        feature=None,
        reference=TRAINING,
        measure="rows",
        value=0.0,
        threshold=None,
        p_value=None,
        flagged=False,
        reason="too few rows: the window holds none",
        explanation="no rows came in this window",
        outcome=Outcome.INSUFFICIENT,
    )


def _ordered(findings: Sequence[Finding], case: Case) -> list[Finding]:
    """Return flagged findings first, data breaks leading, then the furthest above their threshold; then the rest by name.

    How far a finding is above is weighed by the importance of its feature.
    """
    return sorted(
        findings,
        key=lambda finding: (
            not finding.flagged,
            finding.kind is not Kind.DATA_BREAK,
            -_strength(finding) * case.importance(finding.feature),
            str(finding.kind),
            finding.feature or "",
            finding.reference,
            finding.measure,
            finding.explanation,
        ),
    )


def _strength(finding: Finding) -> float:
    if not finding.flagged:
        return 0.0
    if finding.value is None or not finding.threshold:
        return math.inf
    return finding.value / finding.threshold
