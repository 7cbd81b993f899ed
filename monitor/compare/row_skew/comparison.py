"""A comparison of two sets of rows, feature by feature, so that only a few columns are ever held; changes with its course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.row_skew.columns import Column
from monitor.compare.row_skew.explain import explain
from monitor.compare.row_skew.fills import plain_value
from monitor.compare.row_skew.join import Joined, join
from monitor.compare.row_skew.matching import Compared, Status, compare, confusion_counts
from monitor.compare.row_skew.report import ConfusionCount, Example, FeatureSkew, RowSkew

_DIFFERENT = (Status.MISMATCH, Status.BASE_ONLY, Status.TEST_ONLY)


@dataclass(frozen=True, slots=True)
class SkewOptions:
    """How rows are compared.

    Attributes:
        digits: decimals to which floats are rounded before they are compared, keys included; None compares them in 32 bits.
        duplicates: whether rows whose key a side has several times are all paired with each other; else they are left out.
        examples: pairs to show of each feature that differs.
        confusion: text features of which it is counted which value stands where the other side has which.
    """

    digits: int | None = None
    duplicates: bool = False
    examples: int = 1
    confusion: tuple[str, ...] = ()


class Comparison:
    """Rows that were paired by their keys, to which features are added one by one.

    Not thread-safe. Memory: 25 bytes a pair and the keys, beside the feature that is being added.
    """

    def __init__(self, keys: Mapping[str, Column], joined: Joined, options: SkewOptions) -> None:
        self._keys = keys
        self._joined = joined
        self._options = options
        self._skewed = np.zeros(len(joined.training), dtype=bool)
        self._order: npt.NDArray[np.int64] | None = None
        self._features: list[FeatureSkew] = []
        self._confusion: list[ConfusionCount] = []

    @classmethod
    def start(cls, training: Mapping[str, Column], served: Mapping[str, Column], options: SkewOptions) -> Self:
        """Pair the rows of both sides by their key columns, which both must have.

        Raises:
            InputError: as `join`.
        """
        names = list(training)
        columns = [training[name] for name in names], [served[name] for name in names]
        return cls(training, join(*columns, digits=options.digits, duplicates=options.duplicates), options)

    def add(self, name: str, training: Column, served: Column) -> None:
        """Compare one feature, given its columns over all rows of either side.

        Raises:
            InputError: confusion is to be counted of it, but it is not one text a row.
        """
        joined = self._joined
        compared = compare(training.take(joined.training), served.take(joined.served), self._options.digits)
        if name in self._options.confusion:
            self._confusion += confusion_counts(name, compared.training, compared.served)
        if compared.count(Status.NEITHER) == len(compared.status):
            return
        self._skewed |= np.isin(compared.status, (*_DIFFERENT, Status.UNCOUNTED))
        matched, mismatched = compared.count(Status.MATCH), compared.count(Status.MISMATCH)
        base_only, test_only = compared.count(Status.BASE_ONLY), compared.count(Status.TEST_ONLY)
        self._features.append(
            FeatureSkew(
                feature=name,
                base_count=matched + mismatched + base_only,
                test_count=matched + mismatched + test_only,
                match_count=matched + compared.count(Status.MATCH_EMPTY),
                mismatch_count=mismatched,
                base_only=base_only,
                test_only=test_only,
                inexact_match_count=compared.inexact,
                training_type=_type(training),
                served_type=_type(served),
                explanations=explain(compared),
                examples=self._examples(compared),
            )
        )

    def finish(self) -> RowSkew:
        """Return what was found in the features that were added."""
        return RowSkew(
            keys=tuple(self._keys),
            stats=self._joined.stats,
            pairs=len(self._skewed),
            skewed_pairs=int(self._skewed.sum()),
            features=sorted(self._features, key=lambda each: (-each.diff_count, each.feature)),
            confusion=self._confusion,
        )

    def _examples(self, compared: Compared) -> tuple[Example, ...]:
        if not self._options.examples or not compared.count(*_DIFFERENT):
            return ()
        chosen = self._by_key(np.isin(compared.status, _DIFFERENT))[: self._options.examples]
        rows = self._joined.training[chosen]
        key_values = [[plain_value(value) for value in key.take(rows).values] for key in self._keys.values()]
        values = [
            [plain_value(value) for value in side.take(chosen).values] for side in (compared.training, compared.served)
        ]
        return tuple(
            Example(tuple(key), training, served) for *key, training, served in zip(*key_values, *values, strict=True)
        )

    def _by_key(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return the chosen pairs in the order of their keys, so that examples do not depend on the order of rows."""
        if self._order is None:
            keys = {str(place): key.take(self._joined.training).values for place, key in enumerate(self._keys.values())}
            order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
            self._order = order.to_numpy(zero_copy_only=False).astype(np.int64)
        order = self._order
        return np.asarray(order[chosen[order]])


def row_skew(
    training: Mapping[str, Column], served: Mapping[str, Column], keys: Sequence[str], options: SkewOptions
) -> RowSkew:
    """Compare all features of two sets of rows that are in memory; a feature that one side lacks is absent there.

    Raises:
        InputError: as `join`.
    """
    comparison = Comparison.start({key: training[key] for key in keys}, {key: served[key] for key in keys}, options)
    for name in dict.fromkeys([*training, *served]):
        if name not in keys:
            comparison.add(name, training.get(name) or _absent(training), served.get(name) or _absent(served))
    return comparison.finish()


def _absent(side: Mapping[str, Column]) -> Column:
    return Column.absent(len(next(iter(side.values())).presence))


def _type(column: Column) -> str:
    return f"list of {column.kind}" if column.multivalent else str(column.kind)
