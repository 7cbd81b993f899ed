"""The join of any stretch of spans, months of them, in bounded memory: one range of hashes after the other.

Beside `labelling` this knows nothing of windows and revisions: it joins all predictions that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor import records as r
from monitor.cuts import SpanStorage
from monitor.jobs.span_reading import read_columns
from monitor.store.label_ledger import StoredSpan
from monitor.window.hash_ranges import HashRange, split
from monitor.window.label_reach import Reach
from monitor.window.label_values import numpy_of
from monitor.window.labels import LABEL_COLUMNS, PREDICTION_COLUMNS, LabelJoin, Labels


def join_in_ranges(
    predictions: Sequence[StoredSpan],
    labels: Sequence[StoredSpan],
    storage: SpanStorage,
    reach: Reach,
    *,
    rows: int,
    columns: Sequence[str] = (),
) -> Iterator[tuple[pa.Table, Labels]]:
    """Yield the predictions of these spans, about `rows` at a time, with their labels; ranges of hashes come in order.

    A table has the columns of PREDICTION_COLUMNS and those of `columns` that its spans have, of one type in all of them, sorted
    by hash, request id, instance and event time. Every file is read once for each range, and decoded in so far as its row groups
    hold rows of the range.

    Raises:
        TransientError: a span file cannot be read.
    """
    if not predictions:
        return
    least, most = min(span.min_hash for span in predictions), max(span.max_hash for span in predictions)
    wanted = [*PREDICTION_COLUMNS, *columns]
    for hashes in split(least, most, sum(span.rows for span in predictions), rows):
        near = _near(predictions, hashes)
        if near:  # nothing of a range is kept here while the next one is read
            yield from _joined(_ordered(near, storage, wanted, hashes), _near(labels, hashes), storage, reach, hashes)


def _joined(
    predictions: pa.Table, labels: Sequence[StoredSpan], storage: SpanStorage, reach: Reach, hashes: HashRange
) -> Iterator[tuple[pa.Table, Labels]]:
    if not len(predictions):
        return
    state = LabelJoin(predictions, reach)
    for span in labels:
        state.add(read_columns(storage, span.name, LABEL_COLUMNS, hashes))
    yield predictions, state.labels()


def _near(spans: Sequence[StoredSpan], hashes: HashRange) -> list[StoredSpan]:
    return [span for span in spans if hashes.meets(span.min_hash, span.max_hash)]


def _ordered(spans: Sequence[StoredSpan], storage: SpanStorage, columns: Sequence[str], hashes: HashRange) -> pa.Table:
    """Return the rows of a range in canonical order."""
    table = _concatenated([_copied(read_columns(storage, span.name, columns, hashes)) for span in spans])
    keys = numpy_of(table.column(r.HASH))
    order = np.argsort(keys, kind="stable")
    if np.any(keys[order[1:]] == keys[order[:-1]]):
        names = (r.HASH, r.REQUEST_ID, r.INSTANCE, r.EVENT_TIME)
        order = pc.sort_indices(table.select(names), sort_keys=[(name, "ascending") for name in names])
    return table.take(pa.array(order)).combine_chunks()


def _copied(table: pa.Table) -> pa.Table:
    """Return a slice as a table of its own: the slice would keep all that was decoded for it in memory."""
    return table.take(pa.array(np.arange(len(table))))


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables as one; a column that some do not have is null there."""
    fields = {field.name: field for table in tables for field in table.schema}
    schema = pa.schema(list(fields.values()))
    return pa.concat_tables(
        pa.table(
            [
                table.column(name) if name in table.column_names else pa.nulls(len(table), schema.field(name).type)
                for name in fields
            ],
            schema=schema,
        )
        for table in tables
    )
