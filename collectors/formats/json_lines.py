"""JSON Lines files: an object a line; changes when another way of writing JSON rows is to be understood."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
from pyarrow import json as arrow_json

from monitor.errors import InputError
from monitor.window.conform import ORIGIN, Origin
from monitor.window.plain import is_time, plain_column

_BLOCK_BYTES = 8 << 20
_JSON_ORIGIN = {ORIGIN: str(Origin.JSON).encode()}


def blocks(stream: BinaryIO, where: str) -> Iterator[pa.Table]:
    """Yield the objects of a decompressed stream as tables of plain columns, some megabytes of text each.

    NaN and Infinity are understood; NaN is missing. A column with values of several types holds the JSON text of each value, and
    its field says so (`Origin.JSON`).

    Raises:
        InputError: a line is no JSON object, or a value is itself an object; the message names the line or the column.
    """
    first = 1
    while lines := stream.readlines(_BLOCK_BYTES):
        text = b"".join(lines)
        if text.strip():
            yield _fast(text, where) or _slow(lines, where, first)
        first += len(lines)


def _fast(text: bytes, where: str) -> pa.Table | None:
    """Let Arrow read the block; None where only value by value will do."""
    explicit: dict[str, pa.DataType] = {}
    while True:
        options = arrow_json.ParseOptions(explicit_schema=pa.schema(list(explicit.items())))
        reading = arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1)
        try:
            table = arrow_json.read_json(pa.BufferReader(text), read_options=reading, parse_options=options)
        except pa.ArrowInvalid:
            return None
        # Arrow takes text like 2013-01-01 for a time, and would write it back differently.
        times = {field.name: _texts(field.type) for field in table.schema if _holds_time(field.type)}
        if not times:
            break
        if times.keys() <= explicit.keys():
            return None
        explicit |= times
    names = table.column_names
    try:
        arrays = [plain_column(name, table.column(name)) for name in names]
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return pa.table(arrays, names=names) if names else None


def _holds_time(kind: pa.DataType) -> bool:
    return is_time(kind.value_type if pa.types.is_list(kind) else kind)


def _texts(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.string()) if pa.types.is_list(kind) else pa.string()


def _slow(lines: list[bytes], where: str, first: int) -> pa.Table:
    rows = [_row(line, f"{where}, line {first + place}") for place, line in enumerate(lines) if line.strip()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        # Objects without any key still are rows, and Arrow needs a column to count them.
        return pa.table({"": pa.nulls(len(rows))})
    columns = [_column(name, [row.get(name) for row in rows], where) for name in names]
    fields = [
        pa.field(name, array.type, metadata=metadata) for name, (array, metadata) in zip(names, columns, strict=True)
    ]
    return pa.table([array for array, _ in columns], schema=pa.schema(fields))


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = _lenient(line, where)
    if not isinstance(row, dict):
        raise InputError(f"{where}: a JSON {type(row).__name__} where an object should be; write one object a line")
    return row


def _lenient(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: no JSON ({str(error).splitlines()[0]}); write one object a line") from error


def _column(name: str, values: list[Any], where: str) -> tuple[pa.Array, dict[bytes, bytes] | None]:
    values = [_plain(name, value, where) for value in values]
    kinds = _kinds(values)
    if not kinds:
        return pa.nulls(len(values)), None
    items = _kinds([item for value in values for item in (value if isinstance(value, list) else [value])])
    if len(items) <= 1 or items == {"int", "float"}:
        item = _ARROW["float" if "float" in items else next(iter(items), "str")]
        if (
            "float" in items
        ):  # Arrow refuses whole numbers that a float cannot hold exactly; here the nearest one will do
            values = [_as_floats(value) for value in values]
        if "list" not in kinds:
            return pa.array(values, item), None
        lists = [value if value is None or isinstance(value, list) else [value] for value in values]
        return pa.array(lists, pa.list_(item)), None
    return pa.array([None if value is None else json_text(value) for value in values], pa.string()), _JSON_ORIGIN


def _as_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [float(item) for item in value]
    return None if value is None else float(value)


def json_text(value: Any) -> str:
    """Return a plain value as JSON, infinities included."""
    return json.dumps(value, ensure_ascii=False)


def _plain(name: str, value: Any, where: str) -> Any:
    if isinstance(value, list):
        if any(isinstance(item, list) for item in value):
            raise InputError(f"{where}: column {name!r} holds lists of lists; flatten it")
        return [item for item in (_plain(name, item, where) for item in value) if item is not None]
    if isinstance(value, dict):
        raise InputError(f"{where}: column {name!r} holds nested objects; flatten it into columns of its own")
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def _kinds(values: list[Any]) -> set[str]:
    return {type(value).__name__ for value in values if value is not None}


_ARROW = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}
