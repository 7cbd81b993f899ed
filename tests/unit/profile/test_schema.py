from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from monitor.errors import InputError
from monitor.profile.baseline import column_types_of, parse_schema
from monitor.profile.schema import serving_environment, thresholds, with_comparators, with_environments
from monitor.records import FeatureType, ValueType

TEXT = b"""
feature { name: "plain" type: INT }
feature { name: "one" type: FLOAT value_count { min: 1 max: 1 } }
feature { name: "many" type: BYTES value_count { min: 1 } }
feature { name: "up_to_three" type: INT value_count { min: 0 max: 3 } }
feature { name: "shaped" type: FLOAT shape { dim { size: 1 } } }
feature { name: "matrix" type: FLOAT shape { dim { size: 2 } dim { size: 2 } } }
feature { name: "scalar" type: BYTES shape { } }
feature { name: "nested" type: STRUCT }
"""


def test_column_types_follow_shape_and_value_count() -> None:
    assert column_types_of(parse_schema(TEXT)) == {
        "plain": FeatureType(ValueType.INT),
        "one": FeatureType(ValueType.FLOAT),
        "many": FeatureType(ValueType.BYTES, multivalent=True),
        "up_to_three": FeatureType(ValueType.INT, multivalent=True),
        "shaped": FeatureType(ValueType.FLOAT),
        "matrix": FeatureType(ValueType.FLOAT, multivalent=True),
        "scalar": FeatureType(ValueType.BYTES),
    }


def test_a_binary_schema_reads_as_its_text_does() -> None:
    schema = text_format.Parse(TEXT.decode(), schema_pb2.Schema())
    assert parse_schema(schema.SerializeToString()) == parse_schema(TEXT)


@pytest.mark.parametrize(
    "content",
    [b"", b"feature { nam: 3 }", b"\xff\xfe\x00rubbish", b"hello,world\n1,2\n"],
    ids=["an empty file", "text with an unknown field", "rubbish", "a table"],
)
def test_what_is_no_schema_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_schema(content)
    assert "\n" not in str(caught.value)


def test_comparators_are_added_to_a_copy_and_the_users_thresholds_stay() -> None:
    text = 'feature { name: "a" type: BYTES skew_comparator { infinity_norm { threshold: 0.25 } } }'
    schema = parse_schema((text + ' feature { name: "b" type: INT }').encode())
    assert list(thresholds(schema)) == [("a", "skew", "infinity_norm", 0.25)]
    extended = set(thresholds(with_comparators(schema, {"c": FeatureType(ValueType.FLOAT)})))
    assert ("a", "skew", "infinity_norm", 0.25) in extended
    assert {(name, measure) for name, side, measure, _ in extended if side == "drift"} == {
        ("a", "infinity_norm"),
        ("a", "jensen_shannon_divergence"),
        ("b", "jensen_shannon_divergence"),
        ("c", "jensen_shannon_divergence"),
    }
    assert list(thresholds(schema)) == [("a", "skew", "infinity_norm", 0.25)]


def test_the_label_belongs_to_training_only() -> None:
    schema = schema_pb2.Schema()
    schema.ParseFromString(with_environments(parse_schema(TEXT), "one"))
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]
    assert {f.name: list(f.not_in_environment) for f in schema.feature if f.not_in_environment} == {"one": ["SERVING"]}
    assert serving_environment(schema.SerializeToString()) == "SERVING"
    assert serving_environment(parse_schema(TEXT)) is None
