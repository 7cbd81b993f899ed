"""CSV and TSV files, each cell as its text; changes when another dialect of CSV is to be understood."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
from pyarrow import csv as arrow_csv

from monitor.errors import InputError

_BLOCK_BYTES = 16 << 20
_DELIMITERS = ",;\t|"


def blocks(stream: BinaryIO, where: str) -> Iterator[pa.Table]:
    """Yield the rows of a decompressed stream as tables of text columns; an empty cell is null.

    The first line names the columns; the delimiter is the one of `, ; tab |` that it holds most often. At least one table comes,
    with no rows where the file has none.

    Raises:
        InputError: there is no header, names repeat, a row has another number of cells, or the text is no UTF-8.
    """
    names, delimiter = _header(stream.readline(), where)
    schema = pa.schema([(name, pa.string()) for name in names])
    rest = io.BufferedReader(_Rest(stream), _BLOCK_BYTES)
    if not rest.peek(1).strip(b"\r\n") and not rest.read().strip():
        yield schema.empty_table()
        return
    try:
        reader = arrow_csv.open_csv(
            rest,
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
            ),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise InputError(f"{where}: {_first_line(error)}") from error


class _Rest(io.RawIOBase):
    """What is left of a stream, so that it can be peeked at, without closing the stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer is wider
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _header(line: bytes, where: str) -> tuple[list[str], str]:
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: the first line is no UTF-8 text; save the file as UTF-8 CSV") from error
    if not text.strip():
        raise InputError(f"{where}: empty where the line with the column names should be")
    delimiter = max(_DELIMITERS, key=text.count)
    names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter))]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{where}: the column {repeated[0]!r} is named twice in the first line; rename one")
    return names, delimiter


def _first_line(error: pa.ArrowInvalid) -> str:
    line = str(error).splitlines()[0]
    return line if len(line) <= 200 else line[:197] + "..."
