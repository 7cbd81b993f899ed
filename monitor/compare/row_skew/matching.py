"""Each pair of rows compared by one feature, with the semantics of TFDV's feature skew detector; changes if they do.

Source: tensorflow_data_validation/skew/feature_skew_detector.py, `_compute_skew_for_features` and `_get_serialized_feature`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.row_skew.columns import Column, Kind, comparable
from monitor.compare.row_skew.report import MISSING_VALUE, ConfusionCount
from monitor.compare.row_skew.rounding import Floats, as_compared, round_decimals, single
from monitor.errors import InputError

Mask = npt.NDArray[np.bool_]


class Status(IntEnum):
    """How one feature of one pair compares; training is TFDV's base, served its test."""

    NEITHER = 0
    """Neither row names the feature: TFDV does not see it."""
    UNCOUNTED = 1
    """One row names it without a value, the other does not name it: TFDV counts nothing, but calls the pair skewed."""
    MATCH_EMPTY = 2
    """Both name it without a value: a match that is no value of either side."""
    MATCH = 3
    MISMATCH = 4
    BASE_ONLY = 5
    TEST_ONLY = 6


_BY_PRESENCE = np.array(
    [
        # served is        ABSENT            EMPTY               FILLED
        [Status.NEITHER, Status.UNCOUNTED, Status.TEST_ONLY],
        [Status.UNCOUNTED, Status.MATCH_EMPTY, Status.TEST_ONLY],
        [Status.BASE_ONLY, Status.BASE_ONLY, Status.MATCH],
    ],
    dtype=np.uint8,
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One feature over all pairs.

    Attributes:
        training: the pairs' values on the training side, of the type in which they were compared where there is one.
        served: likewise.
        status: uint8 (pairs,), a `Status` each.
        inexact: pairs that match only as rounded (to 32 bits or to the digits asked for), though their values differ.
        same_type: whether the two types can be equal at all.
    """

    training: Column
    served: Column
    status: npt.NDArray[np.uint8]
    inexact: int
    same_type: bool

    def of(self, status: Status) -> Mask:
        """Return which pairs (pairs,) have a status."""
        return np.asarray(self.status == status)

    def count(self, *statuses: Status) -> int:
        """Return how many pairs have one of these statuses."""
        return int(np.isin(self.status, statuses).sum())


def compare(training: Column, served: Column, digits: int | None = None) -> Compared:
    """Compare two columns of as many rows, pair by pair.

    Values match where TFDV's do once the rows are tf.Examples: text byte for byte, whole numbers exactly, floats in 32 bits
    after rounding to `digits` decimals, lists value by value in order. Between two columns of tf.Examples that is to the letter:
    the type counts (1 is not 1.0), and so does the sign of zero.
    """
    status = _BY_PRESENCE[training.presence, served.presence]
    both = status == Status.MATCH
    if not both.any():
        return Compared(training, served, status, 0, same_type=True)
    same = comparable(training, served)
    if same is None:
        status[both] = Status.MISMATCH
        return Compared(training, served, status, 0, same_type=False)
    equal, exact = _equal(*same, both, digits)
    status[np.flatnonzero(both)[~equal]] = Status.MISMATCH
    return Compared(*same, status, int((equal & ~exact).sum()), same_type=True)


def _equal(training: Column, served: Column, both: Mask, digits: int | None) -> tuple[Mask, Mask]:
    """Return which pairs of `both` match, and which have exactly the same values (of those both filled)."""
    a, b = training.filter(both), served.filter(both)
    strict, narrow = training.example and served.example, training.example or served.example
    if not training.multivalent:
        return _equal_values(training.kind, a, b, digits, strict=strict, narrow=narrow)
    sizes = pc.list_value_length(a).to_numpy(zero_copy_only=False)
    alike = sizes == pc.list_value_length(b).to_numpy(zero_copy_only=False)
    equal, exact = alike.copy(), alike.copy()
    flat = [pc.list_flatten(side.filter(pa.array(alike))) for side in (a, b)]
    if len(flat[0]):
        starts = np.cumsum(sizes[alike]) - sizes[alike]
        items = _equal_values(training.kind, flat[0], flat[1], digits, strict=strict, narrow=narrow)
        equal[alike], exact[alike] = (np.logical_and.reduceat(item, starts) for item in items)
    return equal, exact


def _equal_values(
    kind: Kind, a: pa.Array, b: pa.Array, digits: int | None, *, strict: bool, narrow: bool
) -> tuple[Mask, Mask]:
    if kind is Kind.MISSING:  # lists of nothing but missing values
        none = np.ones(len(a), dtype=bool)
        return none, none
    if kind is not Kind.FLOAT:
        equal = pc.fill_null(pc.equal(a, b), False)
        if a.null_count:  # a value that is missing within a list
            equal = pc.or_(equal, pc.and_(pc.is_null(a), pc.is_null(b)))
        same = equal.to_numpy(zero_copy_only=False).astype(bool)
        return same, same
    x, y = (pc.fill_null(side, float("nan")).to_numpy(zero_copy_only=False) for side in (a, b))
    exact = (x == y) | (np.isnan(x) & np.isnan(y))
    if strict:
        return _bits(x, digits) == _bits(y, digits), exact
    if narrow:
        x, y = (single(x if digits is None else round_decimals(x, digits)) for x in (x, y))
    else:
        x, y = as_compared(x, digits), as_compared(y, digits)
    return exact | (x == y), exact


def _bits(values: Floats, digits: int | None) -> npt.NDArray[np.uint32]:
    return single(values if digits is None else round_decimals(values, digits)).view(np.uint32)


def confusion_counts(name: str, training: Column, served: Column) -> list[ConfusionCount]:
    """Return how many pairs hold each (training, served) value of a text feature, the most frequent first.

    As TFDV's confusion analysis: matching pairs are included, and so are those of which neither row has the feature.

    Raises:
        InputError: the feature holds numbers, or several values a row.
    """
    for column in (training, served):
        if column.multivalent:
            raise InputError(f"feature {name!r} holds several values a row; confusion is counted of one")
        if column.kind not in (Kind.BYTES, Kind.MISSING):
            raise InputError(f"feature {name!r} holds no text; confusion is counted of text")
    codes = []
    for column in (training, served):
        text = pc.fill_null(pc.cast(column.values, pa.large_binary()), MISSING_VALUE.encode())
        encoded = text.dictionary_encode()
        codes.append((encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()))
    (rows, rows_named), (columns, columns_named) = codes
    pairs, counts = np.unique(rows * max(len(columns_named), 1) + columns, return_counts=True)
    named = [
        (rows_named[pair // len(columns_named)], columns_named[pair % len(columns_named)]) for pair in pairs.tolist()
    ]
    ranked = sorted(zip(named, counts.tolist(), strict=True), key=lambda each: (-each[1], each[0]))
    return [ConfusionCount(name, base, test, count) for (base, test), count in ranked]
