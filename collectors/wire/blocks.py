"""What every wire format decodes to: rows as columns, by model, and the messages that can never be read.

Changes when the columns between a decoder and the span writer do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from monitor.records import (
    EVENT_TIME,
    EVENT_TIME_TYPE,
    FEATURE_PREFIX,
    INSTANCE,
    LABEL_FIELDS,
    PREDICTION_FIELDS,
    REQUEST_ID,
    UNTYPED_FIELD,
    VERSION,
    WEIGHT,
    ColumnTypes,
    SpanKind,
)

MISFITS = "misfits"
"""How many values of a row did not fit the type of their feature (they are in `untyped`)."""
RATE = "rate"
"""Share of requests that was captured before us, by something independent of the hash of the request id; in (0, 1]."""
HASH_RATE = "hash_rate"
"""The same, where it was applied to the very hash that our sampler uses; in (0, 1]. One of the two is always 1."""
LATENCY = "latency_seconds"
STATUS = "status"

ORIGIN_FIELDS: Final = (
    pa.field(RATE, pa.float64(), nullable=False),
    pa.field(HASH_RATE, pa.float64(), nullable=False),
)
ANSWER_FIELDS: Final = (
    pa.field(LATENCY, pa.float64()),
    pa.field(STATUS, pa.string()),
)
_ONES: Final = {WEIGHT, RATE, HASH_RATE}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the records of a stream may say.

    Attributes:
        kind: traffic or labels.
        types: column types by model; other models are unknown.
        max_future: how far ahead of the wall clock an event may be, by model.
    """

    kind: SpanKind
    types: Mapping[str, ColumnTypes]
    max_future: Mapping[str, timedelta]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of messages as rows.

    Attributes:
        parts: one table a model, in the order of the messages, with the columns of `part_schema`; no empty ones.
        dead: (index in the batch, reason) of the messages that can never be read, ascending.
        decoded: how many messages became rows.
    """

    parts: Mapping[str, pa.Table]
    dead: Sequence[tuple[int, str]]
    decoded: int


def part_schema(kind: SpanKind, types: ColumnTypes) -> pa.Schema:
    """Return the columns of decoded rows: those of a span but for hash and stratum, and what only the collector needs.

    That is `version`, `misfits`, `rate`, `hash_rate`, and of traffic `latency_seconds` and `status`.
    """
    head = [
        pa.field(VERSION, pa.string(), nullable=False),
        pa.field(REQUEST_ID, pa.string(), nullable=False),
        pa.field(INSTANCE, pa.int64(), nullable=False),
        pa.field(EVENT_TIME, EVENT_TIME_TYPE, nullable=False),
        pa.field(WEIGHT, pa.float64(), nullable=False),
        *ORIGIN_FIELDS,
    ]
    if kind is SpanKind.LABELS:
        return pa.schema([*head, *LABEL_FIELDS, pa.field(MISFITS, pa.int32())])
    features = [pa.field(FEATURE_PREFIX + name, feature.arrow()) for name, feature in sorted(types.items())]
    return pa.schema(
        [
            *head,
            *ANSWER_FIELDS,
            *PREDICTION_FIELDS,
            *LABEL_FIELDS,
            *features,
            UNTYPED_FIELD,
            pa.field(MISFITS, pa.int32()),
        ]
    )


def blank(field: pa.Field, size: int) -> pa.Array:
    """Return what a column of `part_schema` holds where nothing is said: ones, zeros (misfits, instance) or nulls."""
    if field.name in _ONES:
        return pa.array(np.ones(size))
    if field.name in (MISFITS, INSTANCE):
        return pa.array(np.zeros(size, dtype=field.type.to_pandas_dtype()))
    return pa.nulls(size, field.type)


def joined(pieces: Iterable[tuple[int, Decoded]]) -> Decoded:
    """Put pieces of one batch together; each comes with the index of its first message, ascending."""
    parts: dict[str, list[pa.Table]] = {}
    dead: list[tuple[int, str]] = []
    decoded = 0
    for first, piece in pieces:
        for model, table in piece.parts.items():
            parts.setdefault(model, []).append(table)
        dead.extend((first + index, reason) for index, reason in piece.dead)
        decoded += piece.decoded
    return Decoded({model: pa.concat_tables(tables) for model, tables in parts.items()}, dead, decoded)
