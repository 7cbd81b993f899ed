"""Which columns are texts, vectors or images; changes with how those are told from plain values.

A person's word comes first, then the schema's (natural_language_domain, image_domain, is_embedding), then a cautious rule on
the baseline's rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2

from monitor.errors import InputError
from monitor.profile.derived.arrays import evenly, is_text, is_vector, lengths_of, one_array
from monitor.profile.derived.images import COLUMNS as IMAGE_COLUMNS
from monitor.profile.derived.images import format_of
from monitor.profile.derived.text import COLUMNS as TEXT_COLUMNS
from monitor.profile.derived.text import readable, split_words
from monitor.profile.derived.vectors import COLUMNS as VECTOR_COLUMNS
from monitor.records import Rows

LEAST_VECTOR = 8
"""A list of fewer numbers is taken for several values."""
_LOOKED_AT = 2_000
_LEAST_TEXTS = 50
_DISTINCT_SHARE = 0.5
_WORDS_OF_LETTERS = 4.0
_IMAGE_SHARE = 0.8
_LEAST_IMAGES = 100
"""This and the share of images are those of TFDV's `ImageStatsGenerator`."""


class DerivedKind(StrEnum):
    """What a column holds: values that are compared as they are, or what other columns are derived from."""

    VALUES = "values"
    TEXT = "text"
    VECTOR = "vector"
    IMAGE = "image"


_COLUMNS = {
    DerivedKind.VALUES: (),
    DerivedKind.TEXT: TEXT_COLUMNS,
    DerivedKind.VECTOR: VECTOR_COLUMNS,
    DerivedKind.IMAGE: IMAGE_COLUMNS,
}


def kinds_of(rows: Rows, schema: bytes | None, said: Mapping[str, str]) -> Mapping[str, DerivedKind]:
    """Return the kind of each column of a baseline that is no plain values; never of the label.

    Args:
        rows: the baseline's.
        schema: serialized; None where there is none but the one inferred from these rows.
        said: kinds by column that a person set; "values" leaves a column as it is.

    Raises:
        InputError: a person set a kind that the column's type cannot be.
    """
    domains = {} if schema is None else dict(_domains(schema))
    kinds: dict[str, DerivedKind] = {}
    for name in rows.features.column_names:
        if name == rows.label:
            continue
        column = one_array(rows.features.column(name))
        wanted = said.get(name)
        if wanted is not None:
            kind = DerivedKind(wanted)
            _check(rows, name, column, kind)
        else:
            kind = domains[name] if name in domains else _looks_like(column)
            if not _possible(column, kind) or _taken(rows, name, kind):
                kind = DerivedKind.VALUES
        if kind is not DerivedKind.VALUES:
            kinds[name] = kind
    return kinds


def vector_size(column: pa.Array) -> int:
    """Return the commonest length of a column's lists, the larger of two alike; 0 where there is none."""
    lengths = lengths_of(column)
    counts = np.bincount(lengths[lengths > 0]) if (lengths > 0).any() else np.zeros(1, np.int64)
    return int(len(counts) - 1 - counts[::-1].argmax()) if counts.any() else 0


def _check(rows: Rows, name: str, column: pa.Array, kind: DerivedKind) -> None:
    if not _possible(column, kind):
        raise InputError(f"feature {name!r} is set to be {kind}, but its values are of type {column.type}")
    taken = _taken(rows, name, kind)
    if taken:
        raise InputError(
            f"feature {name!r} is set to be {kind}, but {taken[0]!r}, a name for what is derived, is a column"
        )


def _taken(rows: Rows, name: str, kind: DerivedKind) -> list[str]:
    """Return the columns of the rows whose names what is derived would get."""
    return [column for column in (f"{name}.{each}" for each in _COLUMNS[kind]) if column in rows.features.column_names]


def _possible(column: pa.Array, kind: DerivedKind) -> bool:
    if kind is DerivedKind.VALUES:
        return True
    if kind is DerivedKind.VECTOR:
        return is_vector(column.type) and vector_size(column) > 0
    return is_text(column.type)


def _domains(schema: bytes) -> Iterator[tuple[str, DerivedKind]]:
    parsed: Any = schema_pb2.Schema()
    parsed.ParseFromString(schema)
    for feature in parsed.feature:
        if feature.HasField("natural_language_domain"):
            yield feature.name, DerivedKind.TEXT
        elif feature.HasField("image_domain"):
            yield feature.name, DerivedKind.IMAGE
        elif feature.float_domain.is_embedding:
            yield feature.name, DerivedKind.VECTOR
        elif feature.int_domain.is_categorical or feature.HasField("string_domain") or feature.domain:
            yield feature.name, DerivedKind.VALUES


def _looks_like(column: pa.Array) -> DerivedKind:
    if is_vector(column.type):
        return DerivedKind.VECTOR if _all_of_one_length(column) else DerivedKind.VALUES
    if not is_text(column.type):
        return DerivedKind.VALUES
    there = column.drop_null()
    some = there.take(pa.array(evenly(len(there), _LOOKED_AT)))
    if _are_images(some):
        return DerivedKind.IMAGE
    return DerivedKind.TEXT if pa.types.is_string(some.type) and _are_texts(some) else DerivedKind.VALUES


def _all_of_one_length(column: pa.Array) -> bool:
    lengths = lengths_of(column)
    lengths = lengths[lengths >= 0]
    return len(lengths) > 0 and int(lengths[0]) >= LEAST_VECTOR and bool((lengths == lengths[0]).all())


def _are_images(some: pa.Array) -> bool:
    if len(some) < _LEAST_IMAGES or not pa.types.is_binary(some.type):
        return False
    return sum(format_of(value) is not None for value in some.to_pylist()) >= _IMAGE_SHARE * len(some)


def _are_texts(some: pa.Array) -> bool:
    """Say whether most values differ and hold several words with letters; ids, dates and addresses of pages are one word."""
    if len(some) < _LEAST_TEXTS or len(some.unique()) < _DISTINCT_SHARE * len(some):
        return False
    apart = pc.utf8_split_whitespace(some)
    spaced = apart.flatten()
    words = split_words(readable(spaced)).flatten()
    # Where a script has no spaces, each sign is a word; else what stands between spaces is one.
    signs = pc.match_substring_regex(words, pattern=r"^[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]$")
    lettered = pc.match_substring_regex(spaced, pattern=r"\p{L}")
    count = max(int(pc.sum(signs).as_py() or 0), int(pc.sum(lettered).as_py() or 0))
    return count >= _WORDS_OF_LETTERS * len(some)
