"""Categories that have another name or code on the other side; changes with what counts as a map of categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.compare.row_skew.explanation import NEARLY_ALL, Explanation, Transformation, enough

_MOST = 1000
"""More distinct values are no categories."""
_LISTED = 20
_FEWEST = 2
"""Rows of a category below which its new name may be chance."""

_Codes = npt.NDArray[np.int64]


def explain_categories(training: pa.Array, served: pa.Array, differs: npt.NDArray[np.bool_]) -> Explanation | None:
    """Return the one-to-one map of the training side's categories to the served ones, or None.

    A category counts as mapped where 95% of *all* its rows, matching ones too, have one and the same other category in serving,
    and no second category is mapped to that: a few wrong labels of a yes-or-no feature would otherwise always be "swapped".

    Args:
        training: the values of all rows that have one on both sides, n; whole numbers, text, or bytes.
        served: likewise, maybe of another type.
        differs: (n,), the rows whose values differ.
    """
    old, new = training.dictionary_encode(), served.dictionary_encode()
    if not 1 < len(old.dictionary) <= _MOST or not 1 < len(new.dictionary) <= _MOST:
        return None
    one, other = (side.indices.to_numpy(zero_copy_only=False).astype(np.int64) for side in (old, new))
    targets = _targets(one, other, len(old.dictionary), len(new.dictionary))
    mapped = differs & (targets.of[one] == other)
    explained, rows = int(mapped.sum()), int(differs.sum())
    if not enough(explained, rows):
        return None
    moved = np.unique(one[mapped])
    moved = moved[np.argsort(-targets.rows[moved], kind="stable")]
    names = [(_text(old.dictionary[int(code)]), _text(new.dictionary[int(targets.of[code])])) for code in moved]
    listed = sorted(names[:_LISTED])
    shown = ", ".join(f"{name} is {renamed}" for name, renamed in listed[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Explanation(
        Transformation.CATEGORY_MAP,
        f"categories have other names in serving: {shown}{more}",
        explained,
        rows,
        {"map": dict(listed), "categories": len(names)},
    )


@dataclass(frozen=True, slots=True)
class _Targets:
    """The served category of each training category (-1 without one), and how many rows have both."""

    of: _Codes
    rows: _Codes


def _targets(old: _Codes, new: _Codes, size: int, other_size: int) -> _Targets:
    pairs, counts = np.unique(old * other_size + new, return_counts=True)
    one, other = pairs // other_size, pairs % other_size
    total = np.bincount(old, minlength=size)
    sure = (counts >= _FEWEST) & (counts >= NEARLY_ALL * total[one])
    of, rows = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.int64)
    of[one[sure]], rows[one[sure]] = other[sure], counts[sure]
    taken = np.bincount(of[of >= 0], minlength=other_size)
    shared = (of >= 0) & (taken[of] > 1)
    of[shared] = -1
    return _Targets(of, rows)


def _text(value: pa.Scalar) -> str:
    plain = value.as_py()
    return plain.decode(errors="backslashreplace") if isinstance(plain, bytes) else str(plain)
