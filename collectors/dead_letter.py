"""Dead letters: the reasons for which a message can never be read, and the limit on them; changes when a reason does."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import xxhash

from monitor.cuts import DeadLetter, Partition
from monitor.errors import DriftlineError


class Reason(StrEnum):
    """Why a message is kept apart; the texts are labels of a metric and hold no payload."""

    NULL_VALUE = "the message has no value"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not a JSON object"
    MODEL = "model is missing or not text"
    UNKNOWN_MODEL = "model is not monitored on this topic"
    VERSION = "version is missing or not text"
    REQUEST_ID = "request_id is missing or not text"
    EVENT_TIME = "event_time is missing or not a time"
    EVENT_TIME_ZONE = "event_time has no time zone"
    EVENT_TIME_PAST = "event_time is before 1970"
    EVENT_TIME_FUTURE = "event_time is too far in the future"
    FEATURES = "features is not an object"
    NESTED_FEATURE = "a feature is a list of objects or nested too deep"
    FEATURE_TWICE = "two values of one feature after flattening"
    INSTANCE = "instance is not a whole number from 0"
    WEIGHT = "weight is not a finite number above 0"
    LABEL = "label is missing or not a number or text"
    HEADER = "a header is not text in UTF-8"
    SAMPLING_RATE = "the sampling rate is not a number above 0 and up to 1"
    NOT_A_LOG = "not a PredictionLog"
    LOG_TYPE = "a PredictionLog without a request, or of a kind that is not read"
    NOT_AN_EXAMPLE = "not a tf.Example"
    TENSOR = "a tensor's shape and content disagree"
    TENSOR_TYPE = "a tensor is of a type that is not read"
    BATCH = "inputs and outputs disagree on the number of instances"
    OUTPUT = "the answer lacks the configured output or class"
    TOO_LARGE = "the message unpacks to too many instances or values"
    NOT_A_PAIR = "not a request with its response as the format has them"
    NOT_AN_EVENT = "not a CloudEvent of a request or response with an id"
    NO_COUNTERPART = "no counterpart: only the request or only the response was found"
    DUPLICATE = "the same half of a request was sent again"


LARGEST_KEPT_BYTES = 2**20


class TooManyDeadLetters(DriftlineError):
    """So large a share of what was read is unreadable that something is wrong; the last cut's offsets are not committed."""

    exit_code = 70


def digest(value: bytes | None) -> str:
    """Return what a dead letter says of its bytes: their xxh3_128, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(value or b"")


def dead_letter(
    partition: Partition,
    offset: int,
    reason: str,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]] = (),
    *,
    keep_bytes: bool = False,
) -> DeadLetter:
    """Return the dead letter of one message: where it is, why, and a digest; its bytes and headers only where asked.

    The bytes of a message above `LARGEST_KEPT_BYTES` are not kept: it can be read again only from its topic.
    """
    size = len(value or b"")
    kept = keep_bytes and value is not None and size <= LARGEST_KEPT_BYTES
    content = value if kept else None
    return DeadLetter(partition, offset, reason, digest(value), size, content, tuple(headers) if kept else ())
