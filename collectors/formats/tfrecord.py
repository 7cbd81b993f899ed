"""TFRecord files of tf.Example, without TensorFlow; changes with the framing or the decoder.

Framing (tensorflow/core/lib/io/record_writer.h): uint64 length, uint32 masked CRC-32C of the length, the bytes, uint32 masked
CRC-32C of the bytes, all little-endian. Masked: ((crc >> 15 | crc << 17) + 0xa282ead8) mod 2^32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import crc32c
import pyarrow as pa

from monitor.errors import InputError
from monitor.window.plain import plain_column

_LENGTH = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_BLOCK_RECORDS = 10_000
_LONGEST_RECORD = 1 << 31


def starts_tfrecord(head: bytes) -> bool:
    """Say whether `head`, the first 12 bytes or more of a file, begins with a record whose length has a right checksum."""
    if len(head) < _LENGTH.size:
        return False
    _, crc = _LENGTH.unpack_from(head)
    return bool(masked_crc(head[:8]) == crc)


def blocks(stream: BinaryIO, where: str) -> Iterator[pa.Table]:
    """Yield the examples of a decompressed stream as tables of list columns, about 10,000 rows each.

    Raises:
        InputError: a record is cut off or damaged, or is no tf.Example; the message names `where` and the record's number.
    """
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    decoder = ExamplesToRecordBatchDecoder()
    records = iter_records(stream, where)
    first = 1
    while examples := list(islice(records, _BLOCK_RECORDS)):
        try:
            batch = decoder.DecodeBatch(examples)
        except RuntimeError as error:
            last = first + len(examples) - 1
            raise InputError(
                f"{where}: records {first} to {last} cannot be read as tf.Example ({error}); other messages are not understood"
            ) from error
        arrays = [plain_column(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
        yield _table(arrays, batch.schema.names, batch.num_rows)
        first += len(examples)


def iter_records(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """Yield the bytes of each record, both checksums verified; raises InputError at the first that is damaged."""
    number = 0
    while head := stream.read(_LENGTH.size):
        number += 1
        if len(head) < _LENGTH.size:
            raise InputError(f"{where}: cut off in record {number}; copy the file again")
        length, crc = _LENGTH.unpack(head)
        if masked_crc(head[:8]) != crc or length > _LONGEST_RECORD:
            raise InputError(
                f"{where}: record {number} has a wrong checksum of its length; this is no TFRecord or is damaged"
            )
        body = stream.read(length + _CRC.size)
        if len(body) < length + _CRC.size:
            raise InputError(f"{where}: cut off in record {number}; copy the file again")
        record = body[:length]
        if masked_crc(record) != _CRC.unpack_from(body, length)[0]:
            raise InputError(f"{where}: record {number} has a wrong checksum; the file is damaged")
        yield record


def masked_crc(data: bytes) -> int:
    """Return the checksum of some bytes as the framing has it."""
    crc = int(crc32c.crc32c(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table(arrays: list[pa.Array], names: list[str], rows: int) -> pa.Table:
    if arrays:
        return pa.table(arrays, names=names)
    # Examples without any feature still are rows, and Arrow needs a column to count them.
    return pa.table({"": pa.nulls(rows)})
