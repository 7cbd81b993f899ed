"""Replay of flights into Kafka: requests at scheduled departure, labels at landing. Changes with the record format."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from monitor.demo.flights import FEATURES, LANDED_AT, MODEL, VERSION
from monitor.errors import TransientError
from monitor.records import EVENT_TIME, LABEL, PREDICTION, REQUEST_ID

_CHUNK_MESSAGES = 10_000
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Topics:
    """Where the two kinds of records go."""

    traffic: str
    labels: str
    partitions: int = 3


class Message(NamedTuple):
    """One Kafka message; key is the request id, so that a request and its label share a partition number."""

    is_label: bool
    key: bytes
    value: bytes


def messages(rows: pa.Table) -> Iterator[list[Message]]:
    """Yield all messages in order of event time, in chunks.

    `rows` are flights with a float64 column `prediction`. Each makes a traffic record at its scheduled departure and,
    unless it was cancelled or diverted, a label record when it landed. Where times are equal the request comes first.
    """
    rows = rows.combine_chunks()
    departed = _micros(rows, EVENT_TIME)
    landed = _micros(rows, LANDED_AT)
    order = np.argsort(np.concatenate([departed, landed]), kind="stable")
    count = rows.num_rows
    labels = int((landed != _NEVER).sum())
    order = order[: count + labels]
    for start in range(0, len(order), _CHUNK_MESSAGES):
        chunk = order[start : start + _CHUNK_MESSAGES]
        is_label = chunk >= count
        requests = iter(_requests(rows.take(pa.array(chunk[~is_label]))))
        outcomes = iter(_labels(rows.take(pa.array(chunk[is_label] - count))))
        yield [next(outcomes) if label else next(requests) for label in is_label.tolist()]


def create_topics(bootstrap_servers: Sequence[str], topics: Topics) -> None:
    """Create both topics.

    Raises:
        TransientError: the broker cannot be reached or refuses.
    """
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic
    from kafka.errors import KafkaError

    _require_listener(bootstrap_servers)
    try:
        admin = KafkaAdminClient(bootstrap_servers=list(bootstrap_servers))
        try:
            admin.create_topics([NewTopic(name, topics.partitions, -1) for name in (topics.traffic, topics.labels)])
        finally:
            admin.close()
    except KafkaError as exc:
        raise TransientError(f"Kafka at {','.join(bootstrap_servers)} cannot be used: {exc}") from exc


def replay(
    bootstrap_servers: Sequence[str],
    topics: Topics,
    chunks: Iterator[list[Message]],
    on_sent: Callable[[int], None],
    cancelled: Event,
) -> None:
    """Send all chunks and wait until the broker has them; `on_sent` is told the number of messages after each chunk.

    Returns early, with what was sent so far flushed, once `cancelled` is set.

    Raises:
        TransientError: the broker cannot be reached, or lost a message.
    """
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    lost: list[BaseException] = []
    try:
        # Whole seconds of traffic in a batch: the replay is about throughput, nobody waits for one message.
        producer = KafkaProducer(
            bootstrap_servers=list(bootstrap_servers),
            linger_ms=50,
            batch_size=512 * 1024,
            compression_type="lz4",
            metrics_enabled=False,
        )
        try:
            for chunk in chunks:
                if cancelled.is_set():
                    break
                for message in chunk:
                    topic = topics.labels if message.is_label else topics.traffic
                    partition = partition_of(message.key, topics.partitions)
                    producer.send(topic, message.value, message.key, partition=partition).add_errback(lost.append)
                on_sent(len(chunk))
            producer.flush(timeout=60)
        finally:
            producer.close(timeout=5)
    except KafkaError as exc:
        raise TransientError(f"Kafka at {','.join(bootstrap_servers)} took no more messages: {exc}") from exc
    if lost:
        raise TransientError(f"Kafka at {','.join(bootstrap_servers)} lost messages: {lost[0]}")


def partition_of(key: bytes, partitions: int) -> int:
    """Choose by CRC-32 of the key, as librdkafka does.

    The producer's own murmur2 is pure Python and would be the slowest step of the replay.
    """
    return zlib.crc32(key) % partitions


def _require_listener(bootstrap_servers: Sequence[str]) -> None:
    # The client would try for half a minute, and leave its sockets open when it gives up.
    for server in bootstrap_servers:
        host, port = server.rsplit(":", 1)
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return
    raise TransientError(f"no Kafka answers at {','.join(bootstrap_servers)}: start it, or correct the address")


def _requests(rows: pa.Table) -> Iterator[Message]:
    times = _rfc3339(rows, EVENT_TIME)
    ids = rows.column(REQUEST_ID).to_pylist()
    predictions = rows.column(PREDICTION).to_pylist()
    features = zip(*(rows.column(name).to_pylist() for name in FEATURES), strict=True)
    for request_id, at, prediction, values in zip(ids, times, predictions, features, strict=True):
        record: dict[str, Any] = {
            "model": MODEL,
            "version": VERSION,
            "request_id": request_id,
            "event_time": at,
            "features": dict(zip(FEATURES, values, strict=True)),
            "prediction": prediction,
        }
        yield Message(False, request_id.encode(), orjson.dumps(record))


def _labels(rows: pa.Table) -> Iterator[Message]:
    columns = (rows.column(REQUEST_ID).to_pylist(), _rfc3339(rows, LANDED_AT), rows.column(LABEL).to_pylist())
    for request_id, at, label in zip(*columns, strict=True):
        record = {"model": MODEL, "request_id": request_id, "label": label, "event_time": at}
        yield Message(True, request_id.encode(), orjson.dumps(record))


def _micros(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = rows.column(name).cast(pa.int64()).fill_null(_NEVER).to_numpy()
    return values


def _rfc3339(rows: pa.Table, name: str) -> list[str]:
    seconds = _micros(rows, name).astype("datetime64[us]").astype("datetime64[s]")
    return [f"{text}Z" for text in np.datetime_as_string(seconds).tolist()]
