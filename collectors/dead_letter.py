"""Dead letters: the reasons for which a message can never be read, and the limit on them; changes when a reason does."""

from __future__ import annotations

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
    NESTED_FEATURE = "a feature is an object or holds lists or objects"
    INSTANCE = "instance is not a whole number from 0"
    WEIGHT = "weight is not a finite number above 0"
    LABEL = "label is missing or not a number or text"


class TooManyDeadLetters(DriftlineError):
    """So large a share of a cut was unreadable that something is wrong with the topic; its offsets are not committed."""

    exit_code = 70


def dead_letter(partition: Partition, offset: int, reason: str, value: bytes | None) -> DeadLetter:
    """Return the dead letter of one message: where it is, why, and a digest instead of its bytes."""
    content = value or b""
    return DeadLetter(partition, offset, reason, xxhash.xxh3_128_hexdigest(content), len(content))
