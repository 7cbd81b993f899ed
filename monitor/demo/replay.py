"""Replay of flights: requests to the model at scheduled departure, labels into Kafka at landing. Changes with what is sent.

All flights that are scheduled for one minute are one request, as a batch scorer would send them.
"""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from monitor.demo.client import Answer, Connection, connect
from monitor.demo.flights import FEATURES, LANDED_AT, MODEL
from monitor.errors import TransientError
from monitor.records import EVENT_TIME, LABEL, PREDICTION, REQUEST_ID

PATH = f"/v1/models/{MODEL}:predict"
REQUEST_ID_HEADER = "x-request-id"
EVENT_TIME_HEADER = "x-driftline-event-time"
"""Taken by `driftline proxy --trust-event-time`: these requests are of 2013."""

_CONNECTIONS = 32
_ANSWER_SECONDS = 60.0
_CHUNK_STEPS = 5_000
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Topics:
    """Where the two kinds of records go."""

    traffic: str
    labels: str
    partitions: int = 3


class Request(NamedTuple):
    """The flights of one minute: rows [start, end) of the table are its instances 0, 1, ...; `at` is RFC 3339."""

    id: str
    at: str
    body: bytes
    start: int
    end: int


class Label(NamedTuple):
    """What became of one instance: a Kafka message; the key is the request id."""

    key: bytes
    value: bytes


@dataclass(slots=True)
class Progress:
    """What a replay has done so far, and what came back. Written by the replay only.

    Attributes:
        asked, answered: requests; those under way, or never answered, are the difference.
        labels: messages handed to Kafka.
        at: event time of the newest request; None before the first.
        predictions: float64, one a row; NaN as long as there is no answer.
    """

    predictions: npt.NDArray[np.float64]
    asked: int = 0
    answered: int = 0
    labels: int = 0
    at: datetime | None = None


def requests_in(rows: pa.Table) -> int:
    """Return how many requests `steps` makes."""
    return len(np.unique(_micros(rows, EVENT_TIME)))


def steps(rows: pa.Table) -> Iterator[list[Request | Label]]:
    """Yield all requests and labels in order of event time, in chunks.

    `rows` are flights in order of scheduled departure. Each is one instance of a request and has, unless it was cancelled or
    diverted, a label when it landed. Where times are equal the request comes first.
    """
    rows = rows.combine_chunks()
    departed, landed = _micros(rows, EVENT_TIME), _micros(rows, LANDED_AT)
    _, starts = np.unique(departed, return_index=True)
    ends = np.append(starts[1:], len(departed))
    numbers = np.repeat(np.arange(len(starts)), ends - starts)
    ids = rows.column(REQUEST_ID).take(pa.array(starts)).to_pylist()
    order = np.argsort(np.concatenate([departed[starts], landed]), kind="stable")
    count = len(starts)
    order = order[: count + int((landed != _NEVER).sum())]
    for first in range(0, len(order), _CHUNK_STEPS):
        chunk = order[first : first + _CHUNK_STEPS]
        is_label = chunk >= count
        asked = chunk[~is_label]
        requests = iter(_requests(rows, [(ids[n], int(starts[n]), int(ends[n])) for n in asked.tolist()]))
        told = chunk[is_label] - count
        named = [(ids[numbers[row]], int(row - starts[numbers[row]])) for row in told.tolist()]
        labels = iter(_labels(rows.take(pa.array(told)), named))
        yield [next(labels) if label else next(requests) for label in is_label.tolist()]


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


@dataclass(frozen=True, slots=True)
class Replay:
    """Where a replay goes, and what holds it back.

    Attributes:
        address: host:port that answers predict requests.
        may_go_on: asked now and then from another thread; while it says no, nothing more is asked.
        cancelled: ends the replay early once it is set.
    """

    bootstrap_servers: Sequence[str]
    topics: Topics
    address: str
    may_go_on: Callable[[], bool]
    cancelled: Event

    def run(self, chunks: Iterable[list[Request | Label]], progress: Progress) -> None:
        """Send everything, and wait until all is answered and the broker has all labels.

        Raises:
            TransientError: the model server, the proxy or the broker does not answer, or lost something.
        """
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        servers = ",".join(self.bootstrap_servers)
        lost: list[BaseException] = []
        try:
            # Whole seconds of labels in a batch: the replay is about throughput, nobody waits for one message.
            producer = KafkaProducer(
                bootstrap_servers=list(self.bootstrap_servers),
                linger_ms=50,
                batch_size=512 * 1024,
                compression_type="lz4",
                metrics_enabled=False,
            )
            try:

                def tell(label: Label) -> None:
                    partition = partition_of(label.key, self.topics.partitions)
                    producer.send(self.topics.labels, label.value, label.key, partition=partition).add_errback(
                        lost.append
                    )
                    progress.labels += 1

                self._send(chunks, tell, progress)
                producer.flush(timeout=60)
            finally:
                producer.close(timeout=5)
        except KafkaError as exc:
            raise TransientError(f"Kafka at {servers} took no more messages: {exc}") from exc
        if lost:
            raise TransientError(f"Kafka at {servers} lost messages: {lost[0]}")

    def _send(self, chunks: Iterable[list[Request | Label]], tell: Callable[[Label], None], progress: Progress) -> None:
        import uvloop

        async def everything() -> None:
            ahead = (step for chunk in chunks for step in chunk)
            async with self._pace() as go, asyncio.TaskGroup() as clients:
                for _ in range(_CONNECTIONS):
                    clients.create_task(self._client(ahead, tell, go, progress))

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(everything())
            except BaseExceptionGroup as failed:
                # All clients fail for the same reason.
                raise failed.exceptions[0] from failed

    async def _client(
        self, ahead: Iterator[Request | Label], tell: Callable[[Label], None], go: asyncio.Event, progress: Progress
    ) -> None:
        """Take the next step as soon as the last is done; what all clients take is in order of event time."""
        connection = await connect(self.address)
        try:
            for step in ahead:
                if self.cancelled.is_set():
                    return
                if isinstance(step, Label):
                    tell(step)
                    continue
                if not go.is_set():
                    await go.wait()
                await _ask(connection, step, progress)
        finally:
            connection.close()

    @asynccontextmanager
    async def _pace(self) -> AsyncIterator[asyncio.Event]:
        go = asyncio.Event()
        go.set()

        async def look() -> None:
            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(1, "pace") as executor:
                while True:
                    may = self.cancelled.is_set() or await loop.run_in_executor(executor, self.may_go_on)
                    (go.set if may else go.clear)()
                    await asyncio.sleep(_PACE_SECONDS)

        looking = asyncio.create_task(look())
        try:
            yield go
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking


_PACE_SECONDS = 0.1


async def _ask(connection: Connection, request: Request, progress: Progress) -> None:
    headers = {REQUEST_ID_HEADER: request.id, EVENT_TIME_HEADER: request.at}
    progress.asked += 1
    progress.at = datetime.fromisoformat(request.at)
    answer = await connection.post(PATH, headers, request.body, _ANSWER_SECONDS)
    progress.predictions[request.start : request.end] = predictions(answer, request.end - request.start)
    progress.answered += 1


def predictions(answer: Answer, instances: int) -> npt.NDArray[np.float64]:
    """Return the probabilities that an answer holds, one an instance; raises TransientError where it holds none."""
    if answer.status != HTTPStatus.OK:
        said = answer.body.decode("utf-8", "replace")[:200]
        raise TransientError(f"the model server answered {answer.status} to a request: {said}")
    found: npt.NDArray[np.float64] = np.asarray(orjson.loads(answer.body)["predictions"], np.float64).reshape(-1)
    if len(found) != instances:
        raise TransientError(f"the model server answered {len(found)} predictions to {instances} instances")
    return found


def partition_of(key: bytes, partitions: int) -> int:
    """Choose by CRC-32 of the key, as librdkafka does.

    The producer's own murmur2 is pure Python and would be the slowest step of the labels.
    """
    return zlib.crc32(key) % partitions


def scored(rows: pa.Table, progress: Progress) -> pa.Table:
    """Return the rows with the predictions that came back."""
    return rows.append_column(PREDICTION, pa.array(progress.predictions, from_pandas=True))


def _require_listener(bootstrap_servers: Sequence[str]) -> None:
    # The client would try for half a minute, and leave its sockets open when it gives up.
    for server in bootstrap_servers:
        host, port = server.rsplit(":", 1)
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return
    raise TransientError(f"no Kafka answers at {','.join(bootstrap_servers)}: start it, or correct the address")


def _requests(rows: pa.Table, named: Sequence[tuple[str, int, int]]) -> Iterator[Request]:
    if not named:
        return
    low, high = named[0][1], named[-1][2]
    times = _rfc3339(rows.slice(low, high - low), EVENT_TIME)
    columns = [rows.column(name).slice(low, high - low).to_pylist() for name in FEATURES]
    instances = [dict(zip(FEATURES, map(_known, values), strict=True)) for values in zip(*columns, strict=True)]
    for request_id, start, end in named:
        body = json.dumps({"instances": instances[start - low : end - low]}, separators=(",", ":"))
        yield Request(request_id, times[start - low], body.encode(), start, end)


def _known(value: Any) -> Any:
    """Return what stands for a value in a request: TensorFlow Serving refuses null, and reads NaN."""
    return float("nan") if value is None else value


def _labels(rows: pa.Table, named: Sequence[tuple[str, int]]) -> Iterator[Label]:
    columns = (_rfc3339(rows, LANDED_AT), rows.column(LABEL).to_pylist())
    for (request_id, instance), at, label in zip(named, *columns, strict=True):
        record = {"model": MODEL, "request_id": request_id, "instance": instance, "label": label, "event_time": at}
        yield Label(request_id.encode(), orjson.dumps(record))


def _micros(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = rows.column(name).cast(pa.int64()).fill_null(_NEVER).to_numpy()
    return values


def _rfc3339(rows: pa.Table, name: str) -> list[str]:
    seconds = _micros(rows, name).astype("datetime64[us]").astype("datetime64[s]")
    return [f"{text}Z" for text in np.datetime_as_string(seconds).tolist()]
