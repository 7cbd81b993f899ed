"""Columns whose values are gone: of another type, null, or one constant; changes with what stands for "no value"."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.compare.breaks.causes import Break, Cause, broken
from monitor.compare.breaks.columns import Column, Numbers, Words
from monitor.compare.explain import number, percent, text
from monitor.profile.features import FeatureCounts
from monitor.records import FeatureType, Misfits, ValueType

MOST = 0.5
"""A column is of another type where at least this share of its rows is."""
WHOLE = 0.95
"""A column is gone where at least this share of it is."""
_SPARSE = 0.5
"""A column that the baseline lacks in more of its rows may be gone for a while."""
_USUAL = 0.75
"""A value that more of the baseline has may be the only one for a while."""
_DEFAULT_WORDS = frozenset(
    {
        "",
        "-",
        "-1",
        "0",
        "?",
        "default",
        "missing",
        "n/a",
        "na",
        "nan",
        "nil",
        "none",
        "null",
        "other",
        "undefined",
        "unknown",
    }
)
_DEFAULT_NUMBERS = frozenset({0.0, -1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0})
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
_TYPES = {ValueType.INT: "whole numbers", ValueType.FLOAT: "numbers", ValueType.BYTES: "text"}


def find_type_change(feature: str, kind: FeatureType, misfits: Misfits | None, rows: int) -> Break | None:
    """Return the break where most rows hold a value that does not fit the column's type."""
    if misfits is None or rows == 0 or misfits.count < MOST * rows:
        return None
    share = min(1.0, misfits.count / rows)
    came = _arrived([json.loads(example) for example in misfits.examples], kind.value)
    such = f", such as {misfits.examples[0]}" if misfits.examples else ""
    said = f"{came} arrive where training holds {_TYPES[kind.value]} ({percent(share)} of the rows{such})"
    return broken(feature, Cause.TYPE_CHANGED, f"{came} for {_TYPES[kind.value]}", share, said)


def find_null(feature: str, now: FeatureCounts, before: FeatureCounts, misfits: Misfits | None) -> Break | None:
    """Return the break where a column that was mostly there is gone, other than by misfits."""
    total = now.presence.total
    share = now.missing_share - (misfits.count / total if misfits is not None and total else 0.0)
    if share < WHOLE or before.missing_share > _SPARSE:
        return None
    said = f"missing in {percent(share)} of the rows, where training lacks it in {percent(before.missing_share)}"
    return broken(feature, Cause.GONE_NULL, "null", share, said)


def find_constant(feature: str, now: Column, before: Column) -> Break | None:
    """Return the break where a column that varied holds one value only, and one that stands for "none" or was never there.

    One ordinary category alone is no break: a window may well hold one month, one hour or one shop.
    """
    if isinstance(now, Words) and isinstance(before, Words):
        return _constant_word(feature, now, before)
    if isinstance(now, Numbers) and isinstance(before, Numbers):
        return _constant_number(feature, now, before)
    return None


def _constant_word(feature: str, now: Words, before: Words) -> Break | None:
    if not now.shares:
        return None
    value, share = max(now.shares.items(), key=lambda item: (item[1], item[0]))
    usual = before.shares.get(value, 0.0)
    strange = value.strip().lower() in _DEFAULT_WORDS or (before.bins.complete and now.unseen >= WHOLE)
    if share < WHOLE or usual > _USUAL or before.unique < 2 or not strange:
        return None
    return _constant(feature, text(value.encode()), share, usual)


def _constant_number(feature: str, now: Numbers, before: Numbers) -> Break | None:
    value = float(now.cuts[5])
    cell = int(before.bins.cells(np.array([value]))[0])
    usual, share = float(before.cells[cell]), float(now.cells[cell])
    if now.cuts[1] != now.cuts[9] or share < WHOLE or before.cuts[0] == before.cuts[-1]:
        return None
    strange = value in _DEFAULT_NUMBERS
    if not _has_own_cell(before, cell):
        # All in one place of a cell that spreads is strange too, unless it is one more code of a column of codes.
        usual, strange = 0.0, strange or _spreads(before)
    strange = strange and usual <= _USUAL
    return _constant(feature, number(value), share, usual) if strange else None


def _has_own_cell(column: Numbers, cell: int) -> bool:
    """Tell whether a cell holds one value of the baseline; such a cell is as wide as single precision is coarse."""
    if not 0 < cell < column.bins.size - 1 or column.cells[cell] == 0.0:
        return False
    low, high = column.bins.edges[cell - 1], column.bins.edges[cell]
    return bool(high - low <= 1e-5 * max(abs(low), abs(high), 1e-300))


def _spreads(column: Numbers) -> bool:
    """Tell whether the baseline has values without a cell of their own."""
    return any(share > 0.0 and not _has_own_cell(column, cell) for cell, share in enumerate(column.cells))


def _constant(feature: str, value: str, share: float, usual: float) -> Break:
    said = f"{percent(share)} of the values are {value}, {percent(usual)} in training"
    return broken(feature, Cause.GONE_CONSTANT, value, share, said)


def _arrived(examples: Sequence[Any], wanted: ValueType) -> str:
    """Say what the values are that do not fit."""
    if any(isinstance(value, list) for value in examples):
        return "lists"
    if wanted is ValueType.BYTES:
        return "numbers"
    texts = [value for value in examples if isinstance(value, str)]
    if not texts:
        return "fractions"
    if all(_DECIMAL_COMMA.fullmatch(value) for value in texts):
        return "numbers with a decimal comma, as text,"
    return "numbers written as text" if all(_is_number(value) for value in texts) else "texts"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
