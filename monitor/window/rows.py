"""Rows of a window from its spans: the sampler's last cut, the canonical order, and the types of the baseline."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor import records as r
from monitor.config.settings import FloorSettings
from monitor.records import ColumnTypes, FeatureType, Misfits, Rows, ValueType
from monitor.window.conform import Origin, conform, readable_json
from monitor.window.sampling import last_cut
from monitor.window.strata import Floors

_GUESSES = tuple(FeatureType(value, multi) for multi in (False, True) for value in ValueType)


def rows_of_window(
    spans: Sequence[pa.Table],
    types: ColumnTypes,
    *,
    theta: int,
    max_rows: int,
    seen: int,
    strata: Mapping[str, int] = MappingProxyType({}),
    floors: Sequence[FloorSettings] = (),
    prediction: str | None = None,
    label: str | None = None,
) -> Rows:
    """Return the rows of a window, the same for any way in which its records were spread over spans.

    Kept are the rows whose hash is below `theta`, the smallest of the spans, and below the (`max_rows` + 1)-th smallest hash, and
    what `floors` ask for beyond; see `monitor.window.sampling`. Every collector kept at least these.

    Args:
        spans: tables with `records.traffic_schema` of some types, which may differ from span to span, and perhaps `hash_rate`.
        types: types that the features shall have; a feature without one takes the simplest type that fits all its values.
        theta: see above; 2**64 keeps all.
        max_rows: see above.
        seen: records before sampling.
        strata: the same by stratum, where it is known.
        floors: the model's; they need `strata`.
        prediction: name that the prediction column gets; without it the prediction is called "prediction".
        label: name that the label column gets, where any row has a label; without it the label is called "label".
    """
    hashes = _concat([span.column(r.HASH) for span in spans], pa.uint64()).to_numpy(zero_copy_only=False)
    cut = last_cut(
        hashes,
        _strata(spans) if floors and strata else None,
        _rates(spans),
        theta=theta,
        max_rows=max_rows,
        floors=Floors(floors),
        seen=strata,
    )
    order = _canonical_order(spans, hashes, np.flatnonzero(cut.kept))
    take = pa.array(order, pa.int64())
    columns, misfits = _features(spans, types, take)
    output = _either(spans, (r.PREDICTION, r.PREDICTION_TEXT, r.PREDICTION_JSON), take)
    truth = _either(spans, (r.LABEL, r.LABEL_TEXT), take)
    if output is not None:
        columns[prediction or r.PREDICTION] = output
    if truth is not None:
        columns[label or r.LABEL] = truth
    weights = (
        _concat([span.column(r.WEIGHT) for span in spans], pa.float64()).take(take).to_numpy() * cut.factors[order]
    )
    weighted = len(weights) > 0 and bool(np.any(weights != weights[0]))
    uniform = cut.uniform[order]
    times = _concat([span.column(r.EVENT_TIME) for span in spans], r.EVENT_TIME_TYPE).take(take)
    return Rows(
        features=pa.table(columns),
        weights=np.asarray(weights, dtype=np.float64) if weighted else None,
        clusters=hashes[order],
        event_times=np.asarray(pc.cast(times, pa.int64()).to_numpy(), dtype=np.int64),
        prediction=None if output is None else prediction or r.PREDICTION,
        label=None if truth is None else label or r.LABEL,
        misfits=misfits,
        seen=seen,
        uniform=uniform if weighted and not uniform.all() else None,
    )


def _strata(spans: Sequence[pa.Table]) -> tuple[npt.NDArray[np.int64], list[str]]:
    encoded = _concat([span.column(r.STRATUM) for span in spans], pa.string()).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(), dtype=np.int64), encoded.dictionary.to_pylist()


def _rates(spans: Sequence[pa.Table]) -> npt.NDArray[np.float64] | None:
    if not any(r.HASH_RATE in span.column_names for span in spans):
        return None
    rates = _concat([_column(span, r.HASH_RATE) for span in spans], pa.float64())
    return np.asarray(pc.fill_null(rates, 1.0).to_numpy(), dtype=np.float64)


def _canonical_order(
    spans: Sequence[pa.Table], hashes: npt.NDArray[np.uint64], kept: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the kept rows' places, sorted by (hash, id, instance); what still ties is told apart by its event time."""
    order = kept[np.argsort(hashes[kept], kind="stable")]
    ordered = hashes[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return order
    take = pa.array(order, pa.int64())
    keys = {"hash": pa.array(ordered)}
    for name, kind in ((r.REQUEST_ID, pa.string()), (r.INSTANCE, pa.int64()), (r.EVENT_TIME, r.EVENT_TIME_TYPE)):
        keys[name] = _concat([span.column(name) for span in spans], kind).take(take)
    ranks = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return np.asarray(order[ranks.to_numpy()], dtype=np.int64)


def _features(
    spans: Sequence[pa.Table], types: ColumnTypes, take: pa.Array
) -> tuple[dict[str, pa.Array], dict[str, Misfits]]:
    """Return the features in order of their names, typed ones filled up from what the collectors had to keep as text."""
    apart = _untyped(spans, take)
    columns: dict[str, pa.Array] = {}
    misfits: dict[str, Misfits] = {}
    stored = {name.removeprefix(r.FEATURE_PREFIX) for span in spans for name in span.column_names if _is_feature(name)}
    for name in sorted({*types, *stored, *apart}):
        column = _stored(spans, name, types.get(name), take) if name in stored else None
        text = apart.get(name)
        kind = types.get(name) or (_simplest(text) if column is None else _type_of(column.type))
        parts: list[tuple[pa.Array, Misfits | None]] = []
        if column is not None:
            parts.append((column, None) if kind is None else conform(column, kind))
        if text is not None:
            parts.append((readable_json(text), None) if kind is None else conform(text, kind, Origin.JSON))
        columns[name] = _merged([part for part, _ in parts], kind, len(take))
        bad = [misfit for _, misfit in parts if misfit is not None]
        if bad:
            examples = sorted({example for misfit in bad for example in misfit.examples})
            misfits[name] = Misfits(sum(misfit.count for misfit in bad), tuple(examples[:3]))
    return columns, misfits


def _is_feature(name: str) -> bool:
    return name.startswith(r.FEATURE_PREFIX)


def _stored(spans: Sequence[pa.Table], name: str, kind: FeatureType | None, take: pa.Array) -> pa.Array:
    """Return a feature's typed column over all spans; spans of another baseline may hold it with another type, or not."""
    pieces = [_column(span, r.FEATURE_PREFIX + name) for span in spans]
    types = {piece.type for piece in pieces if not pa.types.is_null(piece.type)}
    if len(types) > 1:
        common = kind or FeatureType(ValueType.BYTES)
        pieces = [conform(piece, common, Origin.CSV if kind is None else Origin.TYPED)[0] for piece in pieces]
        types = {common.arrow()}
    return _concat(pieces, types.pop() if types else pa.string()).take(take)


def _column(span: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    return span.column(name) if name in span.column_names else pa.nulls(span.num_rows)


def _untyped(spans: Sequence[pa.Table], take: pa.Array) -> dict[str, pa.Array]:
    """Return, for each feature with values that have no typed column, those values as JSON texts (n, mostly null)."""
    objects = _concat([_column(span, r.UNTYPED) for span in spans], pa.string()).take(take)
    if objects.null_count == len(objects):
        return {}
    places: Mapping[str, dict[int, str]] = defaultdict(dict)
    for place, text in enumerate(objects.to_pylist()):
        for name, value in json.loads(text).items() if text is not None else ():
            places[name][place] = json.dumps(value)
    return {
        name: pa.array([values.get(place) for place in range(len(objects))], pa.string())
        for name, values in places.items()
    }


def _simplest(text: pa.Array | None) -> FeatureType | None:
    """Return the first type that all values fit, None where they are of several."""
    for kind in _GUESSES:
        if text is not None and conform(text, kind, Origin.JSON)[1] is None:
            return kind
    return None


def _type_of(kind: pa.DataType) -> FeatureType:
    return next(guess for guess in _GUESSES if guess.arrow() == kind)


def _merged(parts: Sequence[pa.Array], kind: FeatureType | None, rows: int) -> pa.Array:
    """Return, row by row, the value that one of the parts has (never more than one has)."""
    if not parts:
        return pa.nulls(rows, kind.arrow() if kind else pa.string())
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    if not pa.types.is_list(first.type):
        return pc.coalesce(first, second)
    pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
    return pa.array([one if one is not None else other for one, other in pairs], first.type)


def _either(spans: Sequence[pa.Table], names: Iterable[str], take: pa.Array) -> pa.Array | None:
    """Return the one of several columns that holds values; where several do, all as text. None where none does."""
    present = []
    for name in names:
        column = _concat([_column(span, name) for span in spans], pa.float64() if name in _NUMBERS else pa.string())
        column = column.take(take)
        if column.null_count < len(column):
            present.append(column)
    if len(present) <= 1:
        return present[0] if present else None
    return pc.coalesce(*(pc.cast(column, pa.string()) for column in present))


_NUMBERS = frozenset({r.PREDICTION, r.LABEL})


def _concat(pieces: Iterable[pa.ChunkedArray | pa.Array], kind: pa.DataType) -> pa.Array:
    """Return the pieces as one array of `kind`; pieces without values may have any type."""
    chunks = [
        pa.nulls(len(chunk), kind) if pa.types.is_null(chunk.type) else chunk
        for piece in pieces
        for chunk in (piece.chunks if isinstance(piece, pa.ChunkedArray) else [piece])
    ]
    return pa.concat_arrays(chunks) if chunks else pa.array([], kind)
