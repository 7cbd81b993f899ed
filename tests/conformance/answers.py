"""What TFDV and Driftline say of the same statistics, in words that can be compared; changes with what either reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2

from monitor.compare.case import PREVIOUS, TRAINING
from monitor.compare.findings import Finding, Kind
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, count_rows
from monitor.records import Rows

MEASURES = {1: "infinity_norm", 2: "jensen_shannon_divergence", 3: "normalized_abs_difference"}
"""TFDV's types of measurements, as its comparators and Driftline name them."""
_TOO_HIGH = {
    "COMPARATOR_L_INFTY_HIGH": "infinity_norm",
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": "jensen_shannon_divergence",
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH": "normalized_abs_difference",
}
_RULE = "CUSTOM_VALIDATION"


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of `tfdv.validate_statistics`, protos of TFMD.

    Attributes:
        statistics: what the schema is held against; the new side of drift, and the training side of skew.
        schema: None where only rules are asked about.
        options: TFDV's `ValidationOptions`, which only an internal function of it takes.
        rules: TFDV's `CustomValidationConfig`.
    """

    statistics: Any
    schema: Any = None
    environment: str | None = None
    previous: Any = None
    serving: Any = None
    options: Any = None
    rules: Any = None


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken expectation of the schema, in TFDV's words but for blanks and the last stop."""

    feature: str | None
    type: str
    description: str
    flagged: bool


@dataclass(frozen=True, slots=True)
class Distance:
    """One measured distance, to the last bit, with the threshold that the schema sets for it."""

    feature: str
    reference: str
    measure: str
    value: float | None
    threshold: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is said of one question."""

    broken: frozenset[Broken] = frozenset()
    distances: frozenset[Distance] = frozenset()


def answer_of_tfdv(anomalies: Any) -> Answer:
    """Return TFDV's `Anomalies` as an answer, without custom validations: flagged is what has the severity ERROR."""
    broken, high = set(), set()
    for name, info in (*anomalies.anomaly_info.items(), (None, anomalies.dataset_anomaly_info)):
        feature = None if name is None else ".".join(info.path.step) or name
        for reason in info.reason:
            kind = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
            if kind in _TOO_HIGH:
                reference = TRAINING if "serving" in reason.short_description else PREVIOUS
                high.add((feature, reference, _TOO_HIGH[kind]))
            elif kind != _RULE:
                error = info.severity == anomalies_pb2.AnomalyInfo.ERROR
                broken.add(Broken(feature, kind, _plain(reason.description), error))
    return Answer(frozenset(broken), frozenset(_distances_of_tfdv(anomalies, high)))


def _distances_of_tfdv(anomalies: Any, high: set[tuple[str | None, str, str]]) -> Iterator[Distance]:
    for info in anomalies.drift_skew_info:
        feature = ".".join(info.path.step)
        for reference, found in ((TRAINING, info.skew_measurements), (PREVIOUS, info.drift_measurements)):
            for each in found:
                measure = MEASURES[each.type]
                is_high = (feature, reference, measure) in high
                yield Distance(feature, reference, measure, each.value, each.threshold, is_high)


def answer_of_findings(findings: Iterable[Finding]) -> Answer:
    """Return findings as an answer, without the distances that the schema sets no threshold for."""
    broken, distances = set(), set()
    for each in findings:
        if each.kind is Kind.SCHEMA_ANOMALY:
            about = "the data set" if each.feature is None else each.feature
            said = each.explanation.removeprefix(f"{about}: ")
            broken.add(Broken(each.feature, each.measure, said, each.flagged))
        elif each.measure in MEASURES.values() and each.threshold is not None:
            feature = str(each.feature)
            distances.add(Distance(feature, each.reference, each.measure, each.value, each.threshold, each.flagged))
    return Answer(frozenset(broken), frozenset(distances))


def answer_of_driftline(question: Question, *, schema_inferred: bool = False) -> Answer:
    """Return what Driftline finds, by the one path that leads to its verdicts.

    TFDV holds one set of statistics against the schema, earlier ones, and those of serving. Driftline judges windows: here
    `statistics` is the window that the schema and drift are about, and the baseline of the window that skew is about.
    """
    earlier = {} if question.previous is None else {PREVIOUS: question.previous}
    found = answer_of_findings(_judged(question, question.statistics, earlier, schema_inferred))
    if question.serving is None:
        return found
    skew = answer_of_findings(_judged(question, question.serving, {TRAINING: question.statistics}, schema_inferred))
    return replace(found, distances=found.distances | skew.distances)


def _judged(question: Question, window: Any, references: Mapping[str, Any], schema_inferred: bool) -> Iterable[Finding]:
    """Judge a window of which only statistics are known: all counts are the same, so that nothing else is found."""
    anything, counted = _anything()
    names = {feature.name for feature in question.schema.feature} | set(_features(question.statistics))
    baseline = replace(
        anything,
        schema=question.schema.SerializeToString(),
        schema_inferred=schema_inferred,
        statistics=question.statistics.SerializeToString(),
        features=dict.fromkeys(names, anything.features["any"]),
    )
    counts = dict.fromkeys(names, counted.counts["any"])
    fingerprint = baseline.fingerprint

    def profile(statistics: Any) -> Profile:
        return replace(counted, statistics=statistics.SerializeToString(), counts=counts, baseline=fingerprint)

    earlier = {name: profile(statistics) for name, statistics in references.items() if name != TRAINING}
    settings = DetectionSettings.model_validate({"references": list(references)})
    return judge(profile(window), baseline, earlier, settings).findings


@cache
def _anything() -> tuple[Baseline, Profile]:
    """Return a baseline of one column, `any`, and the profile of a window of the same rows."""
    rows = Rows(pa.table({"any": ["a", "b"] * 50}))
    baseline = create_baseline(rows)
    return baseline, count_rows(rows, baseline)


def _features(statistics: Any) -> Iterator[str]:
    for dataset in statistics.datasets:
        for feature in dataset.features:
            yield ".".join(feature.path.step) or feature.name


def _plain(description: str) -> str:
    return " ".join(description.split()).rstrip(".")


def statistics_by_tfdv(table: pa.Table, options: Any = None) -> Any:
    """Return TFDV's own statistics of a table in memory, as one batch of lists; `options` are its `StatsOptions`."""
    from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory

    columns = [_lists(column.to_pylist()) for column in table.columns]
    # TFDV's mean of infinities is none, and no news.
    with np.errstate(invalid="ignore"):
        batch = pa.RecordBatch.from_arrays(columns, table.column_names)
        return (
            generate_statistics_in_memory(batch) if options is None else generate_statistics_in_memory(batch, options)
        )


def _lists(values: list[Any]) -> pa.Array:
    return pa.array([value if value is None or isinstance(value, list) else [value] for value in values])
