"""Where each message of a block says it comes from: its headers and timestamp; changes with the header contract."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from collectors.dead_letter import Reason
from collectors.source import Block
from collectors.wire import headers as names
from collectors.wire import times
from collectors.wire.rows import VERSION_BYTES
from monitor.errors import InvalidRecord

_OWN_HASH = b"xxh3_64"


class Origin(NamedTuple):
    """What stands beside one message.

    Attributes:
        headers: by name, the last value of each.
        event_time: microseconds since the epoch; None where no header tells it, `times.INVALID` or `times.NO_ZONE` where
            one tells nonsense.
        timestamp: microseconds since the epoch when the message was written, None where the input keeps no times.
    """

    headers: Mapping[str, bytes]
    event_time: int | None
    timestamp: int | None

    def text(self, name: str, reason: Reason) -> str | None:
        """Return a header's text, None where it is missing or empty; raises InvalidRecord where it is not UTF-8."""
        value = self.headers.get(name)
        if not value:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRecord(reason) from error


class Capture(NamedTuple):
    """How a request was captured: what the collector's columns of the same names hold."""

    rate: float
    hash_rate: float
    latency: float | None
    status: str | None


UNSAID = Capture(1.0, 1.0, None, None)
"""Everything was captured, and nothing is known of the answer; always this very object."""


def origins_of(block: Block) -> Sequence[Origin]:
    """Return the origins of a block's messages, in order."""
    count = len(block.values)
    if not len(block.headers):
        known: Sequence[Mapping[str, bytes]] = [{}] * count
    else:
        known = [dict(pairs) if pairs else {} for pairs in block.headers]
    said = [found.get(names.EVENT_TIME) for found in known]
    moments: Sequence[int | None] = [None] * count
    if any(said):
        texts = pa.array([(text or b"").decode("ascii", "replace") for text in said], pa.string())
        micros = times.micros_of_texts(texts).tolist()
        moments = [moment if text else None for text, moment in zip(said, micros, strict=True)]
    stamps: Sequence[int | None] = [None] * count
    if block.timestamps is not None:
        stamps = [None if stamp < 0 else stamp * 1000 for stamp in np.asarray(block.timestamps).tolist()]
    return list(map(Origin, known, moments, stamps))


def capture_of(origin: Origin, sampled: float = 0.0) -> Capture:
    """Return how the request was captured; `sampled` is the independent rate that the message itself tells, 0 for none.

    Raises:
        InvalidRecord: a rate is not in (0, 1], or another header is not what it must be.
    """
    found = origin.headers
    if not found and not sampled:
        return UNSAID
    said = found.get(names.SAMPLING_RATE)
    rate = _number(said) if said else (sampled or 1.0)
    if not 0.0 < rate <= 1.0:
        raise InvalidRecord(Reason.SAMPLING_RATE)
    latency = found.get(names.LATENCY_SECONDS)
    seconds = _number(latency) if latency else math.nan
    status = origin.text(names.STATUS, Reason.HEADER)
    own = said and found.get(names.SAMPLER) == _OWN_HASH
    return Capture(
        1.0 if own else rate, rate if own else 1.0, seconds if math.isfinite(seconds) and seconds >= 0 else None, status
    )


def event_time(origin: Origin, fallback: int | None, limit: int) -> int:
    """Return the event time in microseconds: the header's, else `fallback`, else the message's own timestamp.

    Raises:
        InvalidRecord: there is none, or it is before 1970 or after `limit`.
    """
    micros = origin.event_time
    if micros is None:
        micros = fallback if fallback is not None else origin.timestamp
    if micros is None or micros == times.INVALID:
        raise InvalidRecord(Reason.EVENT_TIME)
    if micros == times.NO_ZONE:
        raise InvalidRecord(Reason.EVENT_TIME_ZONE)
    if micros < 0:
        raise InvalidRecord(Reason.EVENT_TIME_PAST)
    if micros > limit:
        raise InvalidRecord(Reason.EVENT_TIME_FUTURE)
    return micros


def checked_version(version: str) -> str:
    """Return a version as the ledger may keep it, which may be empty; raises InvalidRecord."""
    if version and ("\0" in version or len(version.encode()) > VERSION_BYTES):
        raise InvalidRecord(Reason.VERSION)
    return version


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
