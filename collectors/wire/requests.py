"""Messages that are requests with their answers to rows, whatever their bytes; changes with where ids and times come from.

A wire format only says what the body of a message holds (`Body`). What headers say goes before what the body says; what
neither says is the message's own time, and the only model of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from collectors.dead_letter import Reason
from collectors.source import Block, Half
from collectors.wire import headers, times
from collectors.wire.blocks import Decoded, Envelope
from collectors.wire.instances import MOST_INSTANCES, Request, RequestCollector
from collectors.wire.origins import Capture, Origin, capture_of, checked_version, event_time, origins_of
from collectors.wire.tensors import Column, listed
from collectors.wire.values import as_double
from monitor.clock import to_micros
from monitor.errors import InvalidRecord


class Message(NamedTuple):
    """One message as a wire format gets it; `counterpart` as in `collectors.source.Block`."""

    value: bytes
    origin: Origin
    counterpart: Half | None = None


class Body(NamedTuple):
    """What the body of a message holds: `size` instances, and what it says about them.

    Attributes:
        features: by name, one value an instance.
        prediction: one value an instance; None where there is no answer.
        event_time: microseconds since the epoch.
        sampled: share of requests that was captured, independent of their ids; 0 where it is not said.
    """

    size: int
    features: dict[str, Column]
    prediction: Column | None = None
    model: str = ""
    version: str = ""
    request_id: str = ""
    event_time: int | None = None
    sampled: float = 0.0
    latency: float | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Roles:
    """Features that are something else: the request's id, and its time."""

    request_id: str | None = None
    event_time: str | None = None


class RequestDecoder:
    """Decodes the messages of one stream by `read`, which returns None for a message that makes no rows of its own."""

    def __init__(self, envelope: Envelope, read: Callable[[Message], Body | None], roles: Roles) -> None:
        """Decode what `envelope` describes."""
        self._envelope = envelope
        self._read = read
        self._roles = roles
        self._only = next(iter(envelope.types)) if len(envelope.types) == 1 else None

    def decode(self, block: Block, now: datetime) -> Decoded:
        """Return the rows of a block, and the messages that can never be read; `now` judges times in the future."""
        limits = {model: to_micros(now + ahead) for model, ahead in self._envelope.max_future.items()}
        found = RequestCollector(self._envelope)
        counterparts: Sequence[Half | None] = block.counterparts or [None] * len(block.values)
        for index, (value, origin) in enumerate(zip(block.values, origins_of(block), strict=True)):
            try:
                if value is None:
                    raise InvalidRecord(Reason.NULL_VALUE)
                body = self._read(Message(value, origin, counterparts[index]))
                found.add(None if body is None else self._request(body, origin, limits))
            except InvalidRecord as error:
                found.bury(index, str(error))
        return found.decoded()

    def _request(self, body: Body, origin: Origin, limits: dict[str, int]) -> Request:
        if body.size > MOST_INSTANCES:
            raise InvalidRecord(Reason.TOO_LARGE)
        model = origin.text(headers.MODEL, Reason.MODEL) or body.model or self._only
        if model is None:
            raise InvalidRecord(Reason.MODEL)
        if model not in limits:
            raise InvalidRecord(Reason.UNKNOWN_MODEL)
        features, roles = body.features, self._roles
        ids: str | Sequence[str] = origin.text(headers.REQUEST_ID, Reason.REQUEST_ID) or body.request_id
        instances = None
        if roles.request_id is not None:
            column = features.pop(roles.request_id, None)
            if not ids and column is not None:
                ids = _ids(column)
                instances = _within(ids)
        if not ids:
            raise InvalidRecord(Reason.REQUEST_ID)
        moments: int | Sequence[int]
        stated = features.pop(roles.event_time, None) if roles.event_time is not None else None
        if stated is not None and origin.event_time is None:
            moments = [event_time(origin, micros, limits[model]) for micros in _times(stated)]
        else:
            moments = event_time(origin, body.event_time, limits[model])
        return Request(
            model,
            checked_version(origin.text(headers.VERSION, Reason.VERSION) or body.version),
            ids,
            moments,
            body.size,
            features,
            body.prediction,
            _capture(body, origin),
            instances,
        )


def _capture(body: Body, origin: Origin) -> Capture:
    capture = capture_of(origin, body.sampled)
    if body.latency is None and body.status is None:
        return capture
    return Capture(
        capture.rate,
        capture.hash_rate,
        capture.latency if capture.latency is not None else body.latency,
        capture.status if capture.status is not None else body.status,
    )


def _ids(column: Column) -> list[str]:
    """Return ids from a feature: texts or whole numbers."""
    ids = []
    for value in listed(column):
        if isinstance(value, bytes):
            try:
                ids.append(value.decode())
            except UnicodeDecodeError as error:
                raise InvalidRecord(Reason.REQUEST_ID) from error
        elif isinstance(value, str):
            ids.append(value)
        elif type(value) is int:
            ids.append(str(value))
        else:
            raise InvalidRecord(Reason.REQUEST_ID)
        if not ids[-1]:
            raise InvalidRecord(Reason.REQUEST_ID)
    return ids


def _within(ids: Sequence[str]) -> list[int]:
    """Return for each instance how often its id occurred before it."""
    seen: dict[str, int] = {}
    numbers = []
    for one in ids:
        numbers.append(seen.get(one, 0))
        seen[one] = numbers[-1] + 1
    return numbers


def _times(column: Column) -> list[int]:
    """Return event times from a feature: RFC 3339 texts or epoch seconds."""
    found = []
    for value in listed(column):
        if isinstance(value, str | bytes):
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            found.append(times.micros_of_text(text))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append(times.micros_of_number(as_double(value)))
        else:
            found.append(times.INVALID)
    return found
