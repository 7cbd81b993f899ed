"""What becomes of labels, each counted once: who has a prediction, and who never had one; changes with these kinds of fate.

The join counts by prediction. Here it is the other way round: every label that was kept is looked for among all predictions, of
any version, that were kept in its time (`Reach.predictions_of`). Hash and instance must be the same; two ids with one 64-bit hash
are taken for one, which a count can bear.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor import records as r
from monitor.additive import Additive
from monitor.window.label_reach import Reach, micros_of
from monitor.window.label_slots import Slots
from monitor.window.label_values import numpy_of, times_of

FATE_COLUMNS = (r.HASH, r.INSTANCE, r.EVENT_TIME)
"""What is read of labels and of predictions alike."""


class Fate(IntEnum):
    """What became of a label; the first that holds."""

    IN_TIME = 0
    """There is a prediction, and the label came after it, within the horizon."""
    EARLY = 1
    """There is one that is newer than the label; it is joined."""
    TOO_LATE = 2
    """There is one, and the label came within a second horizon after it."""
    UNSAMPLED = 3
    """There is none among those that were kept, but it might have been sampled out."""
    UNKNOWN = 4
    """There is none, and it would have been kept."""


@dataclass(frozen=True, slots=True)
class FateCounts(Additive):
    """How many labels had which fate; they add up to all labels."""

    in_time: int = 0
    early: int = 0
    too_late: int = 0
    unsampled: int = 0
    unknown: int = 0

    @property
    def labels(self) -> int:
        """How many labels there were."""
        return self.in_time + self.early + self.too_late + self.unsampled + self.unknown


class LabelFates:
    """Takes predictions, one table at a time, and remembers what this says of n labels.

    Memory: about 60 bytes a label, and what one table takes. Not thread-safe.
    """

    def __init__(self, labels: pa.Table, reach: Reach) -> None:
        """Ask for the fates of labels: columns of FATE_COLUMNS, in any order."""
        self._early, self._horizon = micros_of(reach.early), micros_of(reach.horizon)
        self._hashes = numpy_of(labels.column(r.HASH))
        self._slots = Slots(self._hashes, numpy_of(labels.column(r.INSTANCE)))
        self._times = times_of(labels)
        self._is = {fate: np.zeros(len(labels), dtype=np.bool_) for fate in (Fate.IN_TIME, Fate.EARLY, Fate.TOO_LATE)}

    def add(self, predictions: pa.Table) -> None:
        """Take a table of predictions: columns of FATE_COLUMNS."""
        labels, places = self._slots.pairs(
            numpy_of(predictions.column(r.HASH)), numpy_of(predictions.column(r.INSTANCE))
        )
        age = self._times[labels] - times_of(predictions)[places]
        self._is[Fate.IN_TIME][labels[(age >= 0) & (age <= self._horizon)]] = True
        self._is[Fate.EARLY][labels[(age < 0) & (age >= -self._early)]] = True
        self._is[Fate.TOO_LATE][labels[(age > self._horizon) & (age <= 2 * self._horizon)]] = True

    def counts(self, groups: npt.NDArray[np.int64], thetas: list[int]) -> list[FateCounts]:
        """Return what is known by now, group by group.

        Args:
            groups: int64 (n,), the group of each label.
            thetas: of each group, below which hash (1 to 2**64) all predictions were kept that its labels could be of.
        """
        last_kept = np.array([theta - 1 for theta in thetas], dtype=np.uint64)
        kept = self._hashes <= last_kept[groups]
        fates = np.full(len(self._hashes), Fate.UNKNOWN, dtype=np.int64)
        fates[~kept] = Fate.UNSAMPLED
        for fate in (Fate.TOO_LATE, Fate.EARLY, Fate.IN_TIME):
            fates[self._is[fate]] = fate
        table = np.bincount(groups * len(Fate) + fates, minlength=len(thetas) * len(Fate)).reshape(-1, len(Fate))
        return [FateCounts(*row) for row in table.tolist()]
