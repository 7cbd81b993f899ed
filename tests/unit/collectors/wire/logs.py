"""Messages for the tests of wire formats: tensors, logs, blocks with headers, and how they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from collectors.source import Block, Half
from collectors.wire import headers as names
from collectors.wire import messages as pb
from collectors.wire.answers import Choice
from collectors.wire.blocks import Decoded, Envelope
from collectors.wire.cloudevents import EventReader
from collectors.wire.prediction_log import PredictionLogReader
from collectors.wire.requests import Body, Message, RequestDecoder, Roles
from collectors.wire.rest import PairReader
from collectors.wire.tf_example import ExampleReader
from monitor.cuts import Partition
from monitor.records import FeatureType, SpanKind, ValueType

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = {
    "count": FeatureType(ValueType.INT),
    "speed": FeatureType(ValueType.FLOAT),
    "carrier": FeatureType(ValueType.BYTES),
    "scores": FeatureType(ValueType.FLOAT, multivalent=True),
}
ENVELOPE = Envelope(SpanKind.TRAFFIC, {"flights": TYPES}, {"flights": timedelta(hours=1)})
TWO_MODELS = Envelope(
    SpanKind.TRAFFIC, {"flights": TYPES, "taxis": {}}, dict.fromkeys(("flights", "taxis"), timedelta(hours=1))
)
READERS: dict[str, Callable[[Choice], Callable[[Message], Body | None]]] = {
    "prediction_log": PredictionLogReader,
    "tf_example": ExampleReader,
    "rest": PairReader,
    "cloudevents": EventReader,
}

HEADERS = {
    names.REQUEST_ID: b"r-1",
    names.MODEL: b"flights",
    names.VERSION: b"7",
    names.EVENT_TIME: b"2026-02-28T12:00:00.5Z",
}


def tensor(values: object, dtype: pb.DataType, field: str | None = None, shape: Sequence[int] | None = None) -> Any:
    """Return a TensorProto with the values in `field`, or as tensor_content."""
    array = np.asarray(values)
    message = pb.TensorProto(dtype=dtype)
    for size in array.shape if shape is None else shape:
        message.tensor_shape.dim.add(size=size)
    if field is None:
        message.tensor_content = array.tobytes()
    else:
        getattr(message, field).extend(array.ravel().tolist())
    return message


def floats(*values: object) -> Any:
    return tensor(values, pb.DataType.DT_FLOAT, "float_val")


def integers(*values: object) -> Any:
    return tensor(values, pb.DataType.DT_INT64, "int64_val")


def strings(*values: bytes) -> Any:
    message = pb.TensorProto(dtype=pb.DataType.DT_STRING, string_val=values)
    message.tensor_shape.dim.add(size=len(values))
    return message


def predict(inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Any:
    log = pb.PredictionLog()
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(value)
    for name, value in (outputs or {}).items():
        log.predict_log.response.outputs[name].CopyFrom(value)
    return log


def example(**features: object) -> Any:
    """Return a tf.Example; a list's first value tells its kind."""
    message = pb.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        feature = message.features.feature[name]
        if not values:
            feature.float_list.SetInParent()
        elif isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return message


def block(
    *values: bytes | None,
    headers: Mapping[str, bytes] | Sequence[Mapping[str, bytes]] = HEADERS,
    timestamp: int = -1,
    counterparts: Sequence[Half | None] = (),
) -> Block:
    each = [headers] * len(values) if isinstance(headers, Mapping) else headers
    return Block(
        Partition("topic", 0, "requests"),
        1,
        0,
        len(values),
        np.arange(len(values)),
        values,
        headers=[list(one.items()) for one in each],
        timestamps=np.full(len(values), timestamp, dtype=np.int64),
        counterparts=counterparts,
    )


def decode(
    form: str,
    given: Block,
    choice: Choice | None = None,
    roles: Roles | None = None,
    envelope: Envelope = ENVELOPE,
) -> Decoded:
    reader = READERS[form](choice or Choice())
    return RequestDecoder(envelope, reader, roles or Roles()).decode(given, NOW)


def rows(decoded: Decoded, model: str = "flights") -> list[dict[str, Any]]:
    assert not decoded.dead, decoded.dead
    return [dict(row) for row in decoded.parts[model].to_pylist()]


def reasons(decoded: Decoded) -> list[str]:
    assert not decoded.parts
    return [reason for _, reason in decoded.dead]
