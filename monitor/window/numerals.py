"""Numbers written as text, as CSV files hold them; changes when another way of writing a number is to be understood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.records import ValueType

MISSING_MARKS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "-NaN", "null", "NULL", "None")
"""What pandas, R and spreadsheets write for a missing number. In a text column they are values ("NA" is Namibia)."""

_LOOK = 1000
_WHOLE = r"^[+-]?[0-9]{1,18}$"
_NUMBER = r"(?i)^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$|^[+-]?inf(?:inity)?$"
_TRUTH = r"(?i)^(?:true|false)$"


def read_numbers(text: pa.Array, value: ValueType) -> tuple[pa.Array, npt.NDArray[np.bool_] | None]:
    """Return the numbers that `text` (n strings) spells, null where it spells none, and which of the n are no numbers.

    `value` is INT (int64; `5.0` and `true` are whole numbers too) or FLOAT (float64). Surrounding blanks are no matter, missing
    marks are null. The mask is None where all are numbers, which is the fast way.
    """
    numbers = all_numbers(text, value)
    if numbers is not None:
        return numbers, None
    cleaned = _cleaned(text)
    if value is ValueType.FLOAT:
        numbers = pc.cast(_only(cleaned, _NUMBER), pa.float64())
    else:
        numbers = _whole_numbers(cleaned)
    bad = pc.and_(pc.is_valid(cleaned), pc.is_null(numbers)).to_numpy(zero_copy_only=False).astype(bool)
    return numbers, bad if bad.any() else None


def all_numbers(text: pa.Array, value: ValueType) -> pa.Array | None:
    """Return `text` as numbers if every one is written as `value` (so `5.0` is no INT here), else None."""
    # A failing cast is slow (Arrow words an error for every cell), so a look at the first cells spares most of them.
    if len(text) > _LOOK and all_numbers(text.slice(0, _LOOK), value) is None:
        return None
    numbers = _cast(text, value)
    return numbers if numbers is not None else _cast(_cleaned(text), value)


def read_truths(text: pa.Array) -> pa.Array | None:
    """Return int64 0 and 1 if all of `text` is `true` or `false` in any case, else None."""
    if pc.all(pc.match_substring_regex(text, _TRUTH)).as_py() is not True:
        return None
    return _truths(text)


def _cleaned(text: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(text)
    blank = pc.or_(pc.equal(trimmed, ""), pc.is_in(trimmed, value_set=pa.array(MISSING_MARKS)))
    return pc.replace_substring_regex(pc.if_else(blank, pa.scalar(None, pa.string()), trimmed), r"^\+", "")


def _cast(text: pa.Array, value: ValueType) -> pa.Array | None:
    try:
        numbers = pc.cast(text, value.arrow())
    except pa.ArrowInvalid:
        return None
    # Arrow reads 0x1F as a whole number; for people and pandas that is a code, not a number.
    if value is ValueType.INT and pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
        return None
    return numbers


def _whole_numbers(cleaned: pa.Array) -> pa.Array:
    exact = pc.cast(_only(cleaned, _WHOLE), pa.int64())
    floats = pc.cast(_only(cleaned, _NUMBER), pa.float64())
    whole, _ = whole_floats(floats)
    return pc.coalesce(exact, whole, _truths(_only(cleaned, _TRUTH)))


def whole_floats(floats: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Return float64 (n,) as int64, null where missing or not whole, and the mask of those that are not whole.

    NaN is missing; infinities and numbers that int64 cannot hold are not whole.
    """
    values = floats.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        fits = (np.trunc(values) == values) & (np.abs(values) < 2.0**63)
    whole = np.where(fits, values, 0.0).astype(np.int64)
    return pa.array(whole, mask=~fits), ~fits & ~missing


def _only(text: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, pa.string()))


def _truths(text: pa.Array) -> pa.Array:
    return pc.cast(pc.equal(pc.utf8_lower(text), "true"), pa.int64())
