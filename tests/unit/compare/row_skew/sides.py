"""Two sides of a comparison, made of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from monitor.compare.row_skew.columns import Column
from monitor.compare.row_skew.comparison import SkewOptions, row_skew
from monitor.compare.row_skew.explanation import Explanation
from monitor.compare.row_skew.report import FeatureSkew, RowSkew

Values: TypeAlias = Sequence[Any] | np.ndarray[Any, Any] | pa.Array


def _array(values: Values) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values)


def table(columns: Mapping[str, Values]) -> dict[str, Column]:
    """Return the columns of a table."""
    return {name: Column.of_table(name, _array(values)) for name, values in columns.items()}


def examples(columns: Mapping[str, Values]) -> dict[str, Column]:
    """Return the columns of tf.Examples: lists, None where an example does not name the feature."""
    return {name: Column.of_examples(name, _array(values)) for name, values in columns.items()}


def skew(training: Mapping[str, Values], served: Mapping[str, Values], **options: Any) -> RowSkew:
    """Compare two tables by their column `id`."""
    return row_skew(table(training), table(served), ["id"], SkewOptions(**options))


def feature(training: Values, served: Values, **options: Any) -> FeatureSkew:
    """Compare two columns row by row."""
    rows = range(len(training))
    (found,) = skew({"id": rows, "x": training}, {"id": rows, "x": served}, **options).features
    return found


def explained(training: Values, served: Values) -> Explanation | None:
    """Return what explains that two columns differ."""
    explanations = feature(training, served).explanations
    return explanations[0] if explanations else None


def counts(found: RowSkew) -> dict[str, tuple[int, int, int, int, int, int]]:
    """Return base, test, match, mismatch, base-only and test-only counts by feature."""
    return {
        each.feature: (
            *(each.base_count, each.test_count, each.match_count, each.mismatch_count, each.base_only, each.test_only),
        )
        for each in found.features
    }
