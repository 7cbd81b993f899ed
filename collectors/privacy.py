"""What is done to features before anything of them is stored: drop, hash, truncate, bucket; changes when a treatment does.

A treatment maps one value to one value, or to none, and says nothing of types. So it is the same for a value in a typed column,
for one that was kept apart as JSON, and for training rows: a baseline has to be made of treated rows, since it gives the columns
their types. What does not fit its column after treatment (the hash of a number, while the baseline still holds numbers) is kept
apart and counted as any other misfit. A value that a treatment cannot be sure to hide is dropped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.texts import plain_text
from collectors.wire.blocks import MISFITS
from collectors.wire.values import MISFIT, fit, json_text, missing
from monitor.config.settings import PrivacySettings
from monitor.records import FEATURE_PREFIX, REQUEST_ID, UNTYPED, FeatureType, ValueType
from monitor.window.conform import Origin, conform, origin_of
from monitor.window.plain import plain_feature

_HASH_BYTES = 8

_Treatment = Callable[[object], object]
"""From one value, neither missing nor a list, to another; None where nothing may be stored."""

_KINDS = {kind.arrow(): kind for multi in (False, True) for kind in (FeatureType(value, multi) for value in ValueType)}


class Privacy:
    """The treatments of one model's features; a name stands for all features nested in it too (`user` for `user.age`)."""

    def __init__(self, settings: PrivacySettings) -> None:
        """Treat as `settings` say."""
        # Any key becomes one of a length that BLAKE2 takes.
        key = hashlib.sha256(settings.key.get_secret_value().encode() if settings.key else b"").digest()
        self._treatments: dict[str, _Treatment] = {
            **dict.fromkeys(settings.drop, _dropped),
            **dict.fromkeys(settings.hash, lambda value: _hashed(plain_text(value), key)),
            **{name: _truncation(length) for name, length in settings.truncate.items()},
        }
        buckets = {name: _bucketing(width) for name, width in settings.bucket.items()}
        self._treatments |= buckets
        self._numeric = frozenset(buckets.values())
        self._id_key = key if settings.hash_ids else None

    def treat_ids(self, table: pa.Table) -> pa.Table:
        """Return decoded rows with hashed request ids, if that is asked for; the sampler must have seen the original ones."""
        if self._id_key is None:
            return table
        key = self._id_key
        ids = pa.array([_hashed(text, key) for text in table.column(REQUEST_ID).to_pylist()], pa.string())
        place = table.schema.get_field_index(REQUEST_ID)
        return table.set_column(place, table.schema.field(place), ids)

    def treat_decoded(self, table: pa.Table) -> pa.Table:
        """Return decoded rows (columns of `part_schema`) with treated features, both typed ones and those kept apart."""
        if not self._treatments or UNTYPED not in table.column_names:
            return table
        kinds = {
            field.name.removeprefix(FEATURE_PREFIX): _KINDS[field.type]
            for field in table.schema
            if field.name.startswith(FEATURE_PREFIX)
        }
        misfits = table.column(MISFITS).to_numpy().copy()
        objects = {
            row: json.loads(text) for row, text in enumerate(table.column(UNTYPED).to_pylist()) if text is not None
        }
        found = self._treat_objects(objects, kinds, misfits)
        columns = {}
        for name, kind in kinds.items():
            treatment = self._of(name)
            if treatment is not None:
                column = _whole(table.column(FEATURE_PREFIX + name))
                columns[FEATURE_PREFIX + name], strange = _treated_column(column, kind, treatment, found[name])
                for row, value in strange.items():
                    objects.setdefault(row, {})[name] = value
                    misfits[row] += 1
        apart = [json_text(objects[row]) if objects.get(row) else None for row in range(table.num_rows)]
        columns[UNTYPED] = pa.array(apart, pa.string())
        columns[MISFITS] = pa.array(misfits)
        return pa.table([columns.get(name, table.column(name)) for name in table.schema.names], schema=table.schema)

    def treat_training(self, table: pa.Table, aside: Collection[str]) -> pa.Table:
        """Return training rows as a collector would have stored them; the columns `aside` are no features and stay."""
        for field in table.schema:
            treatment = None if field.name in aside else self._of(field.name)
            place = table.schema.get_field_index(field.name)
            if treatment is _dropped:
                table = table.remove_column(place)
            elif treatment is not None:
                values = _values(field, table.column(place), numbers=treatment in self._numeric)
                column = pa.array([_treated(value, treatment) for value in values])
                column = column.cast(pa.string()) if pa.types.is_null(column.type) else column
                table = table.set_column(place, field.name, column)
        return table

    def _of(self, name: str) -> _Treatment | None:
        while name not in self._treatments:
            name, dot, _ = name.rpartition(".")
            if not dot:
                return None
        return self._treatments[name]

    def _treat_objects(
        self, objects: dict[int, dict[str, object]], kinds: Mapping[str, FeatureType], misfits: npt.NDArray[np.int32]
    ) -> Mapping[str, dict[int, object]]:
        """Treat values kept apart, in place; return, by feature and row, those that now fit their typed column."""
        found: Mapping[str, dict[int, object]] = defaultdict(dict)
        for row, features in objects.items():
            for name in list(features):
                treatment = self._of(name)
                if treatment is None:
                    continue
                value = _treated(features.pop(name), treatment)
                kind = kinds.get(name)
                fitted = MISFIT if kind is None else fit(value, kind)
                if fitted is MISFIT:
                    features[name] = value
                elif fitted is not None:
                    found[name][row] = fitted
                misfits[row] -= kind is not None and fitted is not MISFIT
                if features.get(name, MISFIT) is None:
                    del features[name]
        return found


def _treated(value: object, treatment: _Treatment) -> object:
    """Return a value, or the values of a list, treated; what nests deeper is dropped."""
    if missing(value) or isinstance(value, dict):
        return None
    if not isinstance(value, list):
        return treatment(value)
    values = [None if isinstance(each, list) else _treated(each, treatment) for each in value]
    return None if all(each is None for each in values) else values


def _treated_column(
    column: pa.Array, kind: FeatureType, treatment: _Treatment, found: Mapping[int, object]
) -> tuple[pa.Array, dict[int, object]]:
    """Return a typed column treated, with what was `found` by row, and the treated values that no longer fit, by row."""
    encoded = None if kind.multivalent else column.dictionary_encode()
    before = column.to_pylist() if encoded is None else encoded.dictionary.to_pylist()
    after = [_treated(value, treatment) for value in before]
    fitted = [fit(value, kind) for value in after]
    wrong = [place for place, value in enumerate(fitted) if value is MISFIT]
    made = pa.array([None if value is MISFIT else value for value in fitted], column.type)
    if encoded is None:
        strange = {place: after[place] for place in wrong}
    else:
        made = made.take(encoded.indices)
        places = pc.fill_null(encoded.indices, -1).to_numpy()
        strange = {row: after[places[row]] for row in np.flatnonzero(np.isin(places, wrong)).tolist()} if wrong else {}
    if found:
        values = made.to_pylist()
        for row, value in found.items():
            values[row] = value
        made = pa.array(values, column.type)
    return made, strange


def _values(field: pa.Field, column: pa.ChunkedArray, *, numbers: bool) -> list[object]:
    """Return the values of a column of a table file, as a record on a topic would hold them.

    A file without types leaves open whether a text that spells a number is one: it is where `numbers` are wanted.
    """
    origin = origin_of(field)
    plain = plain_feature(field.name, column)
    if origin is Origin.JSON:
        return [None if text is None else json.loads(text) for text in plain.to_pylist()]
    if numbers and origin is Origin.CSV:
        plain, _ = conform(column, FeatureType(ValueType.FLOAT), origin)
    return [_text_of_bytes(value) for value in plain.to_pylist()]


def _text_of_bytes(value: object) -> object:
    if isinstance(value, list):
        return [_text_of_bytes(each) for each in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _dropped(value: object) -> None:
    del value


def _hashed(text: str | None, key: bytes) -> str | None:
    """Return the keyed BLAKE2b of a text in 16 hexadecimal digits; 32 bits would make two of 100,000 values one."""
    return None if text is None else hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES, key=key).hexdigest()


def _truncation(length: int) -> _Treatment:
    def truncate(value: object) -> object:
        text = plain_text(value)
        return None if text is None else text[:length]

    return truncate


def _bucketing(width: float) -> _Treatment:
    whole = int(width) if float(width).is_integer() else None

    def bucket(value: object) -> object:
        if not isinstance(value, int | float):
            return None
        if whole is not None and isinstance(value, int):
            return int(value) // whole * whole
        number = float(value)
        return math.floor(number / width) * width + 0.0 if math.isfinite(number / width) else None

    return bucket


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
