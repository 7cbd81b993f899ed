"""Models that are run on rows: SavedModels and TF Lite flatbuffers; changes with how models are asked.

The one module here that is not pure: it imports TensorFlow, and runs what a model file says. Only load models that you trust.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import ConfigError, InputError
from monitor.evaluate.examples import Floats
from monitor.profile.explaining import Predict, saved_model_predict

_DECORATION = re.compile(r"^serving_default_|:\d+$")
"""What the converter adds to the names of a SavedModel's tensors."""
_BATCH_ROWS = 4_096

Tensors = Mapping[str, Any]


def model_predict(path: str, signature: str | None = None, output: str | None = None) -> Predict:
    """Load a model, and return what asks it for predictions: a SavedModel from a folder, a TF Lite flatbuffer from a file.

    A TF Lite model takes the columns that its inputs are named for, of shape (n,) or (n, k) for a column of lists; a missing
    number is NaN, or 0 where the model wants whole ones. Quantised inputs and outputs are turned from and into real numbers
    by the scales that the model holds.

    Args:
        path: folder or file.
        signature: to ask; "serving_default", or of TF Lite the only one, where none is named. A TF Lite model without
            signatures has its inputs and outputs only.
        output: that holds the prediction; the only one where none is named.

    Raises:
        ConfigError: there is no such model, signature or output.
        InputError: (when asked) rows lack a feature, or it is not of the type that the model wants.
    """
    if Path(path).is_file():
        return _lite(path, signature, output)
    return _saved(path, signature or "serving_default", output)


def _saved(path: str, signature: str, output: str | None) -> Predict:
    predict = saved_model_predict(path, signature, output)
    inputs = predict.__dict__["loaded"].signatures[signature].structured_input_signature[1]
    sizes = {spec.shape[0] for spec in inputs.values() if spec.shape.rank and spec.shape[0] is not None}
    return predict if not sizes else _in_batches(predict, min(sizes))


def _in_batches(predict: Predict, size: int) -> Predict:
    """Return what asks for `size` rows at a time; some models are exported for so many only."""

    def ask(rows: pa.Table) -> Floats:
        if rows.num_rows % size:
            raise InputError(
                f"the model answers {size} rows at a time, and {rows.num_rows:,} rows are no multiple of that"
            )
        answers = [predict(rows.slice(start, size)) for start in range(0, rows.num_rows, size)]
        return np.asarray(np.concatenate(answers), np.float64)

    return ask


def _interpreter(path: str) -> Any:
    """Return TF Lite's interpreter, from the package of its own where TensorFlow does not have it any more (since 2.20)."""
    for name in ("tensorflow.lite.python.interpreter", "ai_edge_litert.interpreter"):
        try:
            made = import_module(name).Interpreter
        except (ImportError, AttributeError):
            continue
        break
    else:
        raise ConfigError(f"{path}: TF Lite models take the package ai-edge-litert beside this TensorFlow")
    try:
        return made(model_path=path)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"{path}: not a TF Lite model that can be loaded ({_first_line(error)})") from error


def _lite(path: str, signature: str | None, output: str | None) -> Predict:
    interpreter = _interpreter(path)
    inputs, outputs, invoke = _signature(path, interpreter, signature) or _whole(interpreter)
    taken = _output(path, outputs, output)

    def predict(rows: pa.Table) -> Floats:
        parts = []
        for batch in _batches(rows, inputs):
            tensors = {name: _tensor(name, detail, batch) for name, detail in inputs.items()}
            try:
                answer = invoke(tensors)[taken]
            except (ValueError, RuntimeError) as error:
                raise InputError(f"{path}: the model does not take these rows ({_first_line(error)})") from error
            parts.append(_real(answer, outputs[taken]).reshape(batch.num_rows, -1))
        whole: Floats = np.concatenate(parts)
        return whole.ravel() if whole.shape[1] == 1 else whole

    return predict


Asked = tuple[Tensors, Tensors, Callable[[Tensors], Tensors]]
"""Details of inputs and of outputs by name, and what runs the model."""


def _signature(path: str, interpreter: Any, wanted: str | None) -> Asked | None:
    known = sorted(interpreter.get_signature_list())
    if not known:
        return None
    chosen = wanted or ("serving_default" if "serving_default" in known else known[0])
    if chosen not in known:
        raise ConfigError(f"{path}: there is no signature {chosen!r}; known: {', '.join(known)}")
    runner = interpreter.get_signature_runner(chosen)
    return runner.get_input_details(), runner.get_output_details(), lambda tensors: runner(**tensors)


def _whole(interpreter: Any) -> Asked:
    inputs = {_DECORATION.sub("", each["name"]): each for each in interpreter.get_input_details()}
    outputs = {_DECORATION.sub("", each["name"]): each for each in interpreter.get_output_details()}

    def invoke(tensors: Tensors) -> Tensors:
        for name, values in tensors.items():
            interpreter.resize_tensor_input(inputs[name]["index"], values.shape)
        interpreter.allocate_tensors()
        for name, values in tensors.items():
            interpreter.set_tensor(inputs[name]["index"], values)
        interpreter.invoke()
        return {name: interpreter.get_tensor(each["index"]) for name, each in outputs.items()}

    return inputs, outputs, invoke


def _batches(rows: pa.Table, inputs: Tensors) -> Iterator[pa.Table]:
    """Yield rows, as many at a time as the model was converted for, since its inner shapes may depend on that."""
    sizes = [int(each["shape_signature"][0]) for each in inputs.values() if len(each["shape_signature"])]
    size = min((each for each in sizes if each > 0), default=_BATCH_ROWS)
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def _tensor(name: str, detail: Mapping[str, Any], rows: pa.Table) -> Any:
    if name not in rows.column_names:
        raise InputError(f"the model asks for the feature {name!r}, and the rows have none of that name")
    column = rows.column(name)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_flatten(column)
    kind = np.dtype(detail["dtype"])
    if kind.kind in "OS":
        raise InputError(f"the model asks for texts in {name!r}; TF Lite models are asked for numbers only")
    try:
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"the model asks for numbers in {name!r}, and the rows have {column.type}") from error
    shape = tuple(detail["shape"][1:])
    if len(numbers) != rows.num_rows * int(np.prod(shape)):
        raise InputError(f"the model asks for {int(np.prod(shape))} numbers a row in {name!r}; the rows have others")
    values = numbers.reshape(rows.num_rows, *shape)
    scale, zero = detail["quantization"]
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        values = np.clip(np.round(np.nan_to_num(values) / (scale or 1.0)) + zero, limits.min, limits.max)
    return np.ascontiguousarray(values, kind)


def _real(values: Any, detail: Mapping[str, Any]) -> Floats:
    scale, zero = detail["quantization"]
    real = np.asarray(values, np.float64)
    return (real - zero) * scale if scale else real


def _output(path: str, outputs: Tensors, wanted: str | None) -> str:
    if wanted is None and len(outputs) == 1:
        return next(iter(outputs))
    if wanted not in outputs:
        raise ConfigError(f"{path}: say which output holds the prediction: {', '.join(sorted(outputs))}")
    return str(wanted)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
