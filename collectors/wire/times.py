"""Event times from text and numbers to microseconds; changes when more notations are accepted.

Whether a text is a time never depends on the texts beside it: the vectorised way is only taken by texts of one strict
pattern, on which Arrow and Python agree, and everything else is decided one by one.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.clock import to_micros
from monitor.records import EVENT_TIME_TYPE

INVALID = np.iinfo(np.int64).min
"""Stands for a text or number that is no time."""
NO_ZONE = INVALID + 1
"""Stands for a time without a zone."""

_FAR = 2.0**62
_FAR_SECONDS = 1e12

_PLAIN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
_FREE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?(?P<zone>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)


def micros_of_texts(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Return microseconds since the epoch of RFC 3339 texts, int64 (n,); INVALID or NO_ZONE for others and for null.

    Fractions below a microsecond are cut off; a leap second (`:60`) is not a time.
    """
    if not len(texts):
        return np.empty(0, dtype=np.int64)
    plain = pc.all(pc.match_substring_regex(texts, _PLAIN), skip_nulls=False).as_py()
    if plain:
        try:
            moments: npt.NDArray[np.int64] = texts.cast(EVENT_TIME_TYPE).cast(pa.int64()).to_numpy(zero_copy_only=False)
            return moments
        except pa.ArrowInvalid:
            pass  # the thirtieth of February, say: find out which
    return np.array([INVALID if text is None else micros_of_text(text) for text in texts.to_pylist()], dtype=np.int64)


def micros_of_seconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return microseconds since the epoch of epoch seconds, rounded, int64 (n,); INVALID for NaN, clipped to 2**62."""
    with np.errstate(over="ignore"):  # 1e308 seconds are infinitely far in the future, and refused as such
        rounded = np.rint(seconds * 1e6)
    result: npt.NDArray[np.int64] = np.clip(np.nan_to_num(rounded, nan=0.0), -_FAR, _FAR).astype(np.int64)
    result[np.isnan(seconds)] = INVALID
    return result


def micros_of_number(seconds: float) -> int:
    """Return what `micros_of_seconds` returns, of one number."""
    if math.isnan(seconds):
        return INVALID
    return int(min(max(seconds * 1e6, -_FAR), _FAR)) if abs(seconds) > _FAR_SECONDS else round(seconds * 1e6)


def micros_of_text(text: str) -> int:
    """Return what `micros_of_texts` returns, of one text."""
    match = _FREE.fullmatch(text)
    if match is None:
        return INVALID
    if match["zone"] is None:
        return NO_ZONE
    fraction = f".{match['fraction'][:6]}" if match["fraction"] else ""
    try:
        return to_micros(datetime.fromisoformat(f"{match['date']}T{match['clock']}{fraction}{match['zone'].upper()}"))
    except ValueError:
        return INVALID
