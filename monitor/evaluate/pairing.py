"""Rows of two models about the same requests, paired by id; changes with what an id may be."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import InputError
from monitor.records import INSTANCE
from monitor.window.plain import plain_column

_SEPARATOR = "\x1f"


def paired(
    one: pa.Table, other: pa.Table, id_column: str, names: tuple[str, str], shared: Collection[str] = ()
) -> tuple[pa.Table, pa.Table]:
    """Return the rows whose id is in both tables, those of the second in the order of the first.

    An `instance` column that both have is part of the id, since the instances of one request share theirs. Columns named in
    `shared` that the second table lacks (its labels) it gets from the first.

    Args:
        one: the first table.
        other: the second.
        id_column: column with the id, in both.
        names: what people call the tables, for messages.
        shared: columns that say the same of a request on both sides.

    Raises:
        InputError: a row has no id, or an id is in several rows of one table.
    """
    columns = [id_column] + [INSTANCE] * (INSTANCE in one.column_names and INSTANCE in other.column_names)
    ids, other_ids = (_ids(table, columns, name) for table, name in zip((one, other), names, strict=True))
    there = pc.index_in(ids, value_set=other_ids)
    kept = pc.is_valid(there).to_numpy(zero_copy_only=False)
    left = one.take(pa.array(np.flatnonzero(kept)))
    right = other.take(there.drop_null())
    for name in sorted(set(shared) & set(one.column_names) - set(other.column_names)):
        right = right.append_column(left.schema.field(name), left.column(name))
    return left, right


def _ids(table: pa.Table, columns: list[str], name: str) -> pa.Array:
    parts = [plain_column(column, table.column(column)) for column in columns]
    nulls = parts[0].null_count
    if nulls:
        raise InputError(f"{name}: {nulls} of {len(parts[0])} rows have no id in column {columns[0]!r}")
    texts = [pc.cast(part, pa.string()) for part in parts]
    ids = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, _SEPARATOR, null_handling="replace")
    distinct = pc.count_distinct(ids).as_py()
    if distinct < len(ids):
        raise InputError(
            f"{name}: column {columns[0]!r} cannot be the id: {len(ids) - distinct} of {len(ids)} rows repeat an id, "
            "and one row of each request is compared with one"
        )
    return ids
