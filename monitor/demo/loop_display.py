"""The part of the demo's last screen that is about the loop: alert, retrain, promotion. Changes with how its story is shown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitor.demo.loop import Chapter

_GOOD = {"Gate passed", "Promoted", "Alert clears", "Confirmed"}
_BAD = {"Alert", "Rejected", "Rolled back", "Failed", "Not confirmed"}


def show_loop(chapters: Sequence[Chapter], table: Table, console: Console) -> None:
    """Fill and print the table of what happened, timed from the first thing that did."""
    if not chapters:
        console.print("  No alert fired.\n", highlight=False)
        return
    table.add_column("After", justify="right", no_wrap=True)
    table.add_column("What", no_wrap=True)
    table.add_column("Found")
    first = chapters[0].at
    for chapter in chapters:
        colour = "green" if chapter.title in _GOOD else "red" if chapter.title in _BAD else ""
        title = f"[{colour}]{chapter.title}[/]" if colour else chapter.title
        table.add_row(f"{(chapter.at - first).total_seconds():.0f} s", title, escape(chapter.said))
    console.print(table)
