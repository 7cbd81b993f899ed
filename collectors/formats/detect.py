"""Which format a file has, from its content and name; changes when a format or a compression is added."""

from __future__ import annotations

import codecs
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from fsspec.compression import compr

from collectors.formats.tfrecord import starts_tfrecord
from monitor.errors import InputError

_HEAD_BYTES = 4096


class Format(StrEnum):
    """The formats of tables."""

    PARQUET = "Parquet"
    CSV = "CSV"
    JSON_LINES = "JSON Lines"
    TFRECORD = "TFRecord"


_BY_SUFFIX = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
    ".json": Format.JSON_LINES,
    ".tfrecord": Format.TFRECORD,
    ".tfrecords": Format.TFRECORD,
    ".tfrec": Format.TFRECORD,
}
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_COMPRESSED_SUFFIXES = {".gz", ".zip", ".bz2", ".xz", ".zst"}


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Translate what opening and decompressing raise into one InputError that names `where`."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{where}: there is no such file") from error
    except PermissionError as error:
        raise InputError(f"{where}: no permission to read it") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"{where}: cannot be read ({str(error).splitlines()[0] if str(error) else 'cut off'})"
        ) from error


def decompressed(stream: BinaryIO) -> BinaryIO:
    """Return the content of a seekable stream, whatever it is compressed with (of a zip archive, the first file)."""
    head = stream.read(8)
    stream.seek(0)
    for magic, name in _COMPRESSIONS.items():
        if head.startswith(magic):
            return io.BufferedReader(compr[name](stream, mode="rb"))
    return stream


def detect(stream: BinaryIO, name: str) -> Format | None:
    """Return the format of a decompressed stream that begins at its first byte; None where it is empty and nameless.

    Content that cannot be mistaken decides first, then the end of the name, then what text looks like.

    Raises:
        InputError: it is none of the formats.
    """
    head = stream.read(_HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if starts_tfrecord(head):
        return Format.TFRECORD
    by_name = _by_name(name)
    if by_name or not head:
        return by_name
    text = _text(head)
    if text is not None:
        if text.lstrip().startswith("{"):
            return Format.JSON_LINES
        if any(delimiter in text.splitlines()[0] for delimiter in ",;\t"):
            return Format.CSV
    raise InputError(
        f"{name}: neither Parquet, CSV, JSON Lines nor TFRecord; name the data files with a glob such as 'folder/*.parquet'"
    )


def _by_name(name: str) -> Format | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED_SUFFIXES:
        suffixes.pop()
    return _BY_SUFFIX.get(suffixes[-1]) if suffixes else None


def _text(head: bytes) -> str | None:
    try:
        # The last character of the head may be cut in two, which is no fault of the file.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return None
    return text if text.strip() and "\x00" not in text else None


def as_binary(stream: object) -> BinaryIO:
    """Return what fsspec opened as the stream of bytes that it is."""
    return cast("BinaryIO", stream)
