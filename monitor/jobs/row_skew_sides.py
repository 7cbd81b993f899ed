"""The two sides of a row-level comparison, read from files a few columns at a time; changes with how files are read for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from collectors.files import DataFile, matching_files, open_tables, read_table
from collectors.formats.detect import Format, as_binary, decompressed, detect, reading
from monitor.compare.row_skew.columns import Column, Kind
from monitor.jobs.row_skew_examples import example_blocks, merged_type, typed_column
from monitor.records import ColumnTypes, FeatureType, ValueType
from monitor.window.conform import Origin, origin_of

_SMALL_BYTES = 256 << 20
"""Files of this size in all are read once and kept; larger ones are read again for each group of columns."""

_Blocks = Callable[[Sequence[str]], Iterable[pa.Table]]


@dataclass(frozen=True, slots=True)
class Side:
    """The files of one side.

    Attributes:
        uri: where they are.
        schema: columns over all files.
        examples: whether they are tf.Examples, so that a feature without values differs from one that is not there.
    """

    uri: str
    schema: pa.Schema
    examples: bool
    _blocks: _Blocks

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """Return columns over all rows; one that the files lack is absent everywhere.

        Raises:
            InputError: a file cannot be read, or a column holds objects.
        """
        known = [name for name in names if name in self.schema.names]
        # Rows are counted by a column, so one is read even where none is wanted.
        read = known or self.schema.names[:1]
        blocks = list(self._blocks(read)) if read else []
        rows = sum(block.num_rows for block in blocks)
        return {name: self._column(name, blocks, rows) for name in names}

    def _column(self, name: str, blocks: Sequence[pa.Table], rows: int) -> Column:
        if name not in self.schema.names:
            return Column.absent(rows)
        field = self.schema.field(name)
        if self.examples:
            return Column.of_examples(name, pa.concat_arrays([typed_column(block, field) for block in blocks]))
        chunks = [chunk for block in blocks for chunk in block.column(name).chunks]
        return Column.of_table(name, pa.chunked_array(chunks, field.type), origin_of(field))


def open_sides(training: str, served: str) -> tuple[Side, Side]:
    """Return both sides; a column of CSV that looks like numbers is text where the other side has text ("007").

    Raises:
        InputError: files are not there or cannot be read.
    """
    sides = _open(training, {}), _open(served, {})
    texts = [_numbers_of_csv(one, other) for one, other in (sides, sides[::-1])]
    return (
        _open(training, texts[0]) if texts[0] else sides[0],
        _open(served, texts[1]) if texts[1] else sides[1],
    )


def _numbers_of_csv(side: Side, other: Side) -> ColumnTypes:
    names = set(side.schema.names) & set(other.schema.names)
    return {
        name: FeatureType(ValueType.BYTES)
        for name in names
        if origin_of(side.schema.field(name)) is Origin.CSV
        and _kind(side, name) in (Kind.INT, Kind.FLOAT)
        and _kind(other, name) is Kind.BYTES
    }


def _kind(side: Side, name: str) -> Kind:
    return Column.of_table(name, pa.array([], side.schema.field(name).type)).kind


def _open(uri: str, types: ColumnTypes) -> Side:
    files = matching_files(uri)
    small = sum(file.filesystem.size(file.path) or 0 for file in files) <= _SMALL_BYTES
    format_ = _format(files)
    if format_ is Format.TFRECORD:
        return _open_examples(uri, files, keep=small)
    if small and format_ is not Format.PARQUET:
        table = read_table(uri, types=types)
        return Side(uri, table.schema, examples=False, _blocks=lambda names: [table.select(names)])
    tables = open_tables(uri, types=types)
    return Side(uri, tables.schema, examples=False, _blocks=lambda names: tables.batches(columns=names))


def _format(files: Sequence[DataFile]) -> Format | None:
    """Return the format of the first file that has content."""
    for file in files:
        with reading(file.name), file.filesystem.open(file.path, "rb") as raw:
            stream = decompressed(as_binary(raw))
            if stream.read(1):
                stream.seek(0)
                return detect(stream, file.name)
    return None


def _open_examples(uri: str, files: Sequence[DataFile], *, keep: bool) -> Side:
    fields: dict[str, pa.DataType] = {}
    kept = []
    for where, block in _decoded(files):
        for field in block.schema:
            fields[field.name] = merged_type(fields.get(field.name), field, where)
        if keep:
            kept.append(block)
    return Side(
        uri,
        pa.schema(list(fields.items())),
        examples=True,
        _blocks=(lambda _: kept) if keep else lambda _: (block for _, block in _decoded(files)),
    )


def _decoded(files: Sequence[DataFile]) -> Iterator[tuple[str, pa.Table]]:
    for file in files:
        with reading(file.name), file.filesystem.open(file.path, "rb") as raw:
            for block in example_blocks(decompressed(as_binary(raw)), file.name):
                yield file.name, block
