"""tf.Example messages to columns, one value a row; changes with the definition of tf.Example.

A feature's list of one value is that value, an empty one is missing, and several are a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from collectors.dead_letter import Reason
from collectors.wire.instances import MOST_INSTANCES
from collectors.wire.messages import Example
from collectors.wire.tensors import MOST_VALUES, Column
from monitor.errors import InvalidRecord


def parsed_example(content: bytes) -> Any:
    """Return the example in some bytes; raises InvalidRecord."""
    try:
        return Example.FromString(content)
    except DecodeError as error:
        raise InvalidRecord(Reason.NOT_AN_EXAMPLE) from error


def values_of(example: Any) -> dict[str, object]:
    """Return the features of an example by name: a value, a list of several, or None."""
    found: dict[str, object] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind is None:
            found[name] = None
            continue
        values = getattr(feature, kind).value[:]
        found[name] = values[0] if len(values) == 1 else (values or None)
    return found


def columns_of(rows: Sequence[Mapping[str, object]]) -> dict[str, Column]:
    """Return the features of some examples by name, one value a row; None where an example has none.

    Raises:
        InvalidRecord: there are too many.
    """
    if len(rows) == 1:
        return {name: [value] for name, value in rows[0].items()}
    if len(rows) > MOST_INSTANCES:
        raise InvalidRecord(Reason.TOO_LARGE)
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    if len(names) * len(rows) > MOST_VALUES:
        raise InvalidRecord(Reason.TOO_LARGE)
    return {name: [row.get(name) for row in rows] for name in names}
