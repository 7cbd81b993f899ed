"""What TFDV itself says of a window: broken expectations of the schema, and distances; changes with what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.compare.anomalies import anomaly_findings
from monitor.compare.case import PREVIOUS, TRAINING, Case, Reference
from monitor.compare.distances import distance_findings
from monitor.compare.findings import Finding
from monitor.profile import tfdv
from monitor.profile.schema import serving_environment, with_comparators
from monitor.profile.tfdv import Measurement
from monitor.records import FeatureType, ValueType


def tfdv_findings(case: Case) -> Iterator[Finding]:
    """Yield TFDV's anomalies and distances; nothing where a window, as a slice, has no statistics."""
    profile, baseline = case.profile, case.baseline
    if not profile.statistics:
        return
    measured = with_comparators(baseline.schema, _predictions(case))
    by_name = {reference.name: reference for reference in case.references if reference.statistics}
    training, previous = by_name.get(TRAINING), by_name.get(PREVIOUS)
    validation = tfdv.validate(
        profile.statistics,
        measured,
        environment=serving_environment(baseline.schema),
        previous=previous.statistics if previous else None,
    )
    yield from anomaly_findings(validation.anomalies, profile, baseline)
    if training:
        skew = tfdv.validate(baseline.statistics, measured, serving=profile.statistics).skew
        yield from _distances(case, training, skew)
    if previous:
        yield from _distances(case, previous, validation.drift)


def _distances(case: Case, reference: Reference, found: Sequence[Measurement]) -> Iterator[Finding]:
    limits = {
        (feature, measure): limit
        for (feature, side, measure), limit in case.limits.items()
        if side == reference.schema_side
    }
    return distance_findings(found, limits, reference=reference.name, kinds=case.kinds(reference.kind))


def _predictions(case: Case) -> dict[str, FeatureType]:
    """Return the prediction's type where the schema does not know it."""
    name = case.profile.prediction
    if name is None or name in case.baseline.column_types or name not in case.profile.counts:
        return {}
    numeric = case.profile.counts[name].location is not None
    return {name: FeatureType(ValueType.FLOAT if numeric else ValueType.BYTES)}
