"""The join of predictions with their labels; changes with the rules of the join, which docs/labels.md tells to people.

A label is of a prediction when request id and instance are the same and its event time is at most `Reach.early` before, and at
most the horizon after, that of the prediction. Of several the newest counts; of several of one moment the greatest, and a text is
greater than a number. The label in a prediction's own record counts where there is no other.

None of this asks in which span a label lies, or which span comes first, and a join of a range of hashes asks for nothing
outside of it. So labels can be read span by span, and predictions hash range by hash range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from monitor import records as r
from monitor.window.label_counts import LabelCounts
from monitor.window.label_delay import Delays
from monitor.window.label_reach import Reach, micros_of
from monitor.window.label_slots import Mask, Places, Slots
from monitor.window.label_values import NUMBER, Texts, Values, array_of, column_of, merged_columns, numpy_of, times_of

LABEL_COLUMNS = (r.HASH, r.REQUEST_ID, r.INSTANCE, r.EVENT_TIME, r.LABEL, r.LABEL_TEXT)
"""What is read of a span of labels."""
PREDICTION_COLUMNS = (*LABEL_COLUMNS, r.WEIGHT)
"""What is read of predictions; their labels are those that came in the same record."""

_READ_OF_MATCHES = [r.REQUEST_ID, r.EVENT_TIME, r.LABEL, r.LABEL_TEXT]
_NEVER = np.iinfo(np.int64).max
_COMPACT_FROM = 1_000_000


@dataclass(frozen=True, slots=True)
class Labels:
    """What came true of n predictions, in their order.

    Attributes:
        values: float64 (n,) or, where any label is a text, string (n,); null where there is no label.
        times: int64 (n,), event times of the labels in microseconds; 0 where there is none.
        counts: see there.
    """

    values: pa.Array
    times: npt.NDArray[np.int64]
    counts: LabelCounts

    def __len__(self) -> int:
        """Return n."""
        return len(self.values)

    @property
    def mask(self) -> Mask:
        """Which predictions have a label, bool (n,)."""
        return np.asarray(self.values.is_valid(), dtype=np.bool_)

    @property
    def digest(self) -> str:
        """xxh3_128 of the values in hexadecimal: it changes when what is known of any of the predictions does."""
        state = xxhash.xxh3_128(str(self.values.type).encode())
        state.update(np.packbits(self.mask).tobytes())
        if pa.types.is_string(self.values.type):
            filled = pc.fill_null(self.values, "")
            state.update(numpy_of(pc.binary_length(filled)).tobytes())
            state.update("".join(filled.to_pylist()).encode())
        else:
            state.update(numpy_of(pc.fill_null(self.values, 0.0)).tobytes())
        return state.hexdigest()


def concatenated(parts: Sequence[Labels]) -> Labels:
    """Return the labels of parts, as of ranges of hashes in order, as those of all; at least one part."""
    return Labels(
        merged_columns([part.values for part in parts]),
        np.concatenate([part.times for part in parts]),
        sum((part.counts for part in parts), LabelCounts()),
    )


class LabelJoin:
    """Takes labels, one table at a time, and remembers for each of n predictions what counts.

    Memory: the predictions' ids, hashes and instances, and at most 60 bytes a prediction beside them; and what one table takes.
    Not thread-safe.
    """

    def __init__(self, predictions: pa.Table, reach: Reach) -> None:
        """Ask for the labels of `predictions`: columns of PREDICTION_COLUMNS, without nulls but for labels.

        They may be in any order; the canonical one is the fastest.
        """
        rows = len(predictions)
        self._early, self._horizon = micros_of(reach.early), micros_of(reach.horizon)
        self._ids = array_of(predictions.column(r.REQUEST_ID))
        self._slots = Slots(numpy_of(predictions.column(r.HASH)), numpy_of(predictions.column(r.INSTANCE)))
        self._predicted = times_of(predictions)
        self._weights = numpy_of(predictions.column(r.WEIGHT))
        self._texts = Texts()
        self._values = Values.none(rows)
        self._labelled = np.zeros(rows, dtype=np.bool_)
        self._own = np.zeros(rows, dtype=np.bool_)
        self._times = np.zeros(rows, dtype=np.int64)
        self._first = np.full(rows, _NEVER, dtype=np.int64)
        # Values that do not count, or did not when they were noted: (row, value), some more than once.
        self._others: list[tuple[Places, Values]] = []
        self._noted, self._compact_from = 0, _COMPACT_FROM
        self._joined = self._early_labels = self._too_late = 0
        self._begin(predictions)

    def add(self, labels: pa.Table) -> None:
        """Take a table of labels: columns of LABEL_COLUMNS; rows without a value are passed over."""
        rows, places = self._slots.pairs(numpy_of(labels.column(r.HASH)), numpy_of(labels.column(r.INSTANCE)))
        if not len(rows):
            return
        matched = labels.select(_READ_OF_MATCHES).take(pa.array(places))
        same = numpy_of(pc.equal(self._ids.take(pa.array(rows)), array_of(matched.column(r.REQUEST_ID))))
        values, given = self._texts.read(matched)
        times = times_of(matched)
        age = times - self._predicted[rows]
        mine = same & given
        self._too_late += int(np.count_nonzero(mine & (age > self._horizon)))
        mine &= (age <= self._horizon) & (age >= -self._early)
        self._joined += int(np.count_nonzero(mine))
        self._early_labels += int(np.count_nonzero(mine & (age < 0)))
        if not mine.all():
            rows, times, values = rows[mine], times[mine], values.take(mine)
        self._fold(rows, times, values)

    def labels(self) -> Labels:
        """Return what counts by now; more may be added after that."""
        delays = np.maximum(self._first - self._predicted, 0)[self._labelled]
        corrections = self._corrections()
        labelled = int(np.count_nonzero(self._labelled))
        counts = LabelCounts(
            predictions=len(self._labelled),
            labelled=labelled,
            own=int(np.count_nonzero(self._own)),
            texts=int(np.count_nonzero(self._labelled & (self._values.codes != NUMBER))),
            duplicates=self._joined - labelled - corrections,
            corrections=corrections,
            early=self._early_labels,
            too_late=self._too_late,
            weight=float(self._weights.sum()),
            labelled_weight=float(self._weights[self._labelled].sum()),
            delays=Delays.of(delays),
        )
        return Labels(column_of(self._values, self._labelled, self._texts), self._times.copy(), counts)

    def _begin(self, predictions: pa.Table) -> None:
        """Take the labels that came in the predictions' own records, at the times of these."""
        values, given = self._texts.read(predictions)
        rows = np.flatnonzero(given)
        self._joined = len(rows)
        self._labelled[rows] = self._own[rows] = True
        self._times[rows] = self._first[rows] = self._predicted[rows]
        self._values.put(rows, values.take(given))

    def _fold(self, rows: Places, times: Places, values: Values) -> None:
        """Put labels (k,) to their rows, any number to each."""
        if not np.all(rows[1:] >= rows[:-1]):
            order = np.argsort(rows, kind="stable")
            rows, times, values = rows[order], times[order], values.take(order)
        same = rows[1:] == rows[:-1]
        if same.any():
            several = np.append(same, False) | np.append(False, same)
            self._hold(rows[~several], times[~several], values.take(~several))
            rows, times, values = self._newest(rows[several], times[several], values.take(several))
        self._hold(rows, times, values)

    def _newest(self, rows: Places, times: Places, values: Values) -> tuple[Places, Places, Values]:
        """Return of each row the label that counts among these, and note the others."""
        order = np.lexsort((values.numbers, self._texts.ranks(values.codes), times, rows))
        rows, times, values = rows[order], times[order], values.take(order)
        last = np.flatnonzero(np.append(rows[1:] != rows[:-1], True))
        first = np.append(0, last[:-1] + 1)
        self._first[rows[first]] = np.minimum(self._first[rows[first]], times[first])
        winners = values.take(np.repeat(last, last - first + 1))
        self._note(rows, values, ~values.equal(winners))
        return rows[last], times[last], values.take(last)

    def _hold(self, rows: Places, times: Places, values: Values) -> None:
        """Put labels (k,) to their rows, one to each."""
        self._first[rows] = np.minimum(self._first[rows], times)
        held = self._values.take(rows)
        newer = ~self._labelled[rows] | self._own[rows] | (times > self._times[rows])
        tied = np.flatnonzero(~newer & (times == self._times[rows]))
        newer[tied] = self._texts.greater(values.take(tied), held.take(tied))
        differs = self._labelled[rows] & ~values.equal(held)
        self._note(rows, held, differs & newer)
        self._note(rows, values, differs & ~newer)
        rows, times, values = rows[newer], times[newer], values.take(newer)
        self._labelled[rows], self._own[rows] = True, False
        self._times[rows] = times
        self._values.put(rows, values)

    def _note(self, rows: Places, values: Values, which: Mask) -> None:
        if which.any():
            self._others.append((rows[which], values.take(which)))
            self._noted += int(np.count_nonzero(which))
            if self._noted > self._compact_from:
                self._compact()

    def _compact(self) -> tuple[Places, Values]:
        """Keep each (row, value) of those noted once, and return them."""
        rows = np.concatenate([known for known, _ in self._others])
        values = Values.joined([known for _, known in self._others])
        order = np.lexsort((values.numbers, values.codes, rows))
        rows, values = rows[order], values.take(order)
        fresh = np.ones(len(rows), dtype=np.bool_)
        fresh[1:] = (rows[1:] != rows[:-1]) | ~values.take(slice(1, None)).equal(values.take(slice(None, -1)))
        rows, values = rows[fresh], values.take(fresh)
        self._others, self._noted = [(rows, values)], len(rows)
        self._compact_from = max(_COMPACT_FROM, 2 * len(rows))
        return rows, values

    def _corrections(self) -> int:
        """Return how many values there were beside those that count."""
        if not self._others:
            return 0
        rows, values = self._compact()
        return int(np.count_nonzero(~values.equal(self._values.take(rows))))


def join(predictions: pa.Table, labels: Iterable[pa.Table], reach: Reach) -> Labels:
    """Return the labels of `predictions`, of all tables of `labels`; see LabelJoin."""
    state = LabelJoin(predictions, reach)
    for table in labels:
        state.add(table)
    return state.labels()
