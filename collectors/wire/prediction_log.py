"""TensorFlow Serving's PredictionLog: what its kinds of logs hold; changes with what is read of them.

Source: tensorflow_serving/apis/prediction_log.proto. A tensor's first dimension counts the instances of a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from collectors.dead_letter import Reason
from collectors.wire.answers import Choice, prediction_of
from collectors.wire.examples import columns_of, parsed_example, values_of
from collectors.wire.instances import MOST_INSTANCES
from collectors.wire.messages import DataType, ModelSpec, PackedPredictionLog
from collectors.wire.requests import Body, Message
from collectors.wire.tensors import MOST_VALUES, Column, column_of, listed, shape_of
from monitor.errors import InvalidRecord

_STRING: Final = int(DataType.DT_STRING)


class Spec(NamedTuple):
    """What a ModelSpec says; empty where it says nothing."""

    name: str
    version: str
    label: str
    signature: str


class _Logged(NamedTuple):
    """One log: its instances, their features and outputs, and the model specs that it holds, the surest first."""

    size: int
    features: dict[str, Column]
    outputs: dict[str, Column]
    specs: Sequence[bytes]


class PredictionLogReader:
    """Reads PredictionLog messages."""

    def __init__(self, choice: Choice) -> None:
        """Read with this choice of the outputs."""
        self._choice = choice

    def __call__(self, message: Message) -> Body:
        """Return what the log holds; raises InvalidRecord."""
        try:
            log = PackedPredictionLog.FromString(message.value)
            logged = _read(log, len(message.value))
        except DecodeError as error:
            raise InvalidRecord(Reason.NOT_A_LOG) from error
        size, features, outputs, specs = logged
        seconds, sampled = 0, 0.0
        if log.HasField("log_metadata"):
            metadata = log.log_metadata
            seconds, sampled = metadata.timestamp_secs, metadata.sampling_config.sampling_rate
            specs = [*specs, metadata.model_spec]
        model, version = _model_of(tuple(specs))
        return Body(
            size,
            features,
            prediction_of(outputs, size, self._choice),
            model,
            version,
            event_time=seconds * 1_000_000 if seconds else None,
            sampled=sampled,
        )


def _read(log: Any, most: int) -> _Logged:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        return _predict(log.predict_log, most)
    if kind == "classify_log":
        return _classify(log.classify_log)
    if kind == "regress_log":
        return _regress(log.regress_log)
    if kind == "multi_inference_log":
        return _multi_inference(log.multi_inference_log)
    if kind == "session_run_log":
        return _session_run(log.session_run_log, most)
    raise InvalidRecord(Reason.LOG_TYPE)  # a stream of many answers has none that is the prediction


def _predict(log: Any, most: int) -> _Logged:
    request, response = log.request, log.response
    size, features = _inputs(list(request.inputs.items()), most)
    outputs = _tensors(response.outputs.items(), most)[0] if response.outputs else {}
    return _Logged(size, features, outputs, (response.model_spec, request.model_spec))


def _session_run(log: Any, most: int) -> _Logged:
    request, response = log.request, log.response
    size, features = _inputs([(named.name, named.tensor) for named in request.feed], most)
    outputs = _tensors([(named.name, named.tensor) for named in response.tensor], most)[0]
    return _Logged(size, features, outputs, (response.model_spec, request.model_spec))


def _inputs(named: Sequence[tuple[str, Any]], most: int) -> tuple[int, dict[str, Column]]:
    """Return the number of instances, and the inputs by row; a scalar is the same for all instances."""
    columns, scalars = _tensors(named, most)
    if not columns:
        raise InvalidRecord(Reason.LOG_TYPE)
    sizes = set(
        map(len, [column for name, column in columns.items() if name not in scalars] if scalars else columns.values())
    )
    if len(sizes) > 1:
        raise InvalidRecord(Reason.BATCH)
    size = sizes.pop() if sizes else 1
    if len(scalars) * size > max(MOST_VALUES, most):
        raise InvalidRecord(Reason.TOO_LARGE)
    if scalars and size != 1:
        columns |= {name: [*listed(columns[name])] * size for name in scalars}
    if len(named) == 1:
        name, tensor = named[0]
        if tensor.dtype == _STRING and "example" in name:
            return size, columns_of([_values_of(content) for content in listed(columns[name])])
    return size, columns


def _tensors(named: Iterable[tuple[str, Any]], most: int) -> tuple[dict[str, Column], set[str]]:
    """Return tensors by row, and the names of those without a dimension; all together of `most` values, or not very many."""
    columns: dict[str, Column] = {}
    scalars: set[str] = set()
    total = 0
    for name, tensor in named:
        shape = shape_of(tensor.tensor_shape)
        if shape.rank:
            total += shape.size
            if shape.rows > MOST_INSTANCES or (total > MOST_VALUES and total > most):
                raise InvalidRecord(Reason.TOO_LARGE)
        else:
            scalars.add(name)
        columns[name] = column_of(tensor, shape)
    return columns, scalars


def _classify(log: Any) -> _Logged:
    request, response = log.request, log.response
    size, features = _examples(request.input)
    outputs: dict[str, Column] = {}
    if response.HasField("result"):
        outputs["classes"] = _classes(response.result)
    return _Logged(size, features, outputs, (response.model_spec, request.model_spec))


def _regress(log: Any) -> _Logged:
    request, response = log.request, log.response
    size, features = _examples(request.input)
    outputs: dict[str, Column] = {}
    if response.HasField("result"):
        outputs["value"] = [regression.value for regression in response.result.regressions]
    return _Logged(size, features, outputs, (response.model_spec, request.model_spec))


def _multi_inference(log: Any) -> _Logged:
    """Read the answers of several heads; each is an output that has the name of its signature, or of its method."""
    request, response = log.request, log.response
    size, features = _examples(request.input)
    outputs: dict[str, Column] = {}
    for number, result in enumerate(response.results):
        kind = result.WhichOneof("result")
        name = spec_of(result.model_spec).signature or (kind or "").removesuffix("_result") or str(number)
        if kind == "classification_result":
            outputs[name] = _classes(result.classification_result)
        elif kind == "regression_result":
            outputs[name] = [regression.value for regression in result.regression_result.regressions]
    specs = [result.model_spec for result in response.results] + [task.model_spec for task in request.tasks]
    return _Logged(size, features, outputs, specs)


def _classes(result: Any) -> list[object]:
    """Return for each instance its scores by label; as a list where the classes have no labels."""
    found: list[object] = []
    for classifications in result.classifications:
        classes = classifications.classes
        if any(one.label for one in classes):
            found.append({one.label: one.score for one in classes})
        else:
            found.append([one.score for one in classes])
    return found


def _examples(given: Any) -> tuple[int, dict[str, Column]]:
    kind = given.WhichOneof("kind")
    if kind is None:
        raise InvalidRecord(Reason.LOG_TYPE)
    listed = getattr(given, kind)
    rows = [values_of(example) for example in listed.examples]
    if kind == "example_list_with_context":
        # TensorFlow Serving puts the context before each example, so that what the example says goes first.
        context = values_of(listed.context)
        if len(context) * len(rows) > MOST_VALUES:
            raise InvalidRecord(Reason.TOO_LARGE)
        rows = [{**context, **row} for row in rows]
    return len(rows), columns_of(rows)


def _values_of(content: object) -> dict[str, object]:
    return values_of(parsed_example(content)) if isinstance(content, bytes) else {}


@lru_cache(maxsize=1024)
def spec_of(content: bytes) -> Spec:
    """Return what the bytes of a ModelSpec say; raises InvalidRecord."""
    try:
        spec = ModelSpec.FromString(content)
    except DecodeError as error:
        raise InvalidRecord(Reason.NOT_A_LOG) from error
    version = str(spec.version.value) if spec.HasField("version") else ""
    return Spec(spec.name, version, spec.version_label, spec.signature_name)


@lru_cache(maxsize=1024)
def _model_of(specs: tuple[bytes, ...]) -> tuple[str, str]:
    """Return model and version as the first of the specs with one says; a label stands in where none has a version."""
    known = [spec_of(spec) for spec in specs if spec]
    model = next((spec.name for spec in known if spec.name), "")
    version = next((spec.version for spec in known if spec.version), "")
    return model, version or next((spec.label for spec in known if spec.label), "")
