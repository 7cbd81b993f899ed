"""Tables from files: Parquet, CSV, JSON Lines and TFRecord, local or remote; changes with the ways to name the files.

The plain types that columns get are those of `monitor.window.plain`; what is particular to a format stands in
`collectors.formats`. Columns have one type over all files (`collectors.shapes`), and a column that a file lacks is null there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa

from collectors.formats import comma_separated, json_lines, parquet, tfrecord
from collectors.formats.detect import Format, as_binary, decompressed, detect, reading
from collectors.shapes import Shape, Shapes, csv_shapes, mixed_shapes, shaped, typed_shapes
from monitor.errors import InputError
from monitor.records import ColumnTypes

_INDEX_COLUMN = re.compile(r"|Unnamed: 0|__index_level_\d+__")
"""What pandas writes for a frame's index: a row number is no feature."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a table; `name` is what people call it."""

    filesystem: Any
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class _Source:
    files: Sequence[DataFile]
    format: Format
    types: ColumnTypes


@dataclass(frozen=True, slots=True)
class Tables:
    """Files whose columns' types are known, to be read as often as is wanted; see `open_tables`."""

    _source: _Source | None
    _shapes: Shapes

    @property
    def schema(self) -> pa.Schema:
        """The columns over all files, with their types."""
        return shaped(pa.table({}), self._shapes).schema

    def batches(self, batch_rows: int = 65_536, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows, at most `batch_rows` at a time, never of two files; only `columns` of them where they are given.

        Raises:
            InputError: a file cannot be read, or one of `columns` does not exist.
        """
        names = self.schema.names
        for name in columns or ():
            if name not in names:
                raise InputError(f"there is no column {name!r}; the columns are: {', '.join(names)}")
        if self._source is None:
            return
        shapes = {name: shape for name, shape in self._shapes.items() if columns is None or name in columns}
        for _, block in _blocks(self._source, columns):
            table = shaped(block, shapes)
            for start in range(0, table.num_rows, batch_rows):
                yield table.slice(start, batch_rows)


def open_tables(uri: str, *, types: ColumnTypes | None = None) -> Tables:
    """Return the tables of a file, folder or glob, after reading them once to tell the types (of Parquet mostly the footers).

    `types` are the types that are already known: in CSV, a column of type BYTES keeps its text ("007").

    Raises:
        InputError: nothing is there, or it cannot be read; one line says what, where, and what to do.
    """
    source = _source(uri, types)
    shapes: Shapes = {}
    if source is not None:
        for where, block in _shape_blocks(source):
            shapes = _after(shapes, block, where, source)
    return Tables(source, shapes)


def iter_tables(
    uri: str, batch_rows: int = 65_536, *, types: ColumnTypes | None = None, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of `read_table`, at most `batch_rows` at a time, holding no more than a block of a file in memory.

    Files in the order of their paths; a batch never spans two. Raises InputError as `open_tables` and `Tables.batches` do.
    """
    yield from open_tables(uri, types=types).batches(batch_rows, columns)


def read_table(uri: str, *, types: ColumnTypes | None = None) -> pa.Table:
    """Return all rows of a file, folder or glob at once; types and errors are those of `open_tables`."""
    source = _source(uri, types)
    shapes: Shapes = {}
    kept = []
    if source is not None:
        for where, block in _blocks(source, None):
            shapes = _after(shapes, block, where, source)
            kept.append(block)
    # An empty first chunk makes pyarrow write a CSV header twice, and is of use to nobody.
    filled = [shaped(block, shapes) for block in kept if block.num_rows]
    return pa.concat_tables(filled) if filled else shaped(pa.table({}), shapes)


def matching_files(uri: str) -> list[DataFile]:
    """Return the files that a path, folder or glob stands for, sorted by path.

    A folder stands for all files below it, save those that start with a dot or underscore (`_SUCCESS`).

    Raises:
        InputError: there are none, or the location cannot be reached.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise InputError(f"{uri}: this kind of location cannot be opened ({error})") from error
    with reading(uri):
        if filesystem.isfile(path):
            found = [path]
        elif filesystem.isdir(path):
            found = _below(filesystem, path)
        elif fsspec.core.has_magic(path):
            found = [name for match in filesystem.glob(path) for name in _below(filesystem, match)]
        else:
            raise InputError(f"{uri}: there is no such file or folder")
    if not found:
        raise InputError(f"{uri}: no files there")
    return [DataFile(filesystem, name, _called(filesystem, name)) for name in sorted(set(found))]


def _below(filesystem: Any, path: str) -> list[str]:
    if filesystem.isfile(path):
        return [path]
    names = filesystem.find(path)
    return [name for name in names if not any(part.startswith((".", "_")) for part in name[len(path) :].split("/"))]


def _called(filesystem: Any, path: str) -> str:
    protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
    return path if protocol in ("file", "local") else str(filesystem.unstrip_protocol(path))


def _source(uri: str, types: ColumnTypes | None) -> _Source | None:
    """Return the files of `uri` that are not empty; None where all are, of a format in which that means no rows."""
    files = matching_files(uri)
    formats: dict[str, Format | None] = {}
    filled = []
    for file in files:
        with _opened(file) as stream:
            formats[file.name] = detect(stream, file.name)
            stream.seek(0)
            if stream.read(1):
                filled.append(file)
    if not filled:
        if set(formats.values()) <= {Format.JSON_LINES, Format.TFRECORD}:
            return None
        raise InputError(f"{files[0].name}: the file is empty")
    first = filled[0]
    chosen = formats[first.name]
    for file in filled:
        if formats[file.name] != chosen:
            raise InputError(
                f"{uri}: {first.name} is {chosen}, but {file.name} is {formats[file.name]}; name files of one format by a glob"
            )
    if chosen is None:
        raise InputError(f"{first.name}: the file is empty")
    return _Source(filled, chosen, types or {})


@contextmanager
def _opened(file: DataFile) -> Iterator[BinaryIO]:
    with reading(file.name), file.filesystem.open(file.path, "rb") as raw:
        yield decompressed(as_binary(raw))


def _blocks(source: _Source, columns: Sequence[str] | None) -> Iterator[tuple[str, pa.Table]]:
    for file in source.files:
        with _opened(file) as stream:
            if source.format is Format.PARQUET:
                tables = parquet.blocks(stream, file.name, columns)
            else:
                tables = _READERS[source.format](stream, file.name)
            for table in tables:
                yield file.name, _without_index(table)


def _shape_blocks(source: _Source) -> Iterator[tuple[str, pa.Table]]:
    if source.format is not Format.PARQUET:
        yield from _blocks(source, None)
        return
    for file in source.files:
        with _opened(file) as stream:
            for table in parquet.shape_blocks(stream, file.name):
                yield file.name, _without_index(table)


_READERS = {
    Format.CSV: comma_separated.blocks,
    Format.JSON_LINES: json_lines.blocks,
    Format.TFRECORD: tfrecord.blocks,
}


def _without_index(table: pa.Table) -> pa.Table:
    names = [name for name in table.column_names if not _INDEX_COLUMN.fullmatch(name)]
    return table if len(names) == table.num_columns else table.select(names)


def _after(shapes: Shapes, block: pa.Table, where: str, source: _Source) -> dict[str, Shape]:
    """Return what is known of the columns after one more block."""
    match source.format:
        case Format.CSV:
            return csv_shapes(shapes, block, source.types)
        case Format.JSON_LINES:
            return mixed_shapes(shapes, block)
        case _:
            return typed_shapes(shapes, block, where, of_examples=source.format is Format.TFRECORD)
