"""Which examples belong to which of TFMA's slices; changes with TFMA's slicing.

TFMA asks each example for its slices (`slicer_lib.SingleSliceSpec.generate_slices`); here each spec is answered once, for all.
Columns and values are typed as TFMA types them: text, whole numbers, numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.evaluate.engine.statistic import Membership
from monitor.evaluate.examples import Examples, Places

_OUTSIDE = -1


def memberships(examples: Examples, config: Any) -> list[Membership]:
    """Return the slices that an EvalConfig asks for, those that occur; several specs may not share a slice.

    Raises:
        InputError: SQL that cannot be read, or a column that cannot make slices.
    """
    from tensorflow_model_analysis.slicer.slicer_lib import SingleSliceSpec

    specs = [SingleSliceSpec(spec=spec) for spec in config.slicing_specs]
    for crossed in config.cross_slicing_specs:
        specs += [SingleSliceSpec(spec=spec) for spec in (crossed.baseline_spec, *crossed.slicing_specs)]
    found = [_of(examples, spec) for spec in dict.fromkeys(specs or [SingleSliceSpec()])]
    found += [_of_sql(examples, spec.slice_keys_sql) for spec in config.slicing_specs if spec.slice_keys_sql]
    return _distinct([each for each in found if each.keys])


def _of(examples: Examples, spec: Any) -> Membership:
    columns, values = sorted(spec._columns), spec._value_matches
    here = Membership([()], np.zeros(len(examples), np.int64))
    for name, value in values:
        here = _crossed(here, _with_value(examples, name, value))
    for name in columns:
        here = _crossed(here, _by_value(examples, name))
    if not columns and not values:
        return here if len(examples) else Membership([], here.codes)
    return Membership([tuple(sorted(key)) for key in here.keys], here.codes, here.rows)


def _by_value(examples: Examples, name: str) -> Membership:
    """Return a slice for each value of a column; an example without one is in none."""
    column = examples.features.get(name)
    if column is None:
        return Membership([], np.full(len(examples), _OUTSIDE))
    rows, array = _values(name, column)
    encoded = array.dictionary_encode()
    codes = pc.fill_null(encoded.indices, _OUTSIDE).to_numpy(zero_copy_only=False).astype(np.int64)
    keys = [((name, _typed(value)),) for value in encoded.dictionary.to_pylist()]
    return Membership(keys, codes, rows)


def _with_value(examples: Examples, name: str, value: Any) -> Membership:
    """Return the slice of the examples that have a value, which TFMA has turned into a number where it is one."""
    column = examples.features.get(name)
    if column is None:
        return Membership([], np.full(len(examples), _OUTSIDE))
    rows, array = _values(name, column)
    text = pa.types.is_string(array.type) or pa.types.is_binary(array.type)
    wanted: Any = str(value) if text else value
    if not text and isinstance(value, str):
        return Membership([], np.full(len(examples), _OUTSIDE))
    same = pc.equal(pc.cast(array, pa.string() if text else pa.float64()), wanted if text else float(wanted))
    inside = pc.fill_null(same, False).to_numpy(zero_copy_only=False)
    return Membership([((name, value),)], np.where(inside, 0, _OUTSIDE), rows)


def _values(name: str, column: pa.Array) -> tuple[Places | None, pa.Array]:
    rows = None
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False).astype(np.int64)
        column = column.flatten()
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int64())
    if pa.types.is_floating(column.type):
        column = pc.add(pc.if_else(pc.is_nan(column), None, column), 0.0)  # -0.0 is 0.0
    known = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
    )
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not any(test(column.type) for test in known) and not pa.types.is_null(column.type):
        raise InputError(f"column {name!r} of type {column.type} cannot make slices; text and numbers can")
    return rows, column


def _typed(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"a value to slice by is not UTF-8: {value!r}") from error
    return value


def _crossed(one: Membership, other: Membership) -> Membership:
    """Return the slices of each pair of slices that share an example."""
    if not one.keys or not other.keys:
        return Membership([], np.full(0, _OUTSIDE), np.zeros(0, np.int64))
    left, right = _pairs(one, other)
    codes = np.where(
        (one.codes[left] < 0) | (other.codes[right] < 0),
        _OUTSIDE,
        one.codes[left] * len(other.keys) + other.codes[right],
    )
    used, renumbered = np.unique(codes, return_inverse=True)
    shift = int(len(used) > 0 and used[0] == _OUTSIDE)
    keys = [(*one.keys[code // len(other.keys)], *other.keys[code % len(other.keys)]) for code in used[shift:].tolist()]
    rows = None if one.rows is None and other.rows is None else _row_numbers(one)[left]
    return _once(Membership(keys, renumbered - shift, rows))


def _pairs(one: Membership, other: Membership) -> tuple[Any, Any]:
    """Return the places of all pairs of codes of the same example."""
    if one.rows is None and other.rows is None:
        every = np.arange(len(one.codes))
        return every, every
    theirs = _row_numbers(other)
    counts = np.bincount(theirs, minlength=max(int(_row_numbers(one).max(initial=-1)), int(theirs.max(initial=-1))) + 1)
    times = counts[_row_numbers(one)]
    left = np.repeat(np.arange(len(one.codes)), times)
    nth = np.arange(len(left)) - np.repeat(np.cumsum(times) - times, times)
    return left, (np.cumsum(counts) - counts)[_row_numbers(one)[left]] + nth


def _row_numbers(membership: Membership) -> Places:
    return np.arange(len(membership.codes)) if membership.rows is None else membership.rows


def _once(membership: Membership) -> Membership:
    """Return the same, each example at most once in a slice: a list may hold a value twice."""
    if membership.rows is None:
        return membership
    inside = membership.codes >= 0
    size = max(1, len(membership.keys))
    rows, codes = np.divmod(np.unique(membership.rows[inside] * size + membership.codes[inside]), size)
    return Membership(membership.keys, codes, rows)


def _of_sql(examples: Examples, sql: str) -> Membership:
    """Return the slices by an expression in TFMA's `slice_keys_sql`, answered by the same SQL engine, for all at once."""
    from tfx_bsl.arrow import sql_util

    batch = pa.RecordBatch.from_pydict({name: _listed(column) for name, column in examples.features.items()})
    statement = f"SELECT ARRAY({sql}) AS slice_key FROM Examples AS example;"  # noqa: S608, from the configuration
    try:
        answers = sql_util.RecordBatchSQLSliceQuery(statement, batch.schema).Execute(batch)
    except Exception as error:
        raise InputError(f"slice_keys_sql cannot be answered: {str(error).splitlines()[0]}") from error
    numbers: dict[Any, int] = {}
    rows, codes = [], []
    for row, keys in enumerate(answers):
        for key in {tuple(sorted(tuple(pair) for pair in answer)) for answer in keys}:
            rows.append(row)
            codes.append(numbers.setdefault(key, len(numbers)))
    return Membership(list(numbers), np.asarray(codes, np.int64), np.asarray(rows, np.int64))


def _listed(column: pa.Array) -> pa.Array:
    """Return a column as TFMA's batches have it: lists of values, text as bytes."""
    if pa.types.is_list(column.type):
        return column
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())
    offsets = np.concatenate([[0], np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column.drop_null())


def _distinct(found: Sequence[Membership]) -> list[Membership]:
    """Return the slicings without the slices that one before them has too: an example counts in a slice once."""
    if len(found) == 1:
        return list(found)
    taken: dict[Any, int] = {}
    kept = []
    for number, each in enumerate(found):
        doubled = [key for key in each.keys if taken.setdefault(key, number) != number]
        if not doubled:
            kept.append(each)
            continue
        merged = _joined([*kept, each])
        return _distinct([merged, *found[number + 1 :]])
    return kept


def _joined(found: Sequence[Membership]) -> Membership:
    numbers: dict[Any, int] = {}
    rows, codes = [], []
    for each in found:
        here = np.asarray([numbers.setdefault(key, len(numbers)) for key in each.keys] or [0], np.int64)
        inside = each.codes >= 0
        rows.append(_row_numbers(each)[inside])
        codes.append(here[each.codes[inside]])
    return _once(Membership(list(numbers), np.concatenate(codes), np.concatenate(rows)))
