"""TFDV's own distances as findings, under TFDV's names; changes with how they are reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.tfdv import Measurement

_NO_THRESHOLD = "TFDV's measure; the schema sets no threshold for it"
_SAID = {
    "infinity_norm": "largest difference of one value's share (L-infinity)",
    "jensen_shannon_divergence": "Jensen-Shannon divergence",
    "normalized_abs_difference": "normalized absolute difference of the counts",
}


def distance_findings(
    measured: Sequence[Measurement],
    thresholds: Mapping[tuple[str, str], float],
    *,
    reference: str,
    kinds: Mapping[str, Kind],
) -> Iterator[Finding]:
    """Yield a finding for each distance; it flags only where the user's schema sets a threshold, as TFDV would.

    Args:
        measured: what TFDV measured against this reference.
        thresholds: the user's, by (feature, measure).
        reference: "training" or "previous".
        kinds: the features to report, and what a finding about each is.
    """
    for measurement in measured:
        kind = kinds.get(measurement.feature)
        if kind is None:
            continue
        threshold = thresholds.get((measurement.feature, measurement.measure))
        said = f"{measurement.feature}: {_SAID.get(measurement.measure, measurement.measure)} {measurement.value:.4g}"
        yield Finding(
            kind=kind,
            feature=measurement.feature,
            reference=reference,
            measure=measurement.measure,
            value=measurement.value,
            threshold=threshold,
            p_value=None,
            flagged=threshold is not None and measurement.value > threshold,
            reason=_NO_THRESHOLD if threshold is None else None,
            explanation=f"{said} against {'the training data' if reference == 'training' else 'the previous window'}",
            outcome=Outcome.INFORMATIVE if threshold is None else Outcome.JUDGED,
        )
