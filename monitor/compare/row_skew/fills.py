"""A missing value that the other side fills with one constant; changes with what counts as a default."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.row_skew.explanation import Explanation, Side, Transformation, enough

_CHANCE = 1e-3
"""Probability below which it is no accident that so many values are the same."""
_DISTINCT = 3
_LOOK = 1000


def explain_missing(filled: pa.Array, paired: pa.Array, side: Side) -> Explanation | None:
    """Return the constant that `side` has where the other side has no value, or None.

    Where that constant is what the side mostly has anyway, so many of it may be chance, and it is no explanation.

    Args:
        filled: values of `side` in the rows of which the other side has none, n.
        paired: values of `side` in the rows of which both sides have one.
        side: the side that has the values.
    """
    constant, count = _nearly_constant(filled)
    usual = pc.sum(pc.equal(paired, constant)).as_py() or 0 if len(paired) else 0
    if not enough(count, len(filled)) or not len(paired) or not _no_accident(count, usual / len(paired)):
        return None
    sentence = f"where {side.other()} has no value, {side} has {_shown(constant)}"
    return _fill(sentence, constant, count, len(filled), side, instead_of="missing")


def explain_constant(replaced: pa.Array, constants: pa.Array, side: Side) -> Explanation | None:
    """Return the constant that `side` has wherever it differs from the various values of the other side, or None."""
    constant, count = _nearly_constant(constants)
    if not enough(count, len(constants)) or pc.count_distinct(replaced).as_py() < _DISTINCT:
        return None
    sentence = f"wherever they differ, {side} has {_shown(constant)}"
    return _fill(sentence, constant, count, len(constants), side, instead_of="values")


def _nearly_constant(values: pa.Array) -> tuple[pa.Scalar, int]:
    """Return the value that nearly all of `values` are, if there is one, and how many are the value that is returned."""
    # A value of 95% is the most frequent one of a thousand too, and counting all values of a column of floats takes long.
    places = np.linspace(0, len(values) - 1, num=min(len(values), _LOOK)).astype(np.int64)
    counted = pc.value_counts(values.take(pa.array(places)))
    constant = counted.field(0)[pc.index(counted.field(1), pc.max(counted.field(1))).as_py()]
    return constant, pc.sum(pc.equal(values, constant)).as_py() or 0


def _no_accident(count: int, share: float) -> bool:
    return share < 1 and (share == 0 or count * math.log(share) < math.log(_CHANCE)) and count >= _DISTINCT


def _fill(sentence: str, constant: pa.Scalar, count: int, of: int, side: Side, *, instead_of: str) -> Explanation:
    parameters = {"side": str(side), "value": plain_value(constant), "instead_of": instead_of}
    return Explanation(Transformation.DEFAULT_FILL, sentence, count, of, parameters)


def plain_value(value: pa.Scalar) -> Any:
    """Return a value as JSON can hold it: times and undecodable bytes as text, NaN and infinities as null."""
    return _plain(value.as_py())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else value.isoformat()


def _shown(value: pa.Scalar) -> str:
    plain = plain_value(value)
    return repr(plain) if isinstance(plain, str) else f"{plain:.7g}" if isinstance(plain, float) else str(plain)
