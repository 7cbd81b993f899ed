"""Schemas of TensorFlow Metadata: reading, column types, comparators; changes when TFMD's schema does. No TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import schema_pb2

from monitor.errors import InputError
from monitor.records import ColumnTypes, FeatureType, ValueType

TRAINING = "TRAINING"
SERVING = "SERVING"
_NEVER = 1.0
"""L-infinity and Jensen-Shannon are at most 1 and TFDV flags only values above the threshold, so this never flags."""

_VALUE_TYPES = {
    schema_pb2.INT: ValueType.INT,
    schema_pb2.FLOAT: ValueType.FLOAT,
    schema_pb2.BYTES: ValueType.BYTES,
}


def parse_schema(text_or_binary: bytes) -> bytes:
    """Read a schema as text (`schema.pbtxt`) or binary (`schema.pb`), and return it serialized.

    Raises:
        InputError: it is neither, or holds no features.
    """
    schema: Any = schema_pb2.Schema()
    try:
        text_format.Parse(text_or_binary.decode("utf-8"), schema)
    except (UnicodeDecodeError, text_format.ParseError) as text_problem:
        schema = schema_pb2.Schema()
        try:
            schema.ParseFromString(text_or_binary)
        except DecodeError:
            problem = " ".join(str(text_problem).split())
            raise InputError(f"the schema is neither a text nor a binary TFMD Schema ({problem})") from text_problem
    if not any(feature.name for feature in schema.feature):
        raise InputError("the schema holds no features; give a TFMD Schema such as TFDV writes (schema.pbtxt)")
    return bytes(schema.SerializeToString(deterministic=True))


def column_types_of(schema: bytes) -> ColumnTypes:
    """Return the types of a serialized schema's features; structs and features without a type are left out.

    A feature is multivalent where its shape holds more than one value, or its `value_count` allows more than one.
    """
    parsed = _parsed(schema)
    return {
        feature.name: FeatureType(_VALUE_TYPES[feature.type], _multivalent(feature))
        for feature in parsed.feature
        if feature.type in _VALUE_TYPES
    }


def with_environments(schema: bytes, label: str | None) -> bytes:
    """Return the schema with the environments TRAINING and SERVING, the label belonging to TRAINING only."""
    parsed = _parsed(schema)
    parsed.default_environment.extend(e for e in (TRAINING, SERVING) if e not in parsed.default_environment)
    for feature in parsed.feature:
        if feature.name == label:
            feature.not_in_environment.append(SERVING)
    return bytes(parsed.SerializeToString(deterministic=True))


def serving_environment(schema: bytes) -> str | None:
    """Return "SERVING" where the schema declares that environment, else None."""
    return SERVING if SERVING in _parsed(schema).default_environment else None


def with_comparators(schema: bytes, extra: ColumnTypes) -> bytes:
    """Return a copy in which TFDV measures every feature's skew and drift, without flagging what the user did not ask for.

    Args:
        schema: the serialized schema; comparators that are in it stay as they are.
        extra: features to add where the schema lacks them, so that they are measured too (the prediction).
    """
    parsed = _parsed(schema)
    known = {feature.name for feature in parsed.feature}
    for name, kind in extra.items():
        if name not in known:
            parsed.feature.add(name=name, type=schema_pb2.FeatureType.Value(str(kind.value)))
    for feature in parsed.feature:
        for comparator in (feature.skew_comparator, feature.drift_comparator):
            for measure in _measures(feature):
                if not comparator.HasField(measure):
                    getattr(comparator, measure).threshold = _NEVER
    return bytes(parsed.SerializeToString(deterministic=True))


def thresholds(schema: bytes) -> Iterator[tuple[str, str, str, float]]:
    """Yield (feature, "skew" or "drift", measure, threshold) of every comparator that the schema sets."""
    for feature in _parsed(schema).feature:
        for side in ("skew", "drift"):
            field = f"{side}_comparator"
            if not feature.HasField(field):
                continue
            comparator = getattr(feature, field)
            for measure in ("infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference"):
                if measure in comparator.DESCRIPTOR.fields_by_name and comparator.HasField(measure):
                    yield feature.name, side, measure, float(getattr(comparator, measure).threshold)


def without(schema: bytes, names: Iterable[str]) -> bytes:
    """Return a copy of the schema without the named features."""
    parsed = _parsed(schema)
    dropped = set(names)
    kept = [feature for feature in parsed.feature if feature.name not in dropped]
    del parsed.feature[:]
    parsed.feature.extend(kept)
    return bytes(parsed.SerializeToString(deterministic=True))


def _parsed(schema: bytes) -> Any:
    parsed: Any = schema_pb2.Schema()
    parsed.ParseFromString(schema)
    return parsed


def _multivalent(feature: Any) -> bool:
    if feature.HasField("shape"):
        return math.prod(int(dim.size) for dim in feature.shape.dim) != 1
    if feature.HasField("value_count"):
        return int(feature.value_count.max) != 1
    return bool(feature.HasField("value_counts"))


def _measures(feature: Any) -> tuple[str, ...]:
    # L-infinity silently measures 0 on numbers, so only categories get it.
    if feature.type == schema_pb2.BYTES or feature.int_domain.is_categorical:
        return ("infinity_norm", "jensen_shannon_divergence")
    return ("jensen_shannon_divergence",) if feature.type in (schema_pb2.INT, schema_pb2.FLOAT) else ()
