"""Rows of one window to a span file; changes with the layout of span files or their names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from collectors.wire.blocks import MISFITS
from monitor.cuts import SealedSpan
from monitor.records import (
    HASH,
    HASH_RATE,
    INSTANCE,
    REQUEST_ID,
    STRATUM,
    ColumnTypes,
    SpanKind,
    WindowKey,
    label_schema,
    traffic_schema,
)

_COMPRESSION = "zstd"
_COMPRESSION_LEVEL = 1
_ROW_GROUP_ROWS = 65_536
_LONGEST_SEGMENT = 100

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class SpanFile:
    """A span and the bytes of its file."""

    span: SealedSpan
    content: bytes


def span_name(kind: SpanKind, key: WindowKey, span_id: str) -> str:
    """Return the file name: kind/model/version/window start/id, with models and versions as safe path segments."""
    start = key.window.start.astimezone(UTC)
    return f"{kind}/{segment(key.model)}/{segment(key.version)}/{start:%Y%m%dT%H%M%SZ}/{span_id}.parquet"


def segment(text: str) -> str:
    """Return any text as one segment of a path, different texts differently; a long one is cut and told by its hash."""
    quoted = quote(text, safe="").replace(".", "%2E") if set(text) <= {"."} else quote(text, safe="")
    if not quoted:
        return "%"  # quoting never leaves a lone percent sign
    if len(quoted) > _LONGEST_SEGMENT:
        return f"{quoted[: _LONGEST_SEGMENT - 20]}%{xxhash.xxh3_64_hexdigest(text.encode())}"
    return quoted


def canonical_order(hashes: Hashes, ids: pa.Array, instances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions of the rows in order of (hash, request id, instance), int64 (n,); stable for full ties."""
    order = np.lexsort((instances, hashes))
    ordered = hashes[order]
    tied = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(tied):
        same = pc.equal(ids.take(pa.array(order[tied])), ids.take(pa.array(order[tied + 1])))
        if not pc.all(same).as_py():  # two ids of one hash: as good as never, but then order must not depend on arrival
            text = ids.cast(pa.binary()).to_pylist()
            order = np.array(
                sorted(range(len(text)), key=lambda row: (hashes[row], text[row], instances[row])), dtype=np.int64
            )
    return np.asarray(order, dtype=np.int64)


def seal(
    kind: SpanKind,
    key: WindowKey,
    rows: pa.Table,
    hashes: Hashes,
    *,
    theta: int,
    types: ColumnTypes,
    strata: pa.Array | None = None,
) -> SpanFile:
    """Return the span of some rows (at least one) of one window.

    `rows` has the columns of `collectors.wire.blocks.part_schema`, n rows in any order, without those that have no place in a
    span (`hash_rate` has one where it is there); `hashes` is uint64 (n,), of their request ids; `strata` names the stratum of
    each row. All hashes are below `theta`, but for those of strata with a floor.
    """
    rows = rows.combine_chunks()
    ids = _array(rows.column(REQUEST_ID))
    order = canonical_order(hashes, ids, _array(rows.column(INSTANCE)).to_numpy())
    misfits = int(pc.sum(rows.column(MISFITS)).as_py() or 0)
    schema = label_schema() if kind is SpanKind.LABELS else traffic_schema(types)
    if kind is not SpanKind.LABELS and HASH_RATE in rows.column_names and pc.min(rows.column(HASH_RATE)).as_py() < 1.0:
        schema = schema.append(rows.schema.field(HASH_RATE))
    ordered = rows.select([name for name in schema.names if name in rows.schema.names]).take(pa.array(order))
    columns = {
        HASH: pa.array(hashes[order]),
        STRATUM: pa.repeat(pa.scalar("", pa.string()), len(order)) if strata is None else strata.take(pa.array(order)),
        **{name: ordered.column(name) for name in ordered.schema.names},
    }
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    content = _parquet(table)
    span_id = uuid.uuid4().hex
    span = SealedSpan(
        span_id=span_id,
        name=span_name(kind, key, span_id),
        kind=kind,
        model=key.model,
        version=key.version,
        window=key.window,
        rows=len(order),
        size_bytes=len(content),
        theta=theta,
        misfits=misfits,
        min_hash=int(hashes[order[0]]),
        max_hash=int(hashes[order[-1]]),
    )
    return SpanFile(span, content)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _parquet(table: pa.Table) -> bytes:
    # Ids are all different, so a dictionary of them only costs time; other texts repeat.
    texts = [field.name for field in table.schema if pa.types.is_string(field.type) and field.name != REQUEST_ID]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=texts,
        compression=_COMPRESSION,
        compression_level=_COMPRESSION_LEVEL,
    )
    return bytes(sink.getvalue())
