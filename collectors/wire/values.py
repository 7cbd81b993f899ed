"""One value at a time: whether it fits its feature, and its canonical JSON text; changes when the typing rules do.

The rules, equal for every wire format:

- INT takes whole numbers of 64 bits, floats without a fraction, and true and false as 1 and 0.
- FLOAT takes numbers, infinities included; true and false do not fit, since nobody measures them.
- BYTES takes text only.
- NaN is a missing value; a number too large for a double is an infinity.
- A feature that may hold several values takes a list of fitting values (null ones too), or one value as a list of one;
  any other takes no list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import orjson

from monitor.records import FeatureType, ValueType

MISFIT: Final = object()
"""What `fit` returns for a value that does not fit."""

_INT64_LIMIT = 2**63


def fit(value: object, kind: FeatureType) -> object:
    """Return the value as its column holds it (None: missing), or `MISFIT`."""
    if missing(value):
        return None
    if type(value) is list:
        if not kind.multivalent:
            return MISFIT
        values = [fit_one(element, kind.value) for element in value]
        return MISFIT if any(element is MISFIT for element in values) else values
    single = fit_one(value, kind.value)
    return [single] if kind.multivalent and single is not MISFIT else single


def fit_one(value: object, kind: ValueType) -> object:
    """Return one value (no list) as its column holds it, or `MISFIT`."""
    if value is None:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if kind is ValueType.BYTES:
        return value if isinstance(value, str) else MISFIT
    if kind is ValueType.FLOAT:
        return MISFIT if isinstance(value, bool | str) else as_double(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and -_INT64_LIMIT <= value < _INT64_LIMIT else MISFIT
    if isinstance(value, int):
        return int(value) if -_INT64_LIMIT <= value < _INT64_LIMIT else MISFIT
    return MISFIT


def as_double(value: object) -> float:
    """Return a number as a double, never a negative zero; too large a one is an infinity."""
    try:
        return float(value) + 0.0  # type: ignore[arg-type]
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def missing(value: object) -> bool:
    """Say whether the value is null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def json_text(value: object) -> str:
    """Return canonical JSON: sorted keys, no spaces, NaN as null, infinities as the texts "Infinity" and "-Infinity"."""
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, Mapping):
        return {key: _plain(element) for key, element in value.items()}
    return value
