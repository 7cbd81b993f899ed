"""The demo's model: a small Keras network that predicts late arrivals. Changes when the network does.

This module may import TensorFlow, but only inside its functions: that takes ten seconds.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.demo.flights import CATEGORIES, NUMBERS
from monitor.records import LABEL

EPOCHS = 4
_BATCH_ROWS = 512
_SCORE_ROWS = 32_768
_SEED = 20130101
_INPUT = "serving_default"


def prepare() -> None:
    """Import TensorFlow, quietly and on the processor; slow, so that callers show it as a step of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A GPU would take longer to start than this network takes to train.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with warnings.catch_warnings():
        # Its dependencies announce the ends of their support on import; nothing a user of the demo can act on.
        warnings.simplefilter("ignore")
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")


def train(rows: pa.Table, folder: Path, on_epoch: Callable[[int], None]) -> None:
    """Train on the labelled rows and export a SavedModel into `folder`, which must not exist yet.

    The SavedModel takes raw features, one input of shape (n,) each: strings for CATEGORIES, float32 for NUMBERS with NaN
    where unknown; and returns the probability (n, 1) of a late arrival. `on_epoch` is told the number of epochs done.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(_SEED)
    known = rows.filter(rows.column(LABEL).is_valid())
    order = np.random.default_rng(_SEED).permutation(known.num_rows)
    inputs = {name: values[order] for name, values in _arrays(known).items()}
    labels = known.column(LABEL).to_numpy()[order].astype(np.float32)
    model = _network(keras, inputs)
    # XLA has no strings, and would take longer to compile than the training takes.
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy", jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(_BATCH_ROWS).cache()
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _logs: on_epoch(epoch + 1))
    model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[report])
    signature = [{name: tf.TensorSpec((None,), _dtype(tf, name), name=name) for name in inputs}]
    # A model server may be looking already: it must find a whole model, or none.
    unfinished = folder.with_name(f".{folder.name}")
    model.export(unfinished, input_signature=signature, verbose=False)
    unfinished.rename(folder)


def load(folder: Path) -> Callable[[pa.Table], npt.NDArray[np.float64]]:
    """Load a SavedModel as TF Serving would, and return what scores rows with it.

    The scorer returns probabilities (n,), rounded to six digits so that their text in a record is their exact value.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    serve = loaded.signatures[_INPUT]

    def score(rows: pa.Table) -> npt.NDArray[np.float64]:
        parts: list[npt.NDArray[np.float64]] = [np.empty(0)]
        for start in range(0, rows.num_rows, _SCORE_ROWS):
            inputs = _arrays(rows.slice(start, _SCORE_ROWS))
            tensors = {name: tf.constant(values, _dtype(tf, name)) for name, values in inputs.items()}
            (output,) = serve(**tensors).values()
            parts.append(output.numpy().reshape(-1).astype(np.float64))
        rounded: npt.NDArray[np.float64] = np.concatenate(parts).round(6)
        return rounded

    # A signature holds its variables weakly: the loaded object must live as long as the scorer.
    score.__dict__["loaded"] = loaded
    return score


def _arrays(rows: pa.Table) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {name: rows.column(name).to_numpy() for name in CATEGORIES}
    for name in NUMBERS:
        arrays[name] = rows.column(name).to_numpy().astype(np.float32)
    return arrays


def _dtype(tf: Any, name: str) -> Any:
    return tf.string if name in CATEGORIES else tf.float32


def _network(keras: Any, inputs: dict[str, npt.NDArray[Any]]) -> Any:
    entries = {name: keras.Input((), name=name, dtype="string" if name in CATEGORIES else "float32") for name in inputs}
    numbers = np.stack([inputs[name] for name in NUMBERS], axis=1)
    stacked = keras.ops.stack([entries[name] for name in NUMBERS], axis=1)
    scaled = keras.layers.Normalization(mean=np.nanmean(numbers, axis=0), variance=np.nanvar(numbers, axis=0) + 1e-6)(
        stacked
    )
    unknown = keras.ops.isnan(stacked)
    parts = [
        # An unknown number stands at the mean, which is zero, beside a mark that says so.
        keras.ops.where(unknown, 0.0, keras.ops.clip(scaled, -5.0, 5.0)),
        keras.ops.cast(unknown, "float32"),
    ]
    for name in CATEGORIES:
        vocabulary = sorted(set(inputs[name]))
        codes = keras.layers.StringLookup(vocabulary=vocabulary)(entries[name])
        parts.append(keras.layers.Embedding(len(vocabulary) + 1, min(8, len(vocabulary)))(codes))
    hidden = keras.layers.Dense(48, activation="relu")(keras.layers.Concatenate()(parts))
    hidden = keras.layers.Dense(24, activation="relu")(hidden)
    return keras.Model(entries, keras.layers.Dense(1, activation="sigmoid")(hidden))
