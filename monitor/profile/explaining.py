"""Attributions computed from a model: what each feature adds to each prediction; changes with how models are asked.

Loading a SavedModel runs the code of whoever made it, and imports TensorFlow, which takes ten seconds. A job does so in a
process of its own, without secrets and with limits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import ConfigError, InputError
from monitor.profile.document import Floats

Predict = Callable[[pa.Table], Floats]
"""Rows of features to predictions: (n,), or (n, k) for k outputs such as the probabilities of classes."""

_BATCH_ROWS = 32_768


def permutation_attributions(
    predict: Predict, features: pa.Table, background: pa.Table, *, columns: list[str] | None = None, samples: int = 16
) -> dict[str, Floats]:
    """Return, by feature, what its value added to each prediction (n,): the prediction less what others' values give.

    A row's attribution to a feature is its prediction less the mean of those in which the feature has the values of `samples`
    rows of the background and all others stay: the interventional form of leaving one feature out (Janzing et al. 2020,
    Feature relevance quantification in explainable AI; Breiman 2001 permutes in the same way). Effects that only two features
    have together count for each of them. With k outputs it is half the sum over them of the absolute differences.

    The background decides what is compared, so take the same for training and for serving: the rows that the baseline keeps.
    Every row meets the same background rows, so that its attribution depends on no other row of the window.

    Args:
        predict: the model; it is asked for n * samples rows a feature, in batches.
        features: n rows.
        background: at least `samples` rows with the same columns; evenly spaced ones of them are taken.
        columns: the features to attribute to; all by default.
        samples: values of the background that each value is compared with.

    Raises:
        InputError: the background has no rows, or lacks a column.
    """
    if background.num_rows == 0:
        raise InputError("there are no background rows to compare attributions with")
    names = features.column_names if columns is None else columns
    missing = sorted(set(names) - set(background.column_names))
    if missing:
        raise InputError(f"the background rows have no column {missing[0]!r}")
    chosen = np.unique(np.linspace(0, background.num_rows - 1, samples).astype(np.int64))
    others = background.select(names).take(pa.array(chosen))
    asked = _rows_first(predict(features), features.num_rows)
    return {name: _attributed(predict, features, others.column(name), asked, name) for name in names}


def _attributed(predict: Predict, features: pa.Table, values: pa.ChunkedArray, asked: Floats, name: str) -> Floats:
    """Return (n,) the predictions less the mean of those with the values of others, batch by batch of rows."""
    place, n, k = features.column_names.index(name), features.num_rows, len(values)
    step = max(1, _BATCH_ROWS // k)
    parts = [np.empty(0)]
    kind = features.schema.field(name)
    for start in range(0, n, step):
        rows = min(step, n - start)
        repeated = features.take(pa.array(np.repeat(np.arange(start, start + rows), k)))
        replaced = values.take(pa.array(np.tile(np.arange(k), rows))).cast(kind.type)
        answers = _rows_first(predict(repeated.set_column(place, kind, replaced)), rows * k)
        change = asked[start : start + rows] - answers.reshape(rows, k, -1).mean(axis=1)
        parts.append(change[:, 0] if change.shape[1] == 1 else np.abs(change).sum(axis=1) / 2.0)
    return np.concatenate(parts)


def _rows_first(predictions: Floats, rows: int) -> Floats:
    return np.asarray(predictions, np.float64).reshape(rows, -1)


def saved_model_predict(path: str, signature: str = "serving_default", output: str | None = None) -> Predict:
    """Load a SavedModel, and return what asks a signature of it for predictions.

    The signature takes one tensor a feature, of shape (n,) or (n, 1) (a missing number is NaN, or 0 where the tensor holds
    whole numbers, and a missing text is empty), or serialized tf.Examples in its only input, a string that is no feature.

    Args:
        path: folder of the SavedModel, local or any that TensorFlow reads.
        signature: as the model exports it.
        output: the signature's output to take; its only one by default.

    Raises:
        ConfigError: there is no SavedModel, signature or output of that name.
        InputError: (when asked) rows lack a feature that the signature wants.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a SavedModel that can be loaded ({str(error).splitlines()[0]})") from error
    if signature not in loaded.signatures:
        known = ", ".join(sorted(loaded.signatures)) or "none"
        raise ConfigError(f"{path}: there is no signature {signature!r}; known: {known}")
    serve = loaded.signatures[signature]
    inputs: dict[str, Any] = serve.structured_input_signature[1]
    taken = _output(path, sorted(serve.structured_outputs), output)

    def predict(rows: pa.Table) -> Floats:
        if rows.num_rows == 0:
            return np.empty(0)
        parts: list[Floats] = []
        for start in range(0, rows.num_rows, _BATCH_ROWS):
            tensors = _tensors(tf, inputs, rows.slice(start, _BATCH_ROWS))
            parts.append(np.asarray(serve(**tensors)[taken].numpy(), np.float64))
        whole = np.concatenate(parts).reshape(rows.num_rows, -1)
        return whole[:, 0] if whole.shape[1] == 1 else whole

    # A signature holds its variables weakly: the loaded object must live as long as who asks it.
    predict.__dict__["loaded"] = loaded
    return predict


def _output(path: str, known: list[str], wanted: str | None) -> str:
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted not in known:
        raise ConfigError(f"{path}: say which output holds the prediction: {', '.join(known)}")
    return str(wanted)


def _tensors(tf: Any, inputs: dict[str, Any], rows: pa.Table) -> dict[str, Any]:
    """Return the tensors of a signature's inputs, by name."""
    names = list(inputs)
    if len(names) == 1 and inputs[names[0]].dtype == tf.string and names[0] not in rows.column_names:
        return {names[0]: tf.constant(_examples(rows), tf.string)}
    tensors = {}
    for name, spec in inputs.items():
        if name not in rows.column_names:
            raise InputError(f"the model asks for the feature {name!r}, and the rows have none of that name")
        values = _values(rows.column(name), text=spec.dtype == tf.string, whole=spec.dtype.is_integer)
        shape = (-1,) if spec.shape.rank == 1 else (rows.num_rows, -1)
        tensors[name] = tf.constant(values.reshape(shape), spec.dtype)
    return tensors


def _values(column: pa.ChunkedArray, *, text: bool, whole: bool) -> npt.NDArray[Any]:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_flatten(column)
    if text:
        return np.asarray(pc.fill_null(pc.cast(column, pa.binary()), b"").to_numpy())
    numbers = pc.cast(column, pa.float64())
    return np.asarray((pc.fill_null(numbers, 0.0) if whole else numbers).to_numpy())


def _examples(rows: pa.Table) -> list[bytes]:
    """Return each row as a serialized tf.Example; a missing value is a feature without values."""
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    arrays = [_as_lists(rows.column(name).combine_chunks()) for name in rows.column_names]
    batch = pa.RecordBatch.from_arrays(arrays, rows.column_names)
    return [bytes(example) for example in RecordBatchToExamplesEncoder().encode(batch)]


def _as_lists(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a list of values a row, of the types that a tf.Example has: int64, float32 and bytes."""
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array.cast(pa.large_list(_example_type(array.type.value_type)))
    there = array.is_valid().to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(there)]), mask=np.concatenate([~there, [False]]))
    return pa.LargeListArray.from_arrays(offsets, array.drop_null().cast(_example_type(array.type)))


def _example_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(kind):
        return pa.int64()
    return pa.float32() if pa.types.is_floating(kind) else pa.binary()
