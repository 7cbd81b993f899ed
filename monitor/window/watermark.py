"""Watermarks: up to which event time a model's input is believed complete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from monitor.records import Window


@dataclass(frozen=True, slots=True)
class Progress:
    """What the last cut said of one partition.

    Attributes:
        max_event_time: newest event time committed, None before the first record.
        at_end: nothing was left to read at `checked_at`; a claim of then, not of now.
        progressed_at: wall clock of the last record seen.
    """

    max_event_time: datetime | None
    at_end: bool
    checked_at: datetime
    progressed_at: datetime

    def idle(self, timeout: timedelta) -> bool:
        """Say whether the partition was at its end *and* quiet for `timeout`; a lagging one is not idle."""
        return self.at_end and self.checked_at - self.progressed_at >= timeout


def watermark(
    partitions: Iterable[Progress],
    *,
    allowed_lateness: timedelta,
    idle_timeout: timedelta,
    time: Literal["live", "replay"],
    now: datetime,
) -> datetime | None:
    """Return the watermark of a model, None while some input has said nothing yet.

    The minimum over partitions that are not idle. With `live` time an idle partition counts as complete up to the wall
    clock of its last check (not of now: its collector may have died since); with `replay` it does not count, and when all are
    idle the newest event decides. An event time ahead of `now` counts as now, so that one wrong clock cannot close windows.
    """
    seen = list(partitions)
    if not seen:
        return None
    if time == "replay":
        active = [progress for progress in seen if not progress.idle(idle_timeout)]
        if not active:
            newest = [progress.max_event_time for progress in seen if progress.max_event_time is not None]
            return min(max(newest), now) - allowed_lateness if newest else None
        seen = active
    completes = []
    for progress in seen:
        complete = progress.max_event_time
        if progress.idle(idle_timeout):  # reached with live time only
            complete = max(progress.checked_at, complete or progress.checked_at)
        if complete is None:
            return None
        completes.append(min(complete, now))
    return min(completes) - allowed_lateness


def closed_until(mark: datetime, length: timedelta) -> datetime:
    """Return the end of the newest window of `length` that a watermark of `mark` closes (end <= mark)."""
    return Window.holding(mark, length).start
