"""The explanations of one compared feature: which rules are asked, in which order; changes when a rule is added."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.row_skew.categories import explain_categories
from monitor.compare.row_skew.columns import Column, Kind
from monitor.compare.row_skew.explanation import Explanation, Side, Transformation, enough
from monitor.compare.row_skew.fills import explain_constant, explain_missing
from monitor.compare.row_skew.matching import Compared, Mask, Status
from monitor.compare.row_skew.numbers import explain_numbers
from monitor.compare.row_skew.texts import explain_texts
from monitor.compare.row_skew.times import explain_times
from monitor.records import ValueType
from monitor.window.numerals import read_numbers

_NUMBERS = (Kind.INT, Kind.FLOAT)


def explain(compared: Compared) -> tuple[Explanation, ...]:
    """Return what explains the mismatches, the values of training only, and those of serving only, in this order, where found."""
    mismatch = compared.of(Status.MISMATCH)
    found = [_explain_mismatch(compared, mismatch) if mismatch.any() else None]
    both = mismatch | compared.of(Status.MATCH)
    for status, side in ((Status.BASE_ONLY, Side.TRAINING), (Status.TEST_ONLY, Side.SERVED)):
        column = compared.training if side is Side.TRAINING else compared.served
        alone = compared.of(status)
        if alone.any() and not column.multivalent:
            found.append(explain_missing(column.filter(alone), column.filter(both), side))
    return tuple(each for each in found if each is not None)


def _explain_mismatch(compared: Compared, mismatch: Mask) -> Explanation | None:
    training, served = compared.training, compared.served
    a, b = training.filter(mismatch), served.filter(mismatch)
    if training.multivalent or served.multivalent:
        return _explain_lists(a, b, training, served) if compared.same_type else None
    if not compared.same_type:
        return _explain_types(a, b) or _explain_categories(compared, mismatch)
    return _explain_values(training, served, a, b) or _explain_categories(compared, mismatch)


def _explain_values(training: Column, served: Column, a: pa.Array, b: pa.Array) -> Explanation | None:
    constant = explain_constant(a, b, Side.SERVED) or explain_constant(b, a, Side.TRAINING)
    if constant is not None:
        return constant
    if training.kind in _NUMBERS:
        narrow = Kind.FLOAT in (training.kind, served.kind) and (training.example or served.example)
        return explain_numbers(_floats(a), _floats(b), narrow=narrow)
    if training.kind is Kind.TIME:
        return explain_times(_floats(pc.cast(a, pa.int64())), _floats(pc.cast(b, pa.int64())))
    return explain_texts(a, b)


def _explain_types(a: pa.Array, b: pa.Array) -> Explanation | None:
    """Return whether values differ only in type: 1 and 1.0 of tf.Examples, or a number and the text that spells it."""
    numbers = [_spelled(side) for side in (a, b)]
    if numbers[0] is None or numbers[1] is None:
        return None
    explained = int((numbers[0] == numbers[1]).sum())
    if not enough(explained, len(a)):
        return None
    names = [_type_name(side.type) for side in (a, b)]
    sentence = f"the values are the same, of type {names[0]} in training and {names[1]} in serving"
    return Explanation(Transformation.TYPE, sentence, explained, len(a), {"training": names[0], "served": names[1]})


def _spelled(values: pa.Array) -> npt.NDArray[np.float64] | None:
    if pa.types.is_large_string(values.type):
        values, _ = read_numbers(pc.cast(values, pa.string()), ValueType.FLOAT)
    elif not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return None
    return _floats(values)


def _type_name(kind: pa.DataType) -> str:
    return str(Column.of_table("", pa.array([], kind)).kind)


def _explain_categories(compared: Compared, mismatch: Mask) -> Explanation | None:
    kinds = {compared.training.kind, compared.served.kind}
    if not kinds <= {Kind.INT, Kind.BYTES}:
        return None
    both = mismatch | compared.of(Status.MATCH)
    return explain_categories(compared.training.filter(both), compared.served.filter(both), mismatch[both])


def _explain_lists(a: pa.Array, b: pa.Array, training: Column, served: Column) -> Explanation | None:
    """Return what explains lists: another order, or one rule for all values that differ; counted in rows, and in values."""
    sizes = pc.list_value_length(a).to_numpy(zero_copy_only=False)
    alike = sizes == pc.list_value_length(b).to_numpy(zero_copy_only=False)
    if not enough(int(alike.sum()), len(alike)):
        return None
    flat = [pc.list_flatten(side.filter(pa.array(alike))) for side in (a, b)]
    rows = np.repeat(np.arange(int(alike.sum())), sizes[alike])
    reordered = _reordered(flat, rows)
    if enough(reordered, len(a)):
        sentence = "the lists hold the same values in another order"
        return Explanation(Transformation.ORDER, sentence, reordered, len(a), {})
    differ = pc.fill_null(pc.not_equal(*flat), False)
    values = [_large(side.filter(differ)) for side in flat]
    return _explain_values(training, served, *values) if len(values[0]) else None


def _reordered(flat: list[pa.Array], rows: npt.NDArray[np.int64]) -> int:
    codes = pa.concat_arrays(flat).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    sides = (codes[: len(rows)], codes[len(rows) :])
    one, other = (side[np.lexsort((side, rows))] for side in sides)
    same = one == other
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return int(np.logical_and.reduceat(same, starts).sum()) if len(starts) else 0


def _large(values: pa.Array) -> pa.Array:
    return pc.cast(values, pa.large_string()) if pa.types.is_string(values.type) else values


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    filled = pc.fill_null(pc.cast(values, pa.float64(), safe=False), float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)
