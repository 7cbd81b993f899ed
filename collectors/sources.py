"""Which source reads which streams; changes with the kinds of input that settings may name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from collectors.file_source import FileSource
from collectors.kafka import KafkaSource
from collectors.source import Source
from collectors.streams import Stream, streams_of
from monitor.clock import Clock
from monitor.config.settings import KafkaSettings, Settings
from monitor.errors import ConfigError
from monitor.records import ColumnTypes


def open_sources(
    settings: Settings,
    clock: Clock,
    types_of: Callable[[str], ColumnTypes] = lambda _: {},
    *,
    only: Collection[str] | None = None,
) -> Mapping[str, tuple[Sequence[Stream], Source]]:
    """Return the sources that the settings need, each with its streams, by the kind of input: "kafka" or "files".

    With `only`, the streams of these names alone are opened. `types_of` tells the column types of a model, without which a CSV
    file's "007" is a number.

    Raises:
        ConfigError: the settings of a stream contradict each other, or the driver refuses them.
        TransientError: no broker answers.
    """
    streams = [stream for stream in streams_of(settings) if only is None or stream.name in only]
    topics = [stream for stream in streams if stream.source.topic is not None]
    opened: dict[str, tuple[Sequence[Stream], Source]] = {}
    if topics and settings.kafka is not None:
        opened["kafka"] = topics, _kafka(settings.kafka, topics, clock)
    files = [stream for stream in streams if stream.source.files is not None]
    if files:
        opened["files"] = files, FileSource(files, clock, types_of)
    return opened


def _kafka(settings: KafkaSettings, streams: Sequence[Stream], clock: Clock) -> Source:
    topics = [stream.name for stream in streams]
    with_headers = {stream.name for stream in streams if stream.reads_headers}
    if settings.driver == "kafka-python":
        return KafkaSource(settings, topics, clock, with_headers=with_headers)
    try:
        from collectors.librdkafka import LibrdkafkaSource
    except ModuleNotFoundError as error:
        raise ConfigError("kafka.driver: librdkafka needs its library: pip install 'driftline[librdkafka]'") from error
    return LibrdkafkaSource(settings, topics, clock, with_headers=with_headers)
