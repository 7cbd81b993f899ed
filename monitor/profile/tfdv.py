"""The only door to TensorFlow Data Validation; changes when TFDV does. Importing TFDV takes 15 s, so it happens on use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

BATCH_ROWS = 100_000
BATCH_VALUES = 10_000_000
"""Rows, and values of all columns, that TFDV is given at a time at most, since it holds a batch several times over: its sketches
depend on them, so they are part of the canonical order."""

_WEIGHT = "driftline.weight"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One reason why statistics break the schema, in TFDV's words.

    Attributes:
        feature: its dotted path; None where the whole data set is meant.
        type: TFDV's name of the anomaly, such as ENUM_TYPE_UNEXPECTED_STRING_VALUES.
        error: TFDV's severity is ERROR.
    """

    feature: str | None
    type: str
    title: str
    description: str
    error: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One distance that TFDV measured between two sets of statistics; `measure` is the comparator's field name."""

    feature: str
    measure: str
    value: float


@dataclass(frozen=True, slots=True)
class Validation:
    """What `tfdv.validate_statistics` found."""

    anomalies: tuple[Anomaly, ...]
    skew: tuple[Measurement, ...]
    drift: tuple[Measurement, ...]


def warm_up() -> None:
    """Import TFDV now, which the first call of any function here would otherwise do."""
    import tensorflow_data_validation  # noqa: F401


def statistics(features: pa.Table, weights: npt.NDArray[np.float64] | None = None) -> bytes:
    """Return the serialized DatasetFeatureStatisticsList of the rows, in the order given.

    Equals `tfdv.generate_statistics_in_memory` on one batch of the same rows. Weighted statistics stand beside the plain
    ones; the weight is no feature of the result. Zero rows give statistics of zero examples.
    """
    if features.num_rows == 0:
        empty: Any = statistics_pb2.DatasetFeatureStatisticsList()
        empty.datasets.add(num_examples=0)
        return bytes(empty.SerializeToString(deterministic=True))
    from tensorflow_data_validation.statistics import stats_impl, stats_options

    options = stats_options.StatsOptions(weight_feature=None if weights is None else _WEIGHT)
    generators = stats_impl.get_generators(options, in_memory=True)
    accumulators = [generator.create_accumulator() for generator in generators]
    # Infinities and numbers near the largest float overflow TFDV's means, which is their true answer and no news.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for batch in _batches(features, weights):
            accumulators = [g.add_input(a, batch) for g, a in zip(generators, accumulators, strict=True)]
        result: Any = stats_impl.extract_statistics_output(accumulators, generators)
    if weights is not None:
        for dataset in result.datasets:
            kept = [feature for feature in dataset.features if list(feature.path.step) != [_WEIGHT]]
            del dataset.features[:]
            dataset.features.extend(kept)
    return bytes(result.SerializeToString(deterministic=True))


def infer_schema(serialized: bytes) -> bytes:
    """Return the serialized Schema that TFDV infers from serialized statistics."""
    import tensorflow_data_validation

    return bytes(
        tensorflow_data_validation.infer_schema(_statistics(serialized)).SerializeToString(deterministic=True),
    )


def validate(
    current: bytes,
    schema: bytes,
    *,
    environment: str | None = None,
    previous: bytes | None = None,
    serving: bytes | None = None,
) -> Validation:
    """Validate serialized statistics as `tfdv.validate_statistics` does.

    For skew, `current` is the training data and `serving` the window; for drift, `current` is the window.
    """
    import tensorflow_data_validation

    sides = [None if each is None else _statistics(each) for each in (current, previous, serving)]
    anomalies = tensorflow_data_validation.validate_statistics(
        sides[0],
        _measurable(schema, [side for side in sides if side is not None]),
        environment=environment,
        previous_statistics=sides[1],
        serving_statistics=sides[2],
    )
    return Validation(
        tuple(_anomalies(anomalies)),
        tuple(_measurements(anomalies, "skew_measurements")),
        tuple(_measurements(anomalies, "drift_measurements")),
    )


def _measurable(schema: bytes, sides: Sequence[Any]) -> Any:
    """Return the schema without the comparators of features that have no values on one side.

    There is nothing to measure, and TFDV says so on standard error, past any log level, for each of them.
    """
    parsed: Any = schema_pb2.Schema()
    parsed.ParseFromString(schema)
    filled = [
        {
            # Statistics of older versions of TFDV name a feature instead of giving its path.
            ".".join(feature.path.step) or feature.name
            for dataset in side.datasets
            for feature in dataset.features
            if (
                feature.num_stats if feature.HasField("num_stats") else feature.string_stats
            ).common_stats.num_non_missing
        }
        for side in sides
    ]
    for feature in parsed.feature:
        if not all(feature.name in names for names in filled):
            feature.ClearField("skew_comparator")
            feature.ClearField("drift_comparator")
    return parsed


def _anomalies(anomalies: Any) -> Iterator[Anomaly]:
    for key in sorted(anomalies.anomaly_info):
        info = anomalies.anomaly_info[key]
        yield from _reasons(".".join(info.path.step) or key, info)
    yield from _reasons(None, anomalies.dataset_anomaly_info)


def _reasons(feature: str | None, info: Any) -> Iterator[Anomaly]:
    error = info.severity == anomalies_pb2.AnomalyInfo.ERROR
    for reason in info.reason:
        name = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
        yield Anomaly(feature, name, reason.short_description, reason.description, error)


def _measurements(anomalies: Any, field: str) -> Iterator[Measurement]:
    names = {1: "infinity_norm", 2: "jensen_shannon_divergence", 3: "normalized_abs_difference"}
    for info in anomalies.drift_skew_info:
        for measurement in getattr(info, field):
            yield Measurement(
                ".".join(info.path.step), names.get(measurement.type, "unknown"), float(measurement.value)
            )


def _statistics(serialized: bytes) -> Any:
    parsed: Any = statistics_pb2.DatasetFeatureStatisticsList()
    parsed.ParseFromString(serialized)
    return parsed


def _batches(features: pa.Table, weights: npt.NDArray[np.float64] | None) -> Iterator[pa.RecordBatch]:
    if weights is not None:
        features = features.append_column(_WEIGHT, pa.array(weights))
    names = features.column_names
    rows = min(BATCH_ROWS, max(1, BATCH_VALUES // max(1, features.num_columns)))
    for start in range(0, features.num_rows, rows):
        part = features.slice(start, rows)
        yield pa.RecordBatch.from_arrays([_as_lists(part.column(i)) for i in range(len(names))], names)


def _as_lists(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as TFDV wants it: a list of values a row, null where nothing is there."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array.cast(pa.large_list(array.type.value_type))
    if pa.types.is_floating(array.type):
        # NaN counts as missing, as it does in TFDV's own reading of data frames.
        array = pa.array(array.to_numpy(zero_copy_only=False), type=pa.float64(), from_pandas=True)
    if array.null_count == 0:
        return pa.LargeListArray.from_arrays(pa.array(np.arange(len(array) + 1)), array)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(valid)])
    offsets = pa.array(ends, mask=np.concatenate([~valid, [False]]))
    return pa.LargeListArray.from_arrays(offsets, array.drop_null())
