"""One answered request on its way to Kafka; changes with what is said about a request besides its contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from collectors.wire import headers
from collectors.wire.messages import LogMetadata, ModelSpec, PredictionLog, SamplingConfig


@dataclass(frozen=True, slots=True)
class Encoded:
    """The contents of an exchange.

    Attributes:
        log: bytes of a PredictionLog, without `log_metadata`.
        model: name of the model.
        version: of the model that answered; empty where nobody knows.
        signature: name of the signature; empty for the default one.
    """

    log: bytes
    model: str
    version: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its answer, not yet encoded.

    Attributes:
        request_id: not empty.
        event_time: when the request came in, aware.
        status: HTTP status or name of the gRPC code; empty where nobody knows.
        size: bytes that `encode` holds on to.
        encode: makes the message, later and on another thread; raises InvalidRecord where that cannot be done.
        latency_seconds: from the request to the end of its answer, where known.
    """

    request_id: str
    event_time: datetime
    status: str
    size: int
    encode: Callable[[], Encoded]
    latency_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to Kafka: all messages of one request id have the same key, and so lie in one partition."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int


def message_of(exchange: Exchange, encoded: Encoded, rate: float) -> Message:
    """Return the message of an exchange that was kept with probability `rate`, by the hash of its id."""
    key = exchange.request_id.encode()
    moment = exchange.event_time.astimezone(UTC)
    stated = [
        (headers.REQUEST_ID, key),
        (headers.MODEL, encoded.model.encode()),
        (headers.VERSION, encoded.version.encode()),
        (headers.SIGNATURE, encoded.signature.encode()),
        (headers.EVENT_TIME, moment.isoformat(timespec="microseconds").replace("+00:00", "Z").encode()),
        (headers.STATUS, exchange.status.encode()),
        (headers.SAMPLING_RATE, repr(float(rate)).encode()),
        (headers.SAMPLER, b"xxh3_64"),
    ]
    if exchange.latency_seconds is not None:
        stated.append((headers.LATENCY_SECONDS, f"{exchange.latency_seconds:.6f}".encode()))
    seconds = moment.timestamp()
    spec = ModelSpec(name=encoded.model, signature_name=encoded.signature)
    metadata = LogMetadata(
        model_spec=spec, sampling_config=SamplingConfig(sampling_rate=rate), timestamp_secs=int(seconds)
    )
    # Messages that follow each other merge: the log is not parsed again to add to it.
    value = encoded.log + PredictionLog(log_metadata=metadata).SerializeToString()
    return Message(key, value, stated, int(seconds * 1000))
