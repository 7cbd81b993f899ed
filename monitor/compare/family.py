"""All judgements of one window, that of all rows and those of its slices, as one family; changes with how they share the budget.

A graphical weighted Bonferroni procedure (Bretz, Maurer, Brannath and Posch, 2009, Statistics in Medicine 28:586): the
window's budget of false alarms goes in halves to all rows and to the slices, which share theirs evenly, and each comparison of
all rows that is rejected passes its part on to the slices. That holds the budget over all comparisons of the window, however they
depend on each other and whichever of them are true; passing the whole half on with the first rejection would not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

from monitor.compare.case import TRAINING
from monitor.compare.feedback import NO_FEEDBACK, Feedback
from monitor.compare.findings import Finding, Kind, Outcome, Subject, Verdict, WindowFindings
from monitor.compare.judge import judge
from monitor.compare.pooled import Recent, no_windows, pooled
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.profile.sliced import WindowProfile
from monitor.profile.slices import Spec
from monitor.records import Window
from monitor.window.slicing import OVERALL, SliceKey, slice_name

OVERALL_SHARE = 0.5
"""Of the budget, where there are slices too."""
PINNED = "pinned"
NO_WORDS: Mapping[str, Feedback] = MappingProxyType({})


def judge_window(
    current: WindowProfile,
    baseline: Baseline,
    earlier: Mapping[str, WindowProfile],
    settings: DetectionSettings,
    subject: Subject,
    specs: Collection[Spec] = (),
    feedback: Mapping[str, Feedback] = NO_WORDS,
    beside: Sequence[Finding] = (),
    recent: Recent = no_windows,
) -> tuple[WindowFindings, ...]:
    """Return the findings of all rows of a window, then those of each of its slices.

    Args:
        current: the window, profiled on `baseline`.
        baseline: the training reference.
        earlier: the earlier windows to compare with, profiled on the same baseline, by the name of the reference. One that has no
            rows of a slice is no reference of that slice.
        settings: budget of false alarms, references, least effects, overrides.
        subject: what the findings are about.
        specs: the slicings that are asked for; a note says of which the baseline knows nothing.
        feedback: what people said of earlier findings, by the name of the slice.
        beside: findings about all rows by other means.
        recent: gives all rows of the windows before, oldest first: where this one has too few, they are judged together.

    Raises:
        InvariantBroken: a profile was made on another baseline, so that its cells mean something else.
    """

    def of(key: SliceKey, profile: Profile, share: float) -> WindowFindings:
        return judge(
            profile,
            baseline.of_slice(key) if key else baseline,
            _references(earlier, key),
            settings,
            share=share * of_the_day,
            feedback=feedback.get(slice_name(key), NO_FEEDBACK),
            beside=() if key else beside,
            subject=subject,
            slice_key=dict(key),
        )

    slices, of_the_day = current.slices, _share_of_the_day(settings, subject.window)
    share = overall_share(current)
    overall = pooled(
        of(OVERALL, current.overall, share),
        current.overall,
        recent,
        baseline,
        settings,
        share * of_the_day,
        feedback.get(slice_name(OVERALL), NO_FEEDBACK),
    )
    notes = [*_left_out(baseline, specs), *_pinned_missing(earlier, settings, subject)]
    noted = replace(overall, findings=[*overall.findings, *notes])
    if not slices:
        return (noted,)
    left = 1.0 - OVERALL_SHARE + OVERALL_SHARE * _rejected(overall.findings)
    return (noted, *(of(key, profile, left / len(slices)) for key, profile in slices.items()))


def overall_share(current: WindowProfile) -> float:
    """Return the share of the budget that the judgement of all rows gets."""
    return OVERALL_SHARE if current.slices else 1.0


def window_verdict(findings: Sequence[WindowFindings]) -> Verdict:
    """Return a window's verdict: flagged where all rows or any slice is, else that of all rows, which come first."""
    if any(found.verdict is Verdict.FLAGGED for found in findings):
        return Verdict.FLAGGED
    return findings[0].verdict


def as_one(findings: Sequence[WindowFindings]) -> WindowFindings:
    """Return what was found of all rows and of all slices as one object: for counts, since it says not which slice is meant."""
    together = [finding for found in findings for finding in found.findings]
    return replace(findings[0], verdict=window_verdict(findings), findings=together)


def _share_of_the_day(settings: DetectionSettings, window: Window | None) -> float:
    """Return the part of a window's own budget that a budget per day leaves it."""
    if settings.false_alarms_per_day is None or window is None:
        return 1.0
    days = (window.end - window.start) / timedelta(days=1)
    return min(1.0, settings.false_alarms_per_day * days / settings.false_alarm_rate)


def _references(earlier: Mapping[str, WindowProfile], key: SliceKey) -> dict[str, Profile]:
    if not key:
        return {name: window.overall for name, window in earlier.items()}
    return {name: window.slices[key] for name, window in earlier.items() if key in window.slices}


def _rejected(findings: Sequence[Finding]) -> float:
    """Return the share of the calibrated comparisons, which alone have a p-value, that are flagged."""
    calibrated = [finding.flagged for finding in findings if finding.p_value is not None]
    return sum(calibrated) / len(calibrated) if calibrated else 0.0


def _left_out(baseline: Baseline, specs: Collection[Spec]) -> Iterator[Finding]:
    """Say which slices that are asked for are not compared."""
    slices = baseline.slices
    unknown = sorted(set(specs) - set(slices.specs))
    said = [f"all by {', '.join(spec)}, which the baseline was made without" for spec in unknown]
    if specs and slices.small:
        said.append(f"{slices.small} with too few rows in the baseline")
    if specs and slices.cut:
        said.append(f"{slices.cut} beyond the {len(slices.kept)} largest")
    if said:
        advice = "make a new baseline to compare them" if unknown else None
        yield _note(TRAINING, "slices_left_out", advice, f"slices that are not compared: {'; '.join(said)}")


def _pinned_missing(
    earlier: Mapping[str, WindowProfile], settings: DetectionSettings, subject: Subject
) -> Iterator[Finding]:
    """Say when a person pinned a range, and there is nothing of this version in it."""
    pinned = settings.pinned
    if pinned is None or PINNED in earlier or subject.window is None or subject.window.start < pinned.end:
        return
    said = f"no judged window of version {subject.version} lies within the pinned range"
    yield _note(PINNED, "windows", None, said if subject.version else "no window lies within the pinned range")


def _note(reference: str, measure: str, reason: str | None, explanation: str) -> Finding:
    return Finding(
        kind=Kind.BASELINE,
        feature=None,
        reference=reference,
        measure=measure,
        value=None,
        threshold=None,
        p_value=None,
        flagged=False,
        reason=reason,
        explanation=explanation,
        outcome=Outcome.INFORMATIVE,
    )
