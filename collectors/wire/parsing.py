"""JSON bytes to Python values, one message at a time; changes when what counts as JSON does.

Standard JSON, and the tokens NaN, Infinity and -Infinity that Python, Java and JavaScript programs write.
"""

from __future__ import annotations

import json
import re

import orjson

from collectors.dead_letter import Reason
from monitor.errors import InvalidRecord

_EXACT_DIGITS = 18
_LENIENT = re.compile(rb"NaN|Infinity|[0-9]{18}|[0-9][eE]")
"""What standard parsers refuse but we read: the three tokens, and numbers beyond a double's range."""


def parse_object(value: bytes | None) -> dict[str, object]:
    """Return the object that a message holds.

    Raises:
        InvalidRecord: no value, not JSON in UTF-8, or not an object.
    """
    if value is None:
        raise InvalidRecord(Reason.NULL_VALUE)
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        parsed = _parse_lenient(value)
    if type(parsed) is not dict:
        raise InvalidRecord(Reason.NOT_AN_OBJECT)
    return parsed


def _parse_lenient(value: bytes) -> object:
    if not _LENIENT.search(value):
        raise InvalidRecord(Reason.NOT_JSON)
    try:
        parsed = json.loads(value.decode("utf-8"), parse_int=_number)
        orjson.dumps(parsed)  # refuses lone surrogates, which no UTF-8 text can hold
    except (ValueError, RecursionError, TypeError) as error:
        raise InvalidRecord(Reason.NOT_JSON) from error
    return parsed


def _number(digits: str) -> int | float:
    """Read an integer as orjson does: exactly where 64 bits hold it, else as a double."""
    if len(digits) <= _EXACT_DIGITS:
        return int(digits)
    exact = float(digits)
    if abs(exact) > 2.0**65:
        return exact
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else exact
