"""How the demo tells where it is: moving bars on a terminal, plain lines elsewhere. Changes with the looks only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from monitor.clock import Clock

_QUIET_SECONDS = 5.0
"""Without a terminal, a bar writes a line at most this often."""


class Bar(Protocol):
    """One named step."""

    def update(self, done: int, note: str = "") -> None:
        """Say how much of the total is done."""
        ...

    def finish(self, note: str = "") -> None:
        """Say that the step is over."""
        ...


class Board(Protocol):
    """All steps of a run, several of which may go on at once. Used by one thread."""

    def bar(self, name: str, total: int | None = None) -> Bar:
        """Start a step; `total` is None where its length is not known."""
        ...


@contextmanager
def board(console: Console, clock: Clock) -> Iterator[Board]:
    """Show steps on `console` until the block is left."""
    if not console.is_terminal:
        yield PlainBoard(console, clock)
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield RichBoard(progress)


class RichBoard:
    """Bars of rich."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def bar(self, name: str, total: int | None = None) -> Bar:
        """Start a step with a bar of its own."""
        return _RichBar(self._progress, self._progress.add_task(name, total=total, note=""))


class _RichBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, note=note)

    def finish(self, note: str = "") -> None:
        total = self._progress.tasks[self._task].total or 1
        self._progress.update(self._task, total=total, completed=total, note=note)


class PlainBoard:
    """Lines of text: one when a step starts, some while it goes on, one when it is over."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock

    def bar(self, name: str, total: int | None = None) -> Bar:
        """Start a step with a line."""
        self._console.print(f"{name} ...", markup=False, highlight=False)
        return _PlainBar(self._console, self._clock, name, total)


class _PlainBar:
    def __init__(self, console: Console, clock: Clock, name: str, total: int | None) -> None:
        self._console = console
        self._clock = clock
        self._name = name
        self._total = total
        self._started = self._spoke = clock.monotonic()

    def update(self, done: int, note: str = "") -> None:
        if self._total is None or self._clock.monotonic() - self._spoke < _QUIET_SECONDS:
            return
        self._spoke = self._clock.monotonic()
        self._say(f"{self._name}: {done:,} of {self._total:,}", note)

    def finish(self, note: str = "") -> None:
        self._say(f"{self._name}: done after {self._clock.monotonic() - self._started:.1f} s", note)

    def _say(self, text: str, note: str) -> None:
        self._console.print(f"{text}; {note}" if note else text, markup=False, highlight=False, soft_wrap=True)
