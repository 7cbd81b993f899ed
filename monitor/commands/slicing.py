"""The option by which `check` and `backtest` compare slice by slice; changes with how slices are written."""

from __future__ import annotations

from typing import Any

import click


class _Columns(click.ParamType[tuple[str, ...]]):
    """Columns separated by commas."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the columns; fails as click does."""
        columns = tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else tuple(value)
        if "" in columns or len(set(columns)) < len(columns):
            self.fail(f"{value!r} names no column, or one twice; write for example origin,carrier", param, ctx)
        return columns


slice_option = click.option(
    "--slice",
    "slices",
    type=_Columns(),
    multiple=True,
    metavar="COLUMN,...",
    help="Compare by each value of a column too, or of several crossed; may be given several times.",
)
