"""Python and JSON values to tensors of a PredictionLog; changes with how values become tensors.

Whole numbers become DT_INT64 (DT_UINT64 or DT_DOUBLE where they do not fit), numbers with a fraction anywhere in a tensor
DT_DOUBLE, text DT_STRING, true and false DT_BOOL; numpy arrays keep their type.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from collectors.wire.messages import DataType, ModelSpec, PredictionLog, PredictRequest, PredictResponse, TensorProto
from monitor.errors import InvalidRecord

INPUT = "inputs"
"""Name of the only input, where a request does not name it and nobody knows its name."""
OUTPUT = "outputs"
"""Name of the only output, likewise."""

_NUMPY = {
    np.dtype(np.float16): DataType.DT_HALF,
    np.dtype(np.float32): DataType.DT_FLOAT,
    np.dtype(np.float64): DataType.DT_DOUBLE,
    np.dtype(np.int8): DataType.DT_INT8,
    np.dtype(np.int16): DataType.DT_INT16,
    np.dtype(np.int32): DataType.DT_INT32,
    np.dtype(np.int64): DataType.DT_INT64,
    np.dtype(np.uint8): DataType.DT_UINT8,
    np.dtype(np.uint16): DataType.DT_UINT16,
    np.dtype(np.uint32): DataType.DT_UINT32,
    np.dtype(np.uint64): DataType.DT_UINT64,
    np.dtype(np.bool_): DataType.DT_BOOL,
}


def tensor(value: Any) -> Any:
    """Return the TensorProto of a number, text, bytes, bool, `{"b64": ...}`, nested lists of one of these, or numpy array.

    Raises:
        InvalidRecord: lists of different lengths, mixed types, or something that is no value.
    """
    if isinstance(value, np.generic | np.ndarray):
        return _numpy_tensor(np.asarray(value))
    flat, shape = _flattened(value)
    made = TensorProto(tensor_shape={"dim": [{"size": size} for size in shape]})
    kinds = set(map(type, flat))
    if kinds <= {int}:
        _whole_numbers(made, flat)
    elif kinds <= {int, float}:
        made.dtype = DataType.DT_DOUBLE
        made.double_val.extend(flat)
    elif kinds <= {bool}:
        made.dtype = DataType.DT_BOOL
        made.bool_val.extend(flat)
    elif kinds <= {str, bytes, dict}:
        made.dtype = DataType.DT_STRING
        made.string_val.extend([as_bytes(one) for one in flat])
    elif any(issubclass(kind, np.generic | np.ndarray) for kind in kinds):
        return _stacked(value)
    else:
        raise InvalidRecord("a tensor holds values of different types")
    return made


def as_bytes(value: Any) -> bytes:
    """Return the bytes of text, bytes or `{"b64": ...}`; raises InvalidRecord for anything else."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if is_base64(value):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise InvalidRecord("base64 cannot be read") from error
    raise InvalidRecord("a tensor holds an object")


def is_base64(value: Any) -> bool:
    """Say whether this is TensorFlow Serving's way to write bytes in JSON."""
    return isinstance(value, dict) and value.keys() == {"b64"}


def tensors_of_rows(rows: Sequence[Any], unnamed: str) -> dict[str, Any]:
    """Return tensors whose first dimension counts the rows: a value each, or objects that all have the same keys.

    Raises:
        InvalidRecord: there is no row, or rows differ in their keys or shapes.
    """
    if not rows:
        raise InvalidRecord("a request without instances")
    first = rows[0]
    if not isinstance(first, Mapping) or is_base64(first):
        return {unnamed: tensor(list(rows))}
    names = first.keys()
    if any(not isinstance(row, Mapping) or row.keys() != names for row in rows):
        raise InvalidRecord("instances with different inputs")
    return {str(name): tensor([row[name] for row in rows]) for name in names}


def predict_log(
    features: Sequence[Mapping[str, Any]],
    predictions: Sequence[Any] | None,
    model: str,
    version: str,
    signature: str,
) -> Any:
    """Return the PredictionLog of instances and their predictions; a missing value of a single instance is left out."""
    if len(features) == 1:
        features = [{name: value for name, value in features[0].items() if value is not None}]
    spec = model_spec(model, signature, version)
    log = PredictionLog()
    log.predict_log.request.CopyFrom(PredictRequest(model_spec=spec, inputs=tensors_of_rows(features, INPUT)))
    if predictions is not None and predictions != [None]:
        if len(predictions) != len(features):
            raise InvalidRecord("not one prediction for each instance")
        outputs = tensors_of_rows(predictions, OUTPUT)
        log.predict_log.response.CopyFrom(PredictResponse(model_spec=spec, outputs=outputs))
    return log


def model_spec(model: str, signature: str = "", version: str = "", label: str = "") -> Any:
    """Return the ModelSpec; a version that is no number has no place in it."""
    spec = ModelSpec(name=model, signature_name=signature)
    if label:
        spec.version_label = label
    elif version.isascii() and version.isdigit() and int(version) < 2**63:
        spec.version.value = int(version)
    return spec


def size_of(value: Any) -> int:
    """Return about how many bytes a value takes; every number counts as a Python object."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, str | bytes):
        return 56 + len(value)
    if isinstance(value, Mapping):
        return sum(64 + size_of(one) for one in value.values())
    if isinstance(value, Sequence):
        return 56 + sum(8 + size_of(one) for one in value)
    return 32


def _flattened(value: Any) -> tuple[list[Any], list[int]]:
    """Return the values in row-major order, and the shape."""
    shape: list[int] = []
    flat = [value]
    while flat and isinstance(flat[0], list | tuple):
        lengths = set(map(len, flat)) if all(isinstance(one, list | tuple) for one in flat) else set()
        if len(lengths) != 1:
            raise InvalidRecord("a tensor with rows of different lengths")
        shape.append(lengths.pop())
        flat = list(chain.from_iterable(flat))
    return flat, shape


def _whole_numbers(made: Any, flat: list[int]) -> None:
    smallest, largest = min(flat, default=0), max(flat, default=0)
    if smallest >= -(2**63) and largest < 2**63:
        made.dtype = DataType.DT_INT64
        made.int64_val.extend(flat)
    elif smallest >= 0 and largest < 2**64:
        made.dtype = DataType.DT_UINT64
        made.uint64_val.extend(flat)
    else:
        made.dtype = DataType.DT_DOUBLE
        made.double_val.extend(map(_as_double, flat))


def _as_double(number: int) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise InvalidRecord("a number beyond a double's range") from error


def _stacked(value: Any) -> Any:
    try:
        return _numpy_tensor(np.asarray(value))
    except ValueError as error:
        raise InvalidRecord("arrays of different shapes") from error


def _numpy_tensor(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind in "SU":
        return tensor(array.tolist())
    if array.dtype.kind == "O" and not any(isinstance(one, np.ndarray | np.generic) for one in array.flat):
        return tensor(array.tolist())
    kind = _NUMPY.get(array.dtype.newbyteorder("="))
    if kind is None:
        raise InvalidRecord("a tensor of a type that has no place in TensorFlow")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return TensorProto(
        dtype=kind, tensor_shape={"dim": [{"size": size} for size in array.shape]}, tensor_content=little.tobytes()
    )
