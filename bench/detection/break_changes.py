"""Breaks and drifts to put into one column of a window; changes with what is injected.

Each takes the window, the column and a source of random numbers, and returns the changed window, or None where the column is
not one that the change could happen to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.compare.breaks.causes import Cause
from monitor.profile.document import Floats

Change = Callable[[pa.Table, str, np.random.Generator], pa.Table | None]


def _numbers(table: pa.Table, name: str) -> Floats | None:
    """Return a column of numbers, NaN where nothing is; None where it is no such column, or never varies."""
    column = table.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    values = pc.cast(column, pa.float64(), safe=False).to_numpy()
    present = values[~np.isnan(values)]
    return values if len(present) and present.min() < present.max() else None


def _texts(table: pa.Table, name: str) -> list[str | None] | None:
    column = table.column(name)
    return column.to_pylist() if pa.types.is_string(column.type) and pc.count_distinct(column).as_py() > 1 else None


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def numeric(change: Callable[[Floats, np.random.Generator], Floats | None], *, whole: bool = True) -> Change:
    """Return an injection into columns of numbers; whole numbers are rounded again, or left out where not `whole`."""

    def inject(table: pa.Table, name: str, random: np.random.Generator) -> pa.Table | None:
        values, kind = _numbers(table, name), table.column(name).type
        if values is None or (pa.types.is_integer(kind) and not whole):
            return None
        changed = change(values, random)
        if changed is None:
            return None
        changed = np.rint(changed) if pa.types.is_integer(kind) else changed
        same = np.array_equal(changed, values, equal_nan=True)
        return None if same else _with(table, name, pa.array(changed, from_pandas=True).cast(kind))

    return inject


def measured(change: Callable[[Floats, np.random.Generator], Floats | None]) -> Change:
    """Return an injection into columns of numbers that are no codes: half a deviation more of 0 to 6 is another base."""
    inject = numeric(change)
    return lambda table, name, random: inject(table, name, random) if len(table.column(name).unique()) > 32 else None


def textual(change: Callable[[list[str | None], np.random.Generator], list[str | None] | None]) -> Change:
    """Return an injection into columns of text."""

    def inject(table: pa.Table, name: str, random: np.random.Generator) -> pa.Table | None:
        values = _texts(table, name)
        changed = None if values is None else change(values, random)
        return None if changed is None or changed == values else _with(table, name, pa.array(changed, pa.string()))

    return inject


def each(rewrite: Callable[[str], str]) -> Change:
    """Return an injection that rewrites every text."""
    return textual(lambda values, _: [None if value is None else rewrite(value) for value in values])


def _as_text(table: pa.Table, name: str, _: np.random.Generator) -> pa.Table | None:
    return None if _numbers(table, name) is None else _with(table, name, pc.cast(table.column(name), pa.string()))


def _nulls(table: pa.Table, name: str, _: np.random.Generator) -> pa.Table | None:
    return _with(table, name, pa.nulls(table.num_rows, table.column(name).type))


def _partner(table: pa.Table, name: str, random: np.random.Generator) -> str | None:
    kind = table.column(name).type
    others = [other for other in table.column_names if other != name and table.column(other).type == kind]
    return str(random.choice(others)) if others else None


def _swapped(table: pa.Table, name: str, random: np.random.Generator) -> pa.Table | None:
    other = _partner(table, name, random)
    if other is None:
        return None
    return _with(_with(table, name, table.column(other)), other, table.column(name))


def _copied(table: pa.Table, name: str, random: np.random.Generator) -> pa.Table | None:
    other = _partner(table, name, random)
    return None if other is None or len(table.column(other).unique()) < 4 else _with(table, name, table.column(other))


def _rotated(values: Floats, _: np.random.Generator) -> Floats | None:
    present = values[~np.isnan(values)]
    if (present % 1.0).any() or present.min() < 0:
        return None
    if 20 <= present.max() <= 23:
        return (values + 5) % 24
    if 2000 <= present.max() <= 2400 and (present % 100 < 60).all():
        return (values // 100 + 5) % 24 * 100 + values % 100
    return None


def _based(values: Floats, _: np.random.Generator) -> Floats | None:
    low, high = np.nanmin(values), np.nanmax(values)
    whole = not (values[~np.isnan(values)] % 1.0).any()
    return values + (1 if low == 0 else -1) if whole and low in {0, 1} and 2 <= high - low < 32 else None


def _codes(values: list[str | None], random: np.random.Generator) -> list[str | None]:
    names = sorted({value for value in values if value is not None})
    codes = dict(zip(names, random.permutation(len(names)).tolist(), strict=True))
    return [None if value is None else f"c{codes[value]:04d}" for value in values]


def _half(values: list[str | None], _: np.random.Generator) -> list[str | None] | None:
    length = int(np.median([len(value) for value in values if value is not None])) // 2
    return [None if value is None else value[:length] for value in values] if length else None


BREAKS: Mapping[str, tuple[Cause, Change]] = {
    "times 1.609": (Cause.NEW_UNIT, measured(lambda v, _: v * 1.609344)),
    "times 1000": (Cause.NEW_UNIT, measured(lambda v, _: v * 1_000.0)),
    "times 60": (Cause.NEW_UNIT, measured(lambda v, _: v * 60.0)),
    "by 1000 (fractions)": (Cause.NEW_UNIT, numeric(lambda v, _: v / 1_000.0, whole=False)),
    "Celsius to Fahrenheit": (Cause.NEW_UNIT, numeric(lambda v, _: v * 1.8 + 32.0, whole=False)),
    "sign flip": (Cause.SIGN_FLIPPED, numeric(lambda v, _: -v)),
    "all null": (Cause.GONE_NULL, _nulls),
    "all 0": (Cause.GONE_CONSTANT, numeric(lambda v, _: v * 0.0)),
    "all -1": (Cause.GONE_CONSTANT, numeric(lambda v, _: v * 0.0 - 1.0)),
    "all ''": (Cause.GONE_CONSTANT, each(lambda _: "")),
    "all 'unknown'": (Cause.GONE_CONSTANT, each(lambda _: "unknown")),
    "two swapped": (Cause.SWAPPED, _swapped),
    "copy of another": (Cause.DUPLICATED, _copied),
    "numbers as text": (Cause.TYPE_CHANGED, _as_text),
    "lower case": (Cause.RECODED, each(str.lower)),
    "prefix": (Cause.RECODED, each(lambda value: f"x:{value}")),
    "other codes": (Cause.RECODED, textual(_codes)),
    "codes from 0 or 1": (Cause.RECODED, numeric(_based)),
    "5 hours later": (Cause.TIME_SHIFTED, numeric(_rotated)),
    "cut to half": (Cause.TRUNCATED, textual(_half)),
    "whole numbers only": (Cause.ROUNDED, numeric(lambda v, _: np.rint(v), whole=False)),
}


def _shifted(by: float) -> Change:
    return measured(lambda v, _: v + by * np.nanstd(v))


def _clipped(values: Floats, _: np.random.Generator) -> Floats:
    return np.minimum(values, np.nanquantile(values, 0.9))


def _moved_mass(values: list[str | None], random: np.random.Generator) -> list[str | None]:
    names, counts = np.unique([value for value in values if value is not None], return_counts=True)
    target = str(names[np.argsort(-counts)[min(1, len(names) - 1)]])
    return [target if random.random() < 0.1 else value for value in values]


def _missing(table: pa.Table, name: str, random: np.random.Generator) -> pa.Table | None:
    gone = pa.array(random.random(table.num_rows) < 0.05)
    return _with(table, name, pc.if_else(gone, pa.scalar(None, table.column(name).type), table.column(name)))


DRIFTS: Mapping[str, Change] = {
    "mean +0.25 sd": _shifted(0.25),
    "mean +0.5 sd": _shifted(0.5),
    "mean -0.5 sd": _shifted(-0.5),
    "spread 1.3": measured(lambda v, _: np.nanmean(v) + 1.3 * (v - np.nanmean(v))),
    "growth 5%": measured(lambda v, _: v * 1.05),
    "growth 30%": measured(lambda v, _: v * 1.3),
    "noisy growth 60%": measured(lambda v, random: v * random.lognormal(np.log(1.6), 0.3, len(v))),
    "clipped at p90": numeric(_clipped),
    "10% mass moved": textual(_moved_mass),
    "5% unseen": textual(lambda values, r: ["never seen" if r.random() < 0.05 else value for value in values]),
    "missing +5": _missing,
}
