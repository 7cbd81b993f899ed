"""Which topics and files there are, and what their records are; changes with the frame of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.config.settings import ModelSettings, Settings, StreamSettings
from monitor.errors import ConfigError
from monitor.records import SpanKind


@dataclass(frozen=True, slots=True)
class Stream:
    """One topic, or one file pattern, and the models whose records it carries.

    Attributes:
        name: the topic, or the files as configured; the name of all its partitions.
        kind: traffic or labels.
        source: how it is read; equal for all its models.
        models: settings by model.
    """

    name: str
    kind: SpanKind
    source: StreamSettings
    models: Mapping[str, ModelSettings]

    @property
    def reads_headers(self) -> bool:
        """Whether records are made of headers and timestamps too, not of values alone."""
        return self.source.format not in ("json", "table")

    @property
    def joins(self) -> bool:
        """Whether a record is made of two messages."""
        return self.source.format == "cloudevents"


def streams_of(settings: Settings) -> tuple[Stream, ...]:
    """Return the streams, sorted by name.

    Raises:
        ConfigError: two models read one topic or file in different ways.
    """
    found: dict[str, Stream] = {}
    for model, options in sorted(settings.models.items()):
        for kind, source in ((SpanKind.TRAFFIC, options.traffic), (SpanKind.LABELS, options.labels)):
            if source is None:
                continue
            name = source.topic or source.files or ""
            stream = found.get(name, Stream(name, kind, source, {}))
            if stream.kind is not kind or _how(stream.source) != _how(source):
                raise ConfigError(f"models.{model}: {name!r} is read as something else too; use one topic for one kind")
            if source.columns is not None and stream.models:
                raise ConfigError(f"models.{model}: {name!r} is a table of another model already")
            found[name] = Stream(name, kind, stream.source, {**stream.models, model: options})
    return tuple(stream for _, stream in sorted(found.items()))


def _how(source: StreamSettings) -> tuple[object, ...]:
    same = source.model_dump(exclude={"topic", "files", "horizon"})
    return source.topic is None, repr(sorted(same.items()))
