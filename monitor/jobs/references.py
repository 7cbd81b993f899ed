"""Which earlier windows a window is compared with; changes with what can be a reference. Production and backtest share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from monitor.clock import EPOCH
from monitor.compare.case import PREVIOUS
from monitor.compare.family import PINNED
from monitor.compare.pooled import POOLED_WINDOWS
from monitor.config.detection import DetectionSettings, PinnedSettings
from monitor.profile.profile import Profile
from monitor.profile.rollup import rolled_up_windows
from monitor.profile.sliced import WindowProfile
from monitor.records import Window
from monitor.window.seasons import seasonal_starts

SEASONAL = "seasonal"


class History(Protocol):
    """The windows before one, of the same model version, profiled on the baseline by which it is judged."""

    def previous(self) -> WindowProfile | None:
        """Return the nearest window that had rows, with TFDV's statistics."""

    def at(self, starts: Sequence[datetime]) -> Sequence[WindowProfile]:
        """Return those of the windows with these starts that are known and had rows."""

    def within(self, pinned: Window) -> WindowProfile | None:
        """Return the windows within the pinned range as one; None where none is known."""

    def recent(self) -> Sequence[Profile]:
        """Return all rows of the last windows that had some, oldest first, as many as may be judged together with one."""


def earlier_windows(window: Window, history: History, settings: DetectionSettings) -> dict[str, WindowProfile]:
    """Return the earlier windows that the settings compare `window` with, by the name of the reference.

    Only what there is: the first window has no previous one, and the first season no seasonal one. A window that starts
    before the end of the pinned range is not compared with it.
    """
    found: dict[str, WindowProfile | None] = {}
    if PREVIOUS in settings.references:
        found[PREVIOUS] = history.previous()
    if SEASONAL in settings.references:
        found[SEASONAL] = _seasonal(window, history, settings)
    if PINNED in settings.references and settings.pinned is not None and window.start >= settings.pinned.end:
        found[PINNED] = history.within(pinned_range(settings.pinned))
    return {name: each for name, each in found.items() if each is not None}


def pinned_range(pinned: PinnedSettings) -> Window:
    """Return the pinned range of time."""
    return Window(pinned.start.astimezone(EPOCH.tzinfo), pinned.end.astimezone(EPOCH.tzinfo))


def _seasonal(window: Window, history: History, settings: DetectionSettings) -> WindowProfile | None:
    for starts in seasonal_starts(window, settings.seasons, settings.seasonal_windows):
        known = history.at(starts)
        if known:
            return rolled_up_windows(known)
    return None


class MemoryHistory:
    """The windows of a backtest, added in the order of time; it forgets those that no later window is compared with."""

    def __init__(self, settings: DetectionSettings) -> None:
        """Keep what these settings compare windows with."""
        reach = max(settings.seasons) * settings.seasonal_windows
        self._reach = reach if SEASONAL in settings.references else timedelta(0)
        self._pinned_range = pinned_range(settings.pinned) if settings.pinned is not None else None
        self._last: WindowProfile | None = None
        self._known: dict[datetime, WindowProfile] = {}
        self._pinned: WindowProfile | None = None
        self._recent: deque[Profile] = deque(maxlen=POOLED_WINDOWS - 1)

    def add(self, window: Window, profile: WindowProfile) -> None:
        """Remember a window that had rows."""
        if not profile.overall.rows:
            return
        self._last = profile
        small = profile.without_statistics()
        self._recent.append(small.overall)
        if self._reach:
            self._known[window.start] = small
            for start in [start for start in self._known if start < window.start - self._reach]:
                del self._known[start]
        within = self._pinned_range
        if within is not None and within.start <= window.start and window.end <= within.end:
            self._pinned = small if self._pinned is None else rolled_up_windows([self._pinned, small])

    def previous(self) -> WindowProfile | None:
        """See `History`."""
        return self._last

    def at(self, starts: Sequence[datetime]) -> Sequence[WindowProfile]:
        """See `History`."""
        return [self._known[start] for start in starts if start in self._known]

    def within(self, pinned: Window) -> WindowProfile | None:
        """See `History`; the range is the one of the settings."""
        return self._pinned if pinned == self._pinned_range else None

    def recent(self) -> Sequence[Profile]:
        """See `History`."""
        return list(self._recent)
