"""What explains that texts differ: case, blanks, a length they were cut to; changes when another way to write a text is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.row_skew.columns import times_of_text
from monitor.compare.row_skew.explanation import Explanation, Side, Transformation, enough
from monitor.compare.row_skew.times import explain_times

_FEWEST = 3
"""Rows, and distinct texts where they are cut, below which no rule is seen in what may be one odd text."""


def explain_texts(training: pa.Array, served: pa.Array) -> Explanation | None:
    """Return what turns the texts of one side into those of the other, over the differing rows (n), or None."""
    if len(training) < _FEWEST or not all(pa.types.is_large_string(side.type) for side in (training, served)):
        return None
    for kind, sentence, plain in _SPELLINGS:
        explained = _count(pc.equal(plain(training), plain(served)))
        if enough(explained, len(training)):
            return Explanation(kind, sentence, explained, len(training), {})
    return _cut(training, served, Side.SERVED) or _cut(served, training, Side.TRAINING) or _times(training, served)


def _collapsed(text: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"\s+", " ")


_SPELLINGS: tuple[tuple[Transformation, str, Callable[[pa.Array], pa.Array]], ...] = (
    (Transformation.CASE, "the texts are the same but for upper and lower case", pc.utf8_lower),
    (Transformation.WHITESPACE, "the texts are the same but for blanks", _collapsed),
    (
        Transformation.CASE,
        "the texts are the same but for upper and lower case, and blanks",
        lambda text: pc.utf8_lower(_collapsed(text)),
    ),
)


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _cut(full: pa.Array, short: pa.Array, side: Side) -> Explanation | None:
    """Return the length to which the texts of `side`, which `short` holds, were cut."""
    lengths = pc.utf8_length(short).to_numpy(zero_copy_only=False)
    length = int(np.bincount(lengths).argmax())
    if length == 0 or not enough(int((lengths == length).sum()), len(short)):
        return None
    same = pc.and_(pc.equal(pc.utf8_slice_codeunits(full, 0, length), short), pc.greater(pc.utf8_length(full), length))
    explained = _count(same)
    if not enough(explained, len(short)) or pc.count_distinct(short).as_py() < _FEWEST:
        return None
    sentence = f"{side} is {side.other()} cut off after {length} character{'' if length == 1 else 's'}"
    return Explanation(
        Transformation.TRUNCATION, sentence, explained, len(short), {"side": str(side), "length": length}
    )


def _times(training: pa.Array, served: pa.Array) -> Explanation | None:
    parsed = [times_of_text(side) for side in (training, served)]
    if parsed[0] is None or parsed[1] is None:
        return None
    return explain_times(
        *(pc.cast(side, pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) for side in parsed)
    )
