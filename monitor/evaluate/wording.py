"""Slices and metrics in words and in JSON; changes with what a person calls them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monitor.evaluate.evaluation import SliceKey

OVERALL = "all examples"


def is_cross(key: SliceKey) -> bool:
    """Say whether a key is that of a pair of slices: the second compared with the first."""
    return len(key) == 2 and not any(len(part) == 2 and isinstance(part[0], str) for part in key)


def slice_text(key: SliceKey) -> str:
    """Return a slice as people write it: `carrier=AA, month=1`; of a pair both, joined by "minus"."""
    if is_cross(key):
        first, second = key
        return f"{slice_text(first)} minus {slice_text(second)}"
    return ", ".join(f"{column}={text_of(value)}" for column, value in key) or OVERALL


def slice_json(key: SliceKey) -> dict[str, str]:
    """Return the columns of a slice with their values as text; no pair of slices."""
    return {column: text_of(value) for column, value in key}


def text_of(value: Any) -> str:
    """Return the value of a slice as text."""
    return value.decode("utf-8", errors="backslashreplace") if isinstance(value, bytes) else str(value)


def metric_text(key: Any) -> str:
    """Return a metric's name with what it is of, model aside: `precision of class 2`, `auc, micro average`, `auc of output o`."""
    parts = [key.name]
    if key.output_name:
        parts.append(f" of output {key.output_name}")
    if key.sub_key is not None:
        parts.append(_sub_key_text(key.sub_key))
    if key.aggregation_type is not None:
        kinds = ("micro_average", "macro_average", "weighted_macro_average")
        parts += [f", {kind.replace('_', ' ')}" for kind in kinds if getattr(key.aggregation_type, kind)]
    return "".join(parts)


def _sub_key_text(sub_key: Any) -> str:
    if sub_key.class_id is not None:
        return f" of class {sub_key.class_id}"
    if sub_key.k is not None:
        return f" of prediction {sub_key.k}"
    return f" at top {sub_key.top_k}" if sub_key.top_k is not None else ""


def number_of(value: Any) -> float | None:
    """Return a metric's value as a number (of a value with a distribution the one of all examples), None where it is none."""
    if isinstance(value, np.ndarray) and value.size != 1:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def number_text(value: float | None) -> str:
    """Return a number with five digits; a whole one in full."""
    if value is None:
        return "no number"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.5g}"
