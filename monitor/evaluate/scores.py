"""The predictions of served rows, those left out that are not as most are; changes with what a prediction column may hold.

One odd answer among a hundred thousand, a number among lists or a NaN, is no reason to say nothing of the others.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.evaluate.reading import Side, numbers_of
from monitor.records import Rows

_NUMBER = 0
_OTHER = -1


def served_scores(rows: Rows) -> Floats:
    """Return the predictions, float64 (n,) or (n, K), NaN where there is none that can be used.

    Raises:
        InputError: the rows hold no predictions, or text that spells no numbers.
    """
    if rows.prediction is None:
        raise InputError("the rows hold no predictions")
    usable = usable_predictions(rows.features.column(rows.prediction))
    side = Side(pa.table({rows.prediction: usable}), {}, "the served rows")
    found = numbers_of(side, rows.prediction, "prediction")
    values: Floats = found.values.copy()
    values[found.missing] = np.nan
    return values


def usable_predictions(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of predictions (n,), null where one is not finite, or not of the shape that most have.

    Text that spells numbers, or lists of them as JSON, becomes numbers or lists; where most is other text, it stays as it is.
    """
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_floating(array.type):
        return pc.if_else(pc.is_finite(array), array, None)
    if not (pa.types.is_string(array.type) or pa.types.is_list(array.type)):
        return array
    values = array.to_pylist()
    if pa.types.is_string(array.type):
        values = [None if value is None else _parsed(value) for value in values]
    shapes = [_shape(value) for value in values]
    known = Counter(shape for value, shape in zip(values, shapes, strict=True) if value is not None)
    if not known:
        return array
    ((usual, _),) = known.most_common(1)
    if usual == _OTHER:
        return array
    kept = [value if shape == usual else None for value, shape in zip(values, shapes, strict=True)]
    return pa.array(kept, pa.float64() if usual == _NUMBER else pa.list_(pa.float64()))


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _shape(value: Any) -> int:
    """Return 0 for a finite number, the length of a list of such, and -1 for anything else."""
    if _is_finite(value):
        return _NUMBER
    if isinstance(value, list) and value and all(map(_is_finite, value)):
        return len(value)
    return _OTHER


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
