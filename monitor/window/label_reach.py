"""Which labels may belong to which predictions, by time alone; changes with how long labels are waited for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.records import Window

EARLIEST = timedelta(days=1)
"""A label may be so much older than its prediction, and not older than by the horizon: clocks go wrong by minutes, times written
without their zone by up to 14 hours, and a date that stands for a moment by a day."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a label may be from its prediction, both by their event times.

    Attributes:
        horizon: a label is of a prediction when it is at most so much newer (inclusive).
    """

    horizon: timedelta

    @property
    def early(self) -> timedelta:
        """How much older a label may be than its prediction (inclusive)."""
        return min(self.horizon, EARLIEST)

    def labels_of(self, window: Window) -> Window:
        """Return the event times of all labels that may be of a prediction in `window`."""
        return Window(window.start - self.early, window.end + self.horizon)

    def predictions_of(self, labels: Window) -> Window:
        """Return the event times of the predictions among which a label of `labels` is looked for.

        That is its reach, and one horizon more before it: a label that comes a second horizon after its prediction is told to
        be too late, and after that nobody looks.
        """
        return Window(labels.start - 2 * self.horizon, labels.end + self.early)

    def complete(self, window: Window, mark: datetime | None) -> bool:
        """Say whether labels are complete up to `mark`, and that is all that predictions in `window` may have."""
        return mark is not None and mark >= window.end + self.horizon


def micros_of(duration: timedelta) -> int:
    """Return a duration in microseconds, exactly."""
    return duration // timedelta(microseconds=1)


def overlap(one: Window, other: Window) -> bool:
    """Say whether two intervals share a moment; an empty one shares none."""
    return max(one.start, other.start) < min(one.end, other.end)
