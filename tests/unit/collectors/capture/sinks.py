"""Where captured messages go in tests: a list, behind a door that a test opens and shuts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from collectors.capture.exchange import Encoded, Exchange, Message
from collectors.capture.producer import CaptureProducer
from collectors.wire.messages import PredictionLog
from monitor.errors import InvalidRecord, TransientError

WAIT_SECONDS = 20.0


@dataclass
class MemorySink:
    """A sink that takes messages while `there`, and acknowledges them while `answering`."""

    messages: list[Message] = field(default_factory=list)
    there: bool = True
    answering: bool = True
    largest: int = 10**9
    arrives: bool = True
    tried: threading.Event = field(default_factory=threading.Event)
    unanswered: list[Callable[[bool], None]] = field(default_factory=list)

    def open(self) -> MemorySink:
        self.tried.set()
        if not self.there:
            raise TransientError("no broker answers")
        return self

    def send(self, message: Message, done: Callable[[bool], None]) -> None:
        self.tried.set()
        if not self.there:
            raise TransientError("no broker answers")
        if len(message.value) > self.largest:
            raise InvalidRecord("larger than what it takes")
        self.messages.append(message)
        if self.answering:
            done(self.arrives)
        else:
            self.unanswered.append(done)

    def close(self, timeout_seconds: float) -> None:
        pass

    def logs(self) -> list[Any]:
        return [PredictionLog.FromString(message.value) for message in self.messages]

    def headers(self, number: int = 0) -> Mapping[str, str]:
        return {name: value.decode() for name, value in self.messages[number].headers}


@dataclass
class World:
    """A producer with its sink and its counters."""

    sink: MemorySink
    registry: CollectorRegistry
    producer: CaptureProducer

    @classmethod
    def make(cls, **options: Any) -> World:
        sink, registry = MemorySink(), CollectorRegistry()
        return cls(sink, registry, CaptureProducer(sink.open, registry=registry, **options))

    def count(self, name: str, **labels: str) -> int:
        value = self.registry.get_sample_value(f"driftline_capture_{name}", labels)
        assert value is not None, name
        return int(value)

    def totals(self) -> dict[str, int]:
        """All counters that are not zero."""
        return {
            sample.labels.get("reason", sample.name.removeprefix("driftline_capture_").removesuffix("_total")): int(
                sample.value
            )
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.startswith("driftline_capture_") and sample.name.endswith("_total") and sample.value
        }


def exchange(request_id: str = "r-1", size: int = 100, encode: Callable[[], Encoded] | None = None) -> Exchange:
    return Exchange(
        request_id,
        datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        "200",
        size,
        encode or (lambda: Encoded(b"", "flights", "3", "serving_default")),
        0.0125,
    )
