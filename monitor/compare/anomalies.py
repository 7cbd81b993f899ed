"""Broken schema expectations as findings; changes with which of TFDV's anomalies flag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.compare.calibrated import excess_test
from monitor.compare.case import PREVIOUS, TRAINING
from monitor.compare.comparisons import MIN_RATE_DIFFERENCE
from monitor.compare.explain import percent
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.profile.tfdv import Anomaly

_LEVEL = 1e-4
"""Of the false alarms of a share of misfits where training had some too."""
_INFERRED = "inferred from the reference: warns only"
_MISSING_COLUMN = "SCHEMA_MISSING_COLUMN"
_NEW_COLUMN = "SCHEMA_NEW_COLUMN"
_NUMBERS_OF_ROWS = frozenset({"COMPARATOR_LOW_NUM_EXAMPLES", "COMPARATOR_HIGH_NUM_EXAMPLES"})
"""Of the window against the previous one, where the schema sets a `num_examples_drift_comparator`."""
_ABSENCE = frozenset(
    {
        _MISSING_COLUMN,
        "FEATURE_TYPE_NOT_PRESENT",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_PRESENT",
    },
)
_WRONG_TYPE = frozenset(
    {
        "BOOL_TYPE_BYTES_NOT_INT",
        "BOOL_TYPE_BYTES_NOT_STRING",
        "BOOL_TYPE_FLOAT_NOT_INT",
        "BOOL_TYPE_FLOAT_NOT_STRING",
        "BOOL_TYPE_INT_NOT_STRING",
        "BOOL_TYPE_STRING_NOT_INT",
        "ENUM_TYPE_BYTES_NOT_STRING",
        "ENUM_TYPE_FLOAT_NOT_STRING",
        "ENUM_TYPE_INT_NOT_STRING",
        "FLOAT_TYPE_NOT_FLOAT",
        "FLOAT_TYPE_STRING_NOT_FLOAT",
        "FLOAT_TYPE_NON_STRING",
        "INT_TYPE_INT_EXPECTED",
        "INT_TYPE_NOT_INT_STRING",
        "INT_TYPE_NOT_STRING",
        "INT_TYPE_STRING_EXPECTED",
        "STRING_TYPE_NOW_FLOAT",
        "STRING_TYPE_NOW_INT",
        "UNEXPECTED_DATA_TYPE",
    },
)


def anomaly_findings(anomalies: Sequence[Anomaly], profile: Profile, baseline: Baseline) -> Iterator[Finding]:
    """Yield a finding for each anomaly of the window that concerns its features.

    A domain, presence, range or valency that was only inferred warns; what the user wrote flags as TFDV's severity says.
    A column that is gone, or of another type, flags in both cases. That a prediction or label is absent or new is how
    serving works, and no finding; a column of the schema that the reference lacks too (an id, a weight) only informs.
    """
    roles = {
        name for name in (profile.prediction, profile.label, baseline.prediction, baseline.label) if name is not None
    }
    for anomaly in anomalies:
        # Distances have findings of their own; a column that only the earlier window lacked was that window's anomaly.
        if anomaly.type.startswith("COMPARATOR_") and anomaly.type not in _NUMBERS_OF_ROWS:
            continue
        if anomaly.feature in roles and (anomaly.type in _ABSENCE or anomaly.type == _NEW_COLUMN):
            continue
        yield _finding(anomaly, baseline)


def misfit_findings(profile: Profile, baseline: Baseline) -> Iterator[Finding]:
    """Yield a finding for each feature with values that do not fit its type; flagged where there are more than in training."""
    for name in sorted(profile.misfits):
        misfit = profile.misfits[name]
        if misfit.count == 0:
            continue
        share = min(1.0, misfit.count / profile.rows) if profile.rows else 1.0
        examples = f", such as {', '.join(misfit.examples)}" if misfit.examples else ""
        said = f"{name}: {misfit.count} values ({percent(share)} of the rows) do not fit its type{examples}"
        usual = baseline.misfits.get(name, 0.0)
        more = usual == 0.0 or _more(share, profile.n_effective, usual, baseline.n_effective)
        reason = None if more else f"training had {percent(usual)} of them too"
        yield _anomaly(name, "type_mismatch", said, flagged=more, reason=reason, value=share)


def _more(share: float, rows: float, usual: float, training: float) -> bool:
    test = excess_test((share, rows), (usual, training), level=_LEVEL, min_effect=MIN_RATE_DIFFERENCE)
    return test.value > test.threshold


def _finding(anomaly: Anomaly, baseline: Baseline) -> Finding:
    about = anomaly.feature if anomaly.feature is not None else "the data set"
    said = f"{about}: {' '.join((anomaly.description or anomaly.title).split()).rstrip('.')}"
    absent_in_both = anomaly.type == _MISSING_COLUMN and anomaly.feature not in baseline.features
    if absent_in_both:
        return _anomaly(
            anomaly.feature, anomaly.type, said, flagged=False, reason="the reference lacks this column too"
        )
    if anomaly.type == _MISSING_COLUMN or anomaly.type in _WRONG_TYPE:
        return _anomaly(anomaly.feature, anomaly.type, said, flagged=True, reason=None)
    if baseline.schema_inferred:
        return _anomaly(anomaly.feature, anomaly.type, said, flagged=False, reason=_INFERRED)
    reason = None if anomaly.error else "TFDV takes it for a warning"
    return _anomaly(anomaly.feature, anomaly.type, said, flagged=anomaly.error, reason=reason)


def _anomaly(
    feature: str | None,
    measure: str,
    explanation: str,
    *,
    flagged: bool,
    reason: str | None,
    value: float | None = None,
) -> Finding:
    return Finding(
        kind=Kind.SCHEMA_ANOMALY,
        feature=feature,
        reference=PREVIOUS if measure in _NUMBERS_OF_ROWS else TRAINING,
        measure=measure,
        value=value,
        threshold=None,
        p_value=None,
        flagged=flagged,
        reason=reason,
        explanation=explanation,
        outcome=Outcome.JUDGED if flagged else Outcome.INFORMATIVE,
    )
