"""The verdict on a window: the one code path of `check`, `backtest` and production; changes with what a verdict weighs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from monitor.compare.anomalies import anomaly_findings, misfit_findings
from monitor.compare.calibrated import corrected_level
from monitor.compare.comparisons import Comparison, Pair, Side, comparisons
from monitor.compare.distances import distance_findings
from monitor.compare.findings import Finding, Kind, Outcome, WindowFindings, verdict_of
from monitor.config.settings import DetectionSettings, FeatureSettings
from monitor.errors import InvariantBroken
from monitor.profile import tfdv
from monitor.profile.baseline import Baseline
from monitor.profile.bins import universal_bins
from monitor.profile.features import FeatureCounts
from monitor.profile.moments import Moments, moments_of
from monitor.profile.profile import Notable, Profile
from monitor.profile.schema import serving_environment, thresholds, with_comparators
from monitor.records import FeatureType, ValueType, Window

TRAINING = "training"
PREVIOUS = "previous"
"""The earlier window that TFDV's own drift comparators are measured against."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a window is compared with: counts and statistics of the baseline's rows, or of an earlier window's."""

    name: str
    counts: Mapping[str, FeatureCounts]
    notable: Mapping[str, Notable]
    statistics: bytes
    blocks: float

    @classmethod
    def training(cls, baseline: Baseline) -> Reference:
        """Return the baseline's own rows as a reference."""
        counts = {name: reference.counts for name, reference in baseline.features.items()}
        return cls(TRAINING, counts, {}, baseline.statistics, baseline.blocks)

    @classmethod
    def earlier(cls, name: str, profile: Profile) -> Reference:
        """Return an earlier window, or several rolled up, as a reference."""
        return cls(name, profile.counts, profile.notable, profile.statistics, profile.blocks)


def judge(
    profile: Profile,
    baseline: Baseline,
    earlier: Mapping[str, Profile],
    settings: DetectionSettings,
    *,
    share: float = 1.0,
    model: str | None = None,
    version: str | None = None,
    window: Window | None = None,
    revision: int = 1,
    number: int | None = None,
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
        model: for the findings' head, as are version, window, revision and slice_key.
        version: see model.
        window: see model.
        revision: see model.
        number: the baseline's number; None takes it from the baseline.
        slice_key: see model.

    Raises:
        InvariantBroken: a profile was made on another baseline, so that its cells mean something else.
    """
    if any(each.baseline != baseline.fingerprint for each in (profile, *earlier.values())):
        raise InvariantBroken("a profile was made on another baseline than the one it is judged by")
    references = list(_references(baseline, earlier, settings))
    findings = _ordered(_findings(profile, baseline, references, settings, share)) if profile.rows else [_nothing()]
    return WindowFindings(
        verdict=verdict_of(findings),
        findings=findings,
        rows_seen=profile.rows_seen,
        rows=profile.rows,
        n_effective=profile.n_effective,
        model=model,
        version=version,
        slice=dict(slice_key or {}),
        baseline=number if number is not None else baseline.number,
        window=window,
        revision=revision,
    )


def _references(baseline: Baseline, earlier: Mapping[str, Profile], settings: DetectionSettings) -> Iterator[Reference]:
    for name in settings.references:
        if name == TRAINING:
            yield Reference.training(baseline)
        elif name in earlier and earlier[name].rows:
            yield Reference.earlier(name, earlier[name])


def _findings(
    profile: Profile,
    baseline: Baseline,
    references: Sequence[Reference],
    settings: DetectionSettings,
    share: float,
) -> Iterator[Finding]:
    yield from misfit_findings(profile)
    if profile.statistics:  # of slices there are none
        yield from _tfdv_findings(profile, baseline, references, settings)
    yield from calibrated_findings(profile, baseline, references, settings, share)


def calibrated_findings(
    profile: Profile,
    baseline: Baseline,
    references: Sequence[Reference],
    settings: DetectionSettings,
    share: float = 1.0,
) -> Iterator[Finding]:
    """Yield the calibrated comparisons of a window, whose levels share one budget of false alarms; no TFDV in them."""
    planned = list(_planned(profile, baseline, references, settings))
    level = corrected_level(share * settings.false_alarm_rate, len(planned))
    for comparison in planned:
        yield comparison(level)


def _tfdv_findings(
    profile: Profile,
    baseline: Baseline,
    references: Sequence[Reference],
    settings: DetectionSettings,
) -> Iterator[Finding]:
    measured = with_comparators(baseline.schema, _extra(profile, baseline))
    by_name = {reference.name: reference for reference in references}
    drift = by_name.get(PREVIOUS)
    if drift is not None and not drift.statistics:
        drift = None
    validation = tfdv.validate(
        profile.statistics,
        measured,
        environment=serving_environment(baseline.schema),
        previous=drift.statistics if drift else None,
    )
    yield from anomaly_findings(validation.anomalies, profile, baseline)
    limits = list(thresholds(baseline.schema))
    if TRAINING in by_name:
        skew = tfdv.validate(baseline.statistics, measured, serving=profile.statistics).skew
        yield from distance_findings(
            skew,
            {(feature, measure): limit for feature, side, measure, limit in limits if side == "skew"},
            reference=TRAINING,
            kinds=_kinds(profile, baseline, settings, Kind.SKEW),
        )
    if drift:
        yield from distance_findings(
            validation.drift,
            {(feature, measure): limit for feature, side, measure, limit in limits if side == "drift"},
            reference=PREVIOUS,
            kinds=_kinds(profile, baseline, settings, Kind.DRIFT),
        )


def _planned(
    profile: Profile,
    baseline: Baseline,
    references: Sequence[Reference],
    settings: DetectionSettings,
) -> Iterator[Comparison]:
    moments = moments_of(profile.statistics)
    for reference in references:
        training = reference.name == TRAINING
        kinds = _kinds(profile, baseline, settings, Kind.SKEW if training else Kind.DRIFT)
        theirs = moments_of(reference.statistics)
        for name in sorted(profile.counts.keys() & reference.counts.keys() & kinds.keys()):
            yield from comparisons(_pair(name, profile, baseline, reference, settings, kinds[name], (moments, theirs)))


def _pair(
    name: str,
    profile: Profile,
    baseline: Baseline,
    reference: Reference,
    settings: DetectionSettings,
    kind: Kind,
    moments: tuple[Mapping[str, Moments], Mapping[str, Moments]],
) -> Pair:
    known = baseline.features.get(name)
    counts, others = profile.counts[name], reference.counts[name]
    override = settings.features.get(name, FeatureSettings())
    return Pair(
        feature=name,
        kind=kind,
        reference=reference.name,
        current=Side(counts, moments[0].get(name), profile.notable.get(name, ()), profile.blocks),
        other=Side(others, moments[1].get(name), reference.notable.get(name, ()), reference.blocks),
        bins=known.bins if known is not None else universal_bins(counts.location is not None),
        known=known,
        training=reference.name == TRAINING,
        min_effect=settings.min_effect if override.min_effect is None else override.min_effect,
    )


def _kinds(profile: Profile, baseline: Baseline, settings: DetectionSettings, otherwise: Kind) -> dict[str, Kind]:
    """Return the features to compare, and what a finding about each is; never the label or what settings ignore."""
    labels = {profile.label, baseline.label}
    ignored = {name for name, override in settings.features.items() if override.ignore}
    names = (set(baseline.features) | set(profile.counts)) - ignored - labels
    predictions = {profile.prediction, baseline.prediction}
    return {str(name): Kind.PREDICTION_DRIFT if name in predictions else otherwise for name in names}


def _extra(profile: Profile, baseline: Baseline) -> dict[str, FeatureType]:
    name = profile.prediction
    if name is None or name in baseline.column_types or name not in profile.counts:
        return {}
    numeric = profile.counts[name].location is not None
    return {name: FeatureType(ValueType.FLOAT if numeric else ValueType.BYTES)}


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


def _ordered(findings: Iterator[Finding]) -> list[Finding]:
    """Return flagged findings first, the furthest above their threshold leading; then the rest by name."""
    return sorted(
        findings,
        key=lambda finding: (
            not finding.flagged,
            -_strength(finding),
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
