"""TensorFlow Serving's predict API: JSON to arrays, arrays to JSON. Pure; changes when that API does.

Source: https://www.tensorflow.org/tfx/serving/api_rest and tensorflow_serving/util/json_tensor.cc, whose words the errors have.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

Array = npt.NDArray[Any]

_DECIMAL = ("DT_FLOAT", "DT_DOUBLE")
_WHOLE: Mapping[str, type[np.integer[Any]]] = {
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
}


class InvalidArgument(Exception):
    """The request is answered 400; the message is for its sender."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Names and types (as DT_FLOAT) of a signature's inputs, and names of its outputs."""

    inputs: Mapping[str, str]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Call:
    """A predict request.

    Attributes:
        inputs: by name; in a row request all have one row an instance.
        by_row: whether it is answered by row (`predictions`) or by column (`outputs`).
    """

    signature: str
    inputs: Mapping[str, Array]
    by_row: bool

    @property
    def rows(self) -> int | None:
        """The number of instances; None where the inputs disagree or have no rows, and so cannot be put behind others."""
        sizes = {len(array) if array.ndim else None for array in self.inputs.values()}
        return sizes.pop() if len(sizes) == 1 else None


def parse(body: bytes, signatures: Mapping[str, Signature], default: str) -> Call:
    """Read the body of a predict request; raises InvalidArgument."""
    if not body:
        raise InvalidArgument("JSON Parse error: The document is empty")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise InvalidArgument("JSON Value: Is not object")
    named = request.get("signature_name", "")
    if not isinstance(named, str):
        raise InvalidArgument("JSON Value: not formatted correctly. 'signature_name' key must be a string value.")
    signature = signatures.get(named or default)
    if signature is None:
        raise InvalidArgument(f"Serving signature name: {json.dumps(named or default)} not found in signature def")
    if "instances" in request and "inputs" in request:
        raise InvalidArgument("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    with np.errstate(over="ignore"):  # numbers that single precision cannot hold are found and refused
        if "instances" in request:
            return Call(named or default, _rows(request["instances"], signature.inputs), by_row=True)
        if "inputs" in request:
            return Call(named or default, _columns(request["inputs"], signature.inputs), by_row=False)
    raise InvalidArgument("Missing 'inputs' or 'instances' key")


def answer(call: Call, outputs: Mapping[str, Array]) -> bytes:
    """Return the body that answers a call."""
    single = next(iter(outputs.values())) if len(outputs) == 1 else None
    if not call.by_row:
        return _json({"outputs": single if single is not None else dict(outputs)})
    rows = call.rows
    wrong = [name for name, array in outputs.items() if not array.ndim or len(array) != rows]
    if wrong:
        raise InvalidArgument(f"Tensor name: {wrong[0]} has inconsistent batch size; ask by column, with 'inputs'")
    if single is not None:
        return _json({"predictions": single})
    return _json({"predictions": [{name: array[row] for name, array in outputs.items()} for row in range(rows or 0)]})


def failure(message: str) -> bytes:
    """Return the body of an error."""
    return orjson.dumps({"error": message})


def _rows(instances: object, inputs: Mapping[str, str]) -> dict[str, Array]:
    if not isinstance(instances, list):
        raise InvalidArgument("JSON Value: Excepting 'instances' to be an list/array")
    if not instances:
        raise InvalidArgument("JSON Value: No values in 'instances' array")
    if not isinstance(instances[0], dict) or _is_base64(instances[0]):
        if len(inputs) > 1:
            raise InvalidArgument(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
                " tensorinfo_map"
            )
        ((name, dtype),) = inputs.items()
        return {name: _array(instances, dtype)}
    for at, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise InvalidArgument(f"Expecting object but got list at item {at} of input list.")
        if instance.keys() != inputs.keys():
            _refuse_names(instance, inputs)
    return {name: _array([instance[name] for instance in instances], dtype) for name, dtype in inputs.items()}


def _columns(given: object, inputs: Mapping[str, str]) -> dict[str, Array]:
    if not isinstance(given, dict) or _is_base64(given):
        if len(inputs) > 1:
            raise InvalidArgument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
                " tensorinfo_map"
            )
        ((name, dtype),) = inputs.items()
        return {name: _array(given, dtype)}
    if given.keys() != inputs.keys():
        _refuse_names(given, inputs)
    return {name: _array(given[name], dtype) for name, dtype in inputs.items()}


def _refuse_names(given: Mapping[str, object], inputs: Mapping[str, str]) -> None:
    for name in sorted(given.keys() - inputs.keys()):
        raise InvalidArgument(f"JSON object: does not have named input: {name}")
    missing = ", ".join(sorted(inputs.keys() - given.keys()))
    raise InvalidArgument(f"Missing named input: {missing}")


def _array(value: object, dtype: str) -> Array:
    flat, shape = _flattened(value)
    kinds = set(map(type, flat))
    if dtype in _DECIMAL:
        _require(kinds <= {int, float}, flat, dtype)
        return _decimals(flat, dtype).reshape(shape)
    if dtype in _WHOLE:
        _require(kinds <= {int}, flat, dtype)
        limits = np.iinfo(_WHOLE[dtype])
        _require(not flat or (limits.min <= min(flat) and max(flat) <= limits.max), flat, dtype)
        return np.array(flat, _WHOLE[dtype]).reshape(shape)
    if dtype == "DT_BOOL":
        _require(kinds <= {bool}, flat, dtype)
        return np.array(flat, np.bool_).reshape(shape)
    if dtype == "DT_STRING":
        _require(kinds <= {str, dict}, flat, dtype)
        return np.array([one.encode() if isinstance(one, str) else _bytes(one) for one in flat], object).reshape(shape)
    raise InvalidArgument(f"Conversion of JSON Value to type: {dtype.removeprefix('DT_').lower()}")


def _decimals(flat: list[Any], dtype: str) -> Array:
    try:
        exact = np.array(flat, np.float64)
    except OverflowError as error:
        raise InvalidArgument("Cannot convert JSON value to double without loss of precision.") from error
    if dtype == "DT_DOUBLE":
        return exact
    single = exact.astype(np.float32)
    infinite = np.isinf(single)
    if infinite.any() and np.isfinite(exact[infinite]).any():
        raise InvalidArgument("Cannot convert JSON value to float without loss of precision.")
    return single


def _flattened(value: object) -> tuple[list[Any], list[int]]:
    """Return the values in row-major order, and the shape."""
    if isinstance(value, list) and not any(isinstance(one, list) for one in value):
        return value, [len(value)]
    shape: list[int] = []
    flat: list[Any] = [value]
    while flat and isinstance(flat[0], list):
        if not all(isinstance(one, list) for one in flat):
            raise InvalidArgument(f"JSON Value: found at incorrect level: {len(shape) + 1} in the JSON DOM.")
        sizes = {len(one) for one in flat}
        if len(sizes) > 1:
            raise InvalidArgument(f"Encountered list at unexpected size: {max(sizes)} at level: {len(shape)}")
        shape.append(sizes.pop())
        flat = list(chain.from_iterable(flat))
    return flat, shape


def _require(holds: bool, flat: list[Any], dtype: str) -> None:
    if not holds:
        shown = json.dumps(flat[:3])[:80]
        raise InvalidArgument(f"JSON Value: {shown} is not of expected type: {dtype.removeprefix('DT_').lower()}")


def _is_base64(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _bytes(value: Mapping[str, Any]) -> bytes:
    if not _is_base64(value):
        raise InvalidArgument(f"JSON Value: {json.dumps(value)[:80]} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("Unable to base64 decode") from error


def _json(value: Mapping[str, Any]) -> bytes:
    """Write arrays as JSON: the shortest digits that are the number, and NaN and Infinity as TensorFlow Serving writes them."""
    if all(map(_is_plain, _arrays(value))):
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(value, default=_plain).encode()


def _is_plain(array: Array) -> bool:
    if not array.ndim or not array.flags.c_contiguous:
        return False
    return array.dtype.kind in "iub" or (array.dtype in (np.float32, np.float64) and bool(np.isfinite(array).all()))


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, dict):
        return [array for one in value.values() for array in _arrays(one)]
    if isinstance(value, list):
        return [array for one in value for array in _arrays(one)]
    return [value if isinstance(value, np.ndarray) else np.atleast_1d(value)]


def _plain(value: Any) -> object:
    listed = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(listed, bytes):
        try:
            return listed.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(listed).decode()}
    return listed
