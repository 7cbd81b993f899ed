"""Which source reads which streams; changes with the kinds of input that settings may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from collectors.file_source import FileSource
from collectors.kafka import KafkaSource
from collectors.source import Source
from collectors.streams import Stream, streams_of
from monitor.clock import Clock
from monitor.config.settings import Settings
from monitor.records import ColumnTypes


def open_sources(
    settings: Settings, clock: Clock, types_of: Callable[[str], ColumnTypes] = lambda _: {}
) -> Mapping[str, tuple[Sequence[Stream], Source]]:
    """Return the sources that the settings need, each with its streams, by the kind of input: "kafka" or "files".

    `types_of` tells the column types of a model, without which a CSV file's "007" is a number.

    Raises:
        ConfigError: the settings of a stream contradict each other, or the driver refuses them.
        TransientError: no broker answers.
    """
    streams = streams_of(settings)
    topics = [stream for stream in streams if stream.source.topic is not None]
    opened: dict[str, tuple[Sequence[Stream], Source]] = {}
    if topics and settings.kafka is not None:
        opened["kafka"] = topics, KafkaSource(settings.kafka, [stream.name for stream in topics], clock)
    files = [stream for stream in streams if stream.source.files is not None]
    if files:
        opened["files"] = files, FileSource(files, clock, types_of)
    return opened
