"""Our message definitions against those of tensorflow-serving-api, which imports TensorFlow: seconds, so marked slow."""

from __future__ import annotations

from typing import Any

import pytest

from collectors.wire import messages as pb
from tests.unit.collectors.wire.logs import block, decode, rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def apis() -> Any:
    return pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


def differences(mine: Any, theirs: Any, seen: set[str]) -> list[str]:
    """Return what is not the same on the wire, message by message."""
    if mine.full_name in seen:
        return []
    seen.add(mine.full_name)
    found = []
    for field in mine.fields:
        other = theirs.fields_by_number.get(field.number)
        where = f"{theirs.full_name}.{field.name}"
        if other is None or other.name != field.name:
            found.append(f"{where} is not number {field.number}")
            continue
        kinds = {field.type, other.type}  # an enumeration is an int32 on the wire
        if len(kinds) > 1 and kinds != {field.TYPE_INT32, field.TYPE_ENUM}:
            found.append(f"{where} has another type")
        if (field.containing_oneof is None) != (other.containing_oneof is None):
            found.append(f"{where} is in a oneof or is not")
        if field.message_type is not None and other.message_type is not None:
            if field.message_type.GetOptions().map_entry != other.message_type.GetOptions().map_entry:
                found.append(f"{where} is a map or is not")
            found += differences(field.message_type, other.message_type, seen)
    return found


def test_every_field_has_its_number_its_name_and_its_type(apis: Any) -> None:
    seen: set[str] = set()
    assert differences(pb.PredictionLog.DESCRIPTOR, apis.PredictionLog.DESCRIPTOR, seen) == []
    assert len(seen) > 40


def test_data_types_are_numbered_as_in_tensorflow(apis: Any) -> None:
    from tensorflow.core.framework import types_pb2

    assert {kind.name: kind.value for kind in pb.DataType} == {
        kind.name: types_pb2.DataType.Value(kind.name) for kind in pb.DataType
    }


def test_a_log_made_by_tensorflow_is_decoded(apis: Any) -> None:
    import numpy as np
    import tensorflow as tf

    log = apis.PredictionLog()
    inputs = log.predict_log.request.inputs
    log.predict_log.request.model_spec.version.value = 9
    inputs["count"].CopyFrom(tf.make_tensor_proto(np.array([1, 2], dtype=np.int64)))
    inputs["speed"].CopyFrom(tf.make_tensor_proto(tf.constant([0.5, 0.25], tf.bfloat16)))
    inputs["carrier"].CopyFrom(tf.make_tensor_proto([b"UA", b"AA"]))
    inputs["scores"].CopyFrom(tf.make_tensor_proto(np.ones((2, 3), dtype=np.float16)))
    log.predict_log.response.outputs["p"].CopyFrom(tf.make_tensor_proto([[0.5], [0.75]]))
    found = rows(decode("prediction_log", block(log.SerializeToString())))
    assert [
        (row["feature.count"], row["feature.speed"], row["feature.carrier"], row["prediction"]) for row in found
    ] == [
        (1, 0.5, "UA", 0.5),
        (2, 0.25, "AA", 0.75),
    ]
    assert [row["feature.scores"] for row in found] == [[1.0, 1.0, 1.0]] * 2
    again = pb.PredictionLog.FromString(log.SerializeToString())
    assert again.SerializeToString(deterministic=True) == log.SerializeToString(deterministic=True)
