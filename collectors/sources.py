"""Which source reads which streams; changes with the kinds of input that settings may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.kafka import KafkaSource
from collectors.source import Source
from collectors.streams import Stream, streams_of
from monitor.clock import Clock
from monitor.config.settings import Settings


def open_sources(settings: Settings, clock: Clock) -> Mapping[str, tuple[Sequence[Stream], Source]]:
    """Return the sources that the settings need, each with its streams, by the kind of input: "kafka" or "files".

    Raises:
        ConfigError: the settings of a stream contradict each other, or the driver refuses them.
        TransientError: no broker answers.
    """
    streams = streams_of(settings)
    topics = [stream for stream in streams if stream.source.topic is not None]
    opened: dict[str, tuple[Sequence[Stream], Source]] = {}
    if topics and settings.kafka is not None:
        opened["kafka"] = topics, KafkaSource(settings.kafka, [stream.name for stream in topics], clock)
    return opened
