"""Nested JSON features to flat ones: the rules of docs/wire-formats.md; changes when they do."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.dead_letter import Reason
from monitor.errors import InvalidRecord

_DEEPEST = 32


def flattened(features: Mapping[str, object]) -> Mapping[str, object]:
    """Return features whose values are scalars or lists of scalars: `{"user": {"age": 1}}` is `{"user.age": 1}`.

    Lists of lists become one list, row by row. Where nothing is nested, the mapping itself is returned.

    Raises:
        InvalidRecord: a list holds objects, the nesting is deeper than 32, or two values have one name.
    """
    if not any(type(value) is dict or (type(value) is list and _nested(value)) for value in features.values()):
        return features
    flat: dict[str, object] = {}
    _object(flat, "", features, 0)
    return flat


def flat_list(values: list[object], depth: int = 0) -> list[object]:
    """Return the elements of lists in lists, row by row; raises InvalidRecord as `flattened` does."""
    if not _nested(values):
        return values
    if depth == _DEEPEST:
        raise InvalidRecord(Reason.NESTED_FEATURE)
    flat: list[object] = []
    for value in values:
        if type(value) is dict:
            raise InvalidRecord(Reason.NESTED_FEATURE)
        if type(value) is list:
            flat += flat_list(value, depth + 1)
        else:
            flat.append(value)
    return flat


def _object(flat: dict[str, object], prefix: str, features: Mapping[str, object], depth: int) -> None:
    if depth == _DEEPEST:
        raise InvalidRecord(Reason.NESTED_FEATURE)
    for key, value in features.items():
        name = prefix + key
        if type(value) is dict:
            _object(flat, f"{name}.", value, depth + 1)
            continue
        if name in flat:
            raise InvalidRecord(Reason.FEATURE_TWICE)
        flat[name] = flat_list(value) if type(value) is list else value


def _nested(values: list[object]) -> bool:
    return any(type(value) in (dict, list) for value in values)
