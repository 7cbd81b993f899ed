"""Lists for a terminal: a line a thing, whose name can be copied whole; changes with the looks of all lists."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

from rich import box
from rich.table import Table

NONE = "–"
_LEAST = 10


def listing(*headings: str, whole: Collection[str] = (), numbers: Collection[str] = ()) -> Table:
    """Return an empty table; columns in `whole` are neither broken nor shortened, and those of `numbers` stand to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)
    for heading in headings:
        right = heading in numbers
        kept = heading in whole or right
        justify: Literal["left", "right"] = "right" if right else "left"
        # Narrower columns break words, wider ones take the room from those that are kept whole.
        table.add_column(heading, no_wrap=kept, overflow="fold", justify=justify, min_width=0 if kept else _LEAST)
    return table


def second(moment: datetime | None) -> str:
    """Return a time in UTC to the second, as people read it; a dash for none."""
    return NONE if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
