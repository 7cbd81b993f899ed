"""Labelled examples as TFMA's extracts; changes with what TFMA reads.

Labels, predictions and weights are handed over as they are; features as an Arrow RecordBatch, so that TFMA itself makes of them
what it makes of the features of any model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from monitor.evaluate.examples import Examples, Output

BATCH_ROWS = 1_000
"""Examples that TFMA is handed at a time; what it computes does not depend on it."""

Extracts = dict[str, Any]


def extracts_of(examples: Examples) -> Iterator[Extracts]:
    """Yield extracts of at most BATCH_ROWS examples each, in order.

    Those of several models are dictionaries by model, those of several outputs by output; the name of a single model is
    left out, as TFMA does. Features of types that TFMA has none of (times, decimals, records) are left out, too.
    """
    columns = {name: _lists(column) for name, column in examples.features.items()}
    features = {name: column for name, column in columns.items() if column is not None}
    for start in range(0, len(examples), BATCH_ROWS):
        places = np.arange(start, min(start + BATCH_ROWS, len(examples)))
        outcomes = {output: each.take(places) for output, each in examples.outcomes.items()}
        extracts: Extracts = {
            "labels": _by_name({output: _columns(each.labels) for output, each in outcomes.items()}),
            "predictions": _by_name({output: _columns(each.predictions) for output, each in outcomes.items()}),
            "features": {},
        }
        weights = {output: each.weights for output, each in outcomes.items()}
        if any(each is not None for each in weights.values()):
            extracts["example_weights"] = _by_name(
                {output: None if each is None else _columns(each) for output, each in weights.items()}
            )
        if features:
            parts = [column.slice(start, len(places)) for column in features.values()]
            extracts["arrow_record_batch"] = pa.RecordBatch.from_arrays(parts, list(features))
        yield extracts


def _columns(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (n,) as (n, 1): TFMA takes an array of one value for an example with one."""
    return values.reshape(len(values), -1)


def _by_name(values: Mapping[Output, Any]) -> Any:
    """Return values by model and then by output, each where it has a name."""
    models = {model for model, _ in values}
    named: dict[str, dict[str, Any]] = {}
    for (model, output), value in values.items():
        named.setdefault(model if len(models) > 1 else "", {})[output] = value
    return _without_empty_name({model: _without_empty_name(outputs) for model, outputs in named.items()})


def _without_empty_name(named: dict[str, Any]) -> Any:
    return named[""] if list(named) == [""] else named


def _lists(column: pa.Array) -> pa.LargeListArray | None:
    """Return each row's values as a list, empty where there is none; None where TFMA has no such type."""
    lists = pt.is_list(column.type) or pt.is_large_list(column.type)
    values = pc.list_flatten(column) if lists else column
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False) if lists else np.arange(len(column))
    converted = _converted(values)
    if converted is None:
        return None
    there = converted.is_valid()
    kept = rows[there.to_numpy(zero_copy_only=False)]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(kept, minlength=len(column)))])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), converted.filter(there))


def _converted(values: pa.Array) -> pa.Array | None:
    """Return values of a type that a tf.Example may have: whole numbers, floats or strings."""
    if pt.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pt.is_boolean(values.type) or pt.is_integer(values.type):
        return values.cast(pa.int64())
    known = (pt.is_float32, pt.is_float64, pt.is_string, pt.is_large_string, pt.is_binary, pt.is_large_binary)
    return values if any(is_type(values.type) for is_type in known) else None
