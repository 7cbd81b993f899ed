"""Span files, some columns or all, whole or one range of hashes at a time; changes with how span files are read."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.cuts import SpanStorage
from monitor.errors import TransientError
from monitor.records import HASH
from monitor.window.hash_ranges import ALL_HASHES, HashRange
from monitor.window.label_values import numpy_of


def read_columns(
    storage: SpanStorage, name: str, columns: Sequence[str] | None = None, hashes: HashRange = ALL_HASHES
) -> pa.Table:
    """Return columns of the rows of a span whose hashes are in a range: a slice of what is read.

    `columns` are those wanted if the file has them, or None for all. A range needs the column of hashes among them.

    Row groups that hold none of them are not decoded: rows of a span are sorted by hash, and each group knows its bounds.

    Raises:
        TransientError: the file cannot be read.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(storage.get(name)))
        groups = [group for group in range(file.num_row_groups) if _meets(file, group, hashes)]
        known = None if columns is None else [each for each in columns if each in file.schema_arrow.names]
        table = file.read_row_groups(groups, columns=known)
    except (OSError, pa.ArrowInvalid) as error:
        raise TransientError(f"spans: cannot read {name}: {type(error).__name__}") from error
    if hashes == ALL_HASHES:
        return table
    mine = hashes.within(numpy_of(table.column(HASH)))
    return table.slice(mine.start, mine.stop - mine.start)


def _meets(file: pq.ParquetFile, group: int, hashes: HashRange) -> bool:
    statistics = file.metadata.row_group(group).column(file.schema_arrow.names.index(HASH)).statistics
    known = statistics is not None and statistics.has_min_max
    return hashes.meets(statistics.min, statistics.max) if known else True
