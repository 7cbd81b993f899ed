"""Parquet files; changes with the library that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
from pyarrow import parquet

from monitor.errors import InputError
from monitor.window.plain import needs_look, plain_column

_BLOCK_ROWS = 65_536


def blocks(stream: BinaryIO, where: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows as tables of plain columns, at least one table; only `columns` of the file where they are given.

    Raises:
        InputError: the file is no Parquet or is damaged, or a column holds objects.
    """
    try:
        file = parquet.ParquetFile(stream)
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        yield _plain(file.schema_arrow.empty_table().select(names))
        for batch in file.iter_batches(batch_size=_BLOCK_ROWS, columns=names):
            yield _plain(pa.Table.from_batches([batch]).select(names))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{where}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def shape_blocks(stream: BinaryIO, where: str) -> Iterator[pa.Table]:
    """Yield tables from which the plain types can be told: the empty table, then the columns whose values decide.

    Raises:
        InputError: as `blocks`.
    """
    try:
        schema = parquet.ParquetFile(stream).schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{where}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
    stream.seek(0)
    looked_at = [field.name for field in schema if needs_look(field.type)]
    try:
        yield _plain(schema.empty_table())
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if looked_at:
        yield from blocks(stream, where, looked_at)


def _plain(table: pa.Table) -> pa.Table:
    names = table.column_names
    return pa.table([plain_column(name, table.column(name)) for name in names], names=names)
