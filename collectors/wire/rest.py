"""Bodies of model servers' REST APIs to columns, and messages that hold a request with its response; changes with those APIs.

Sources: tensorflow.org/tfx/serving/api_rest (row and columnar format, classify, regress), the Open Inference Protocol v2, and
Seldon Core's v1 payload. A row of one value is that value, as in tensors.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collectors.dead_letter import Reason
from collectors.wire import times
from collectors.wire.answers import Choice, prediction_of
from collectors.wire.examples import columns_of
from collectors.wire.flatten import flat_list, flattened
from collectors.wire.instances import MOST_INSTANCES
from collectors.wire.parsing import parse_object
from collectors.wire.requests import Body, Message
from collectors.wire.tensors import MOST_VALUES, Column
from collectors.wire.values import as_double
from monitor.errors import InvalidRecord

_ALONE = "input"
"""Name of the only input of a request that gives it none."""
_ANSWER = "prediction"


class _Batch(NamedTuple):
    size: int
    columns: dict[str, Column]


class PairReader:
    """Reads messages with a request and its response, and what is known of both, as one JSON object."""

    def __init__(self, choice: Choice) -> None:
        """Read with this choice of the outputs."""
        self._choice = choice

    def __call__(self, message: Message) -> Body:
        """Return what the pair holds; raises InvalidRecord."""
        pair = parse_object(message.value)
        latency = pair.get("latency_seconds")
        status = pair.get("status")
        sampled = pair.get("sampling_rate")
        body = body_of(pair.get("request"), pair.get("response"), self._choice)
        return body._replace(
            model=_text(pair.get("model"), Reason.MODEL),
            version=_text(pair.get("version"), Reason.VERSION),
            request_id=_text(pair.get("request_id"), Reason.REQUEST_ID) or body.request_id,
            event_time=moment_of(pair.get("event_time")),
            latency=float(latency) if type(latency) in (int, float) else None,  # type: ignore[arg-type]
            status=None if status is None else str(status),
            sampled=0.0 if sampled is None else _rate(sampled),
        )


def body_of(request: object, response: object, choice: Choice) -> Body:
    """Return the instances of a request with the predictions of its response (None: there is none); raises InvalidRecord."""
    if type(request) is not dict or not (response is None or type(response) is dict):
        raise InvalidRecord(Reason.NOT_A_PAIR)
    size, features = _request(request)
    outputs = {} if response is None else _response(response)
    found = _text(request.get("id"), Reason.REQUEST_ID) or _text((response or {}).get("id"), Reason.REQUEST_ID)
    return Body(size, features, prediction_of(outputs, size, choice), request_id=found)


def moment_of(value: object) -> int | None:
    """Return microseconds of an RFC 3339 text or epoch seconds, None for none; raises InvalidRecord."""
    if value is None:
        return None
    if isinstance(value, str):
        micros = times.micros_of_text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        micros = times.micros_of_number(as_double(value))
    else:
        micros = times.INVALID
    if micros == times.NO_ZONE:
        raise InvalidRecord(Reason.EVENT_TIME_ZONE)
    if micros == times.INVALID:
        raise InvalidRecord(Reason.EVENT_TIME)
    return micros


def _request(request: Mapping[str, object]) -> _Batch:
    instances, inputs, examples, data = (request.get(name) for name in ("instances", "inputs", "examples", "data"))
    if type(instances) is list:
        return _rows(instances, {}, _ALONE)
    if type(examples) is list:
        context = request.get("context")
        return _rows(examples, context if type(context) is dict else {}, _ALONE)
    if inputs is not None:
        return _columns(inputs, _ALONE)
    if type(data) is dict:
        return _seldon(data, _ALONE)
    raise InvalidRecord(Reason.NOT_A_PAIR)


def _response(response: Mapping[str, object]) -> dict[str, Column]:
    predictions, outputs, results, data = (response.get(name) for name in ("predictions", "outputs", "results", "data"))
    if type(predictions) is list:
        return _rows(predictions, {}, _ANSWER).columns
    if type(results) is list:
        return {_ANSWER: [_scores(result) for result in results]}
    if outputs is not None:
        return _columns(outputs, _ANSWER).columns
    if type(data) is dict:
        return _seldon(data, _ANSWER).columns
    return {}  # an error has no predictions


def _rows(instances: list[object], context: Mapping[str, object], alone: str) -> _Batch:
    """Read the row format: an object of features an instance, or a value of the only input."""
    size = len(instances)
    if size > MOST_INSTANCES or size * len(context) > MOST_VALUES:
        raise InvalidRecord(Reason.TOO_LARGE)
    rows: list[Mapping[str, object]] = []
    for instance in instances:
        plain = _decoded(instance)
        if type(plain) is dict:
            features = flattened({**context, **plain} if context else plain)
            rows.append({name: _cell(value) for name, value in features.items()})
        else:
            rows.append({alone: _cell(plain)})
    return _Batch(size, columns_of(rows) if rows else {})


def _columns(inputs: object, alone: str) -> _Batch:
    """Read the columnar format, or the tensors of version 2: an array an input, whose first dimension counts the instances."""
    if type(inputs) is list and inputs and all(type(one) is dict and "name" in one and "data" in one for one in inputs):
        return _together({_name(one["name"]): _tensor(one) for one in inputs})
    named = _decoded(inputs) if type(inputs) is dict else {alone: _decoded(inputs)}
    if type(named) is not dict:
        raise InvalidRecord(Reason.NOT_A_PAIR)
    columns: dict[str, list[object]] = {}
    scalars: dict[str, object] = {}
    for name, values in flattened_columns(named).items():
        if type(values) is list:
            columns[name] = [_cell(value) for value in values]
        else:
            scalars[name] = values
    size = len(next(iter(columns.values()))) if columns else 1
    if size * len(scalars) > MOST_VALUES:
        raise InvalidRecord(Reason.TOO_LARGE)
    return _together({**columns, **{name: [value] * size for name, value in scalars.items()}})


def flattened_columns(named: Mapping[str, object]) -> Mapping[str, object]:
    """Return the inputs by name, those within objects as `outer.inner`; lists are left as they are. Raises InvalidRecord."""
    flat: dict[str, object] = {}
    for name, value in named.items():
        if type(value) is dict:
            for inner, content in value.items():
                if type(content) is dict:
                    raise InvalidRecord(Reason.NESTED_FEATURE)
                flat[f"{name}.{inner}"] = content
        else:
            flat[name] = value
    return flat


def _together(columns: Mapping[str, list[object]]) -> _Batch:
    sizes = {len(column) for column in columns.values()}
    if len(sizes) != 1:
        raise InvalidRecord(Reason.BATCH if sizes else Reason.NOT_A_PAIR)
    (size,) = sizes
    if size > MOST_INSTANCES:
        raise InvalidRecord(Reason.TOO_LARGE)
    return _Batch(size, dict(columns))


def _tensor(tensor: Mapping[str, object]) -> list[object]:
    shape, data = tensor.get("shape"), tensor["data"]
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape) or type(data) is not list:
        raise InvalidRecord(Reason.TENSOR)
    return _shaped(data, shape)


def _shaped(data: list[object], shape: Sequence[int]) -> list[object]:
    flat = flat_list(data)
    rows = shape[0] if shape else 1
    if rows > MOST_INSTANCES:
        raise InvalidRecord(Reason.TOO_LARGE)
    width = math.prod(shape[1:])
    if rows * width != len(flat):
        raise InvalidRecord(Reason.TENSOR)
    return [_cell(flat[start * width : (start + 1) * width]) for start in range(rows)]


def _seldon(data: Mapping[str, object], alone: str) -> _Batch:
    """Read Seldon's payload: a matrix, whose columns are features where they have names."""
    tensor, array, names = data.get("tensor"), data.get("ndarray"), data.get("names")
    if type(tensor) is dict:
        rows = _tensor({"shape": tensor.get("shape"), "data": tensor.get("values")})
    elif type(array) is list:
        if len(array) > MOST_INSTANCES:
            raise InvalidRecord(Reason.TOO_LARGE)
        rows = [_cell(row) for row in array]
    else:
        raise InvalidRecord(Reason.NOT_A_PAIR)
    if type(names) is not list or not names:
        return _Batch(len(rows), {alone: rows})
    split = [row if type(row) is list else [row] for row in rows]
    if any(len(row) != len(names) for row in split):
        raise InvalidRecord(Reason.TENSOR)
    return _Batch(len(rows), {_name(name): [row[number] for row in split] for number, name in enumerate(names)})


def _scores(result: object) -> object:
    """Return the answer of classify (pairs of label and score) as an object, and of regress as it is."""
    if type(result) is not list:
        return _cell(result)
    scores: dict[str, object] = {}
    for pair in result:
        if type(pair) is not list or len(pair) != 2 or type(pair[1]) in (dict, list):
            raise InvalidRecord(Reason.NOT_A_PAIR)
        scores[str(pair[0])] = pair[1]
    return list(scores.values()) if set(scores) == {""} else scores


def _cell(value: object) -> object:
    """Return what a row holds: a scalar, a list of several, or None for an empty list."""
    if type(value) is dict:
        raise InvalidRecord(Reason.NESTED_FEATURE)
    if type(value) is not list:
        return value
    flat = flat_list(value)
    if len(flat) == 1:
        return flat[0]
    return flat or None


def _decoded(value: object, depth: int = 0) -> object:
    """Replace `{"b64": "..."}`, TensorFlow Serving's way to send bytes, by these as text."""
    if depth > 32:
        raise InvalidRecord(Reason.NESTED_FEATURE)
    if type(value) is list:
        if not any(type(element) in (dict, list) for element in value):
            return value
        return [_decoded(element, depth + 1) for element in value]
    if type(value) is not dict:
        return value
    if set(value) == {"b64"}:
        try:
            return b64decode(value["b64"], validate=True).decode("utf-8", "backslashreplace")
        except (TypeError, ValueError, binascii.Error) as error:
            raise InvalidRecord(Reason.NOT_A_PAIR) from error
    return {name: _decoded(content, depth + 1) for name, content in value.items()}


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidRecord(Reason.NOT_A_PAIR)
    return name


def _text(value: object, reason: Reason) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    raise InvalidRecord(reason)


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InvalidRecord(Reason.SAMPLING_RATE)
    return float(value)
