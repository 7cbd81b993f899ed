"""Which decoder reads which stream; changes when a wire format is added."""

from __future__ import annotations

from collections.abc import Callable

from collectors.buffer import Decode
from collectors.streams import Stream
from collectors.wire.answers import Choice
from collectors.wire.blocks import Envelope
from collectors.wire.cloudevents import EventReader
from collectors.wire.json_records import JsonDecoder
from collectors.wire.prediction_log import PredictionLogReader
from collectors.wire.requests import Body, Message, RequestDecoder, Roles
from collectors.wire.rest import PairReader
from collectors.wire.table_rows import TableDecoder
from collectors.wire.tf_example import ExampleReader


def decoder_of(stream: Stream, envelope: Envelope) -> Decode:
    """Return how blocks of `stream` become rows of `envelope`."""
    source = stream.source
    if source.columns is not None:
        tables = TableDecoder(envelope, source.columns)
        return lambda block, now: tables.decode(block.table, now)
    if source.format == "json":
        records = JsonDecoder(envelope)
        return lambda block, now: records.decode(block.values, now)
    choice = Choice(source.output, source.output_class)
    read: Callable[[Message], Body | None]
    match source.format:
        case "prediction_log":
            read = PredictionLogReader(choice)
        case "tf_example":
            read = ExampleReader(choice)
        case "rest":
            read = PairReader(choice)
        case _:
            read = EventReader(choice)
    return RequestDecoder(envelope, read, Roles(source.id_feature, source.time_feature)).decode
