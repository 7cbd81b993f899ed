"""Which decoder reads which stream; changes when a wire format is added."""

from __future__ import annotations

from collectors.buffer import Decode
from collectors.streams import Stream
from collectors.wire.blocks import Envelope
from collectors.wire.json_records import JsonDecoder
from collectors.wire.table_rows import TableDecoder


def decoder_of(stream: Stream, envelope: Envelope) -> Decode:
    """Return how blocks of `stream` become rows of `envelope`."""
    if stream.source.columns is not None:
        tables = TableDecoder(envelope, stream.source.columns)
        return lambda block, now: tables.decode(block.table, now)
    records = JsonDecoder(envelope)
    return lambda block, now: records.decode(block.values, now)
