"""From what is remembered of windows to the state of an alert: one pure function; changes with what a state means.

inactive --> pending --> firing --> resolved      a state is left for the next on its right,
inactive --------------> firing                   at once where one window is enough,
             pending --> inactive                 back where nothing came of it,
resolved --> pending, firing                      and begun anew by a window that no episode was about yet
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate

from monitor.alert.alert import Alert, AlertState
from monitor.alert.memory import Windows
from monitor.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Timing:
    """When matching windows make an alert: `matches` among the last `among`; it goes on for `keep` windows after that ended."""

    matches: int = 1
    among: int = 1
    keep: int = 0

    @property
    def windows(self) -> int:
        """How many windows decide."""
        return self.among + self.keep


@dataclass(frozen=True, slots=True)
class Standing:
    """What windows say by themselves, whatever was said before.

    Attributes:
        holds: INACTIVE, PENDING or FIRING.
        newest: the newest window because of which, None for INACTIVE.
        reason: in words.
    """

    holds: AlertState
    newest: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state; `alert` as it is after it, `reason` for a person."""

    before: AlertState
    alert: Alert
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What became of an alert: its changes in their order, and the memory's `covered`."""

    alert: Alert
    covered: datetime | None
    changes: Sequence[Change] = ()


def standing_of(windows: Windows, timing: Timing) -> Standing:
    """Say what the last decided windows amount to; depends on nothing but the last `timing.windows` of them.

    It holds at a window when `matches` of the `among` windows that end with it match, and fires while that was so at one of
    the last `keep` + 1. It is pending while what has matched brings it nearer to that than nothing would.
    """
    sums = [0, *accumulate(int(matched) for _, matched in windows)]
    size = len(windows)
    for end in range(size, max(0, size - timing.keep - 1), -1):
        count = sums[end] - sums[max(0, end - timing.among)]
        if count >= timing.matches:
            return Standing(AlertState.FIRING, windows[end - 1][0], _reason(windows, end, count, timing))
    count = sums[size] - sums[max(0, size - timing.among)]
    said = f"{count} of the last {min(size, timing.among)} windows match, {timing.matches} are needed"
    matched = [start for start, each in windows if each]
    for more in range(1, timing.matches):
        if matched and sums[size] - sums[max(0, size - timing.among + more)] + more >= timing.matches:
            return Standing(AlertState.PENDING, matched[-1], said)
    return Standing(AlertState.INACTIVE, None, said)


def transition(alert: Alert, standing: Standing, covered: datetime | None, now: datetime) -> Step:
    """Return what becomes of an alert.

    An episode begins only with a window that is newer than all that earlier episodes were about: whoever restates a window may
    end an alert, and never has anybody told twice of that window.

    Args:
        alert: as it stands.
        standing: what windows say.
        covered: the newest window that an episode was about so far.
        now: wall clock.
    """
    changes: list[Change] = []
    newest = standing.newest
    if alert.state is AlertState.FIRING:
        if standing.holds is AlertState.FIRING:
            return Step(alert, max(covered or newest, newest) if newest else covered)
        alert = _resolved(alert, now)
        changes.append(Change(AlertState.FIRING, alert, standing.reason))
    anew = newest is not None and (covered is None or newest > covered)
    wanted = standing.holds if anew else AlertState.INACTIVE
    before = alert.state
    if wanted is AlertState.FIRING:
        alert, covered = _fired(alert, now), newest
    elif wanted is AlertState.PENDING and before is not AlertState.PENDING:
        alert = replace(alert, state=AlertState.PENDING, active_at=now, updated_at=now)
    elif wanted is AlertState.INACTIVE and before is AlertState.PENDING:
        alert = replace(alert, state=AlertState.INACTIVE, active_at=None, updated_at=now)
    if alert.state is not before:
        changes.append(Change(before, alert, standing.reason))
    return Step(alert, covered, changes)


def retired(alert: Alert, covered: datetime | None, reason: str, now: datetime) -> Step:
    """Return what becomes of an alert that nobody looks after any more."""
    return transition(alert, Standing(AlertState.INACTIVE, None, reason), covered, now)


def _fired(alert: Alert, now: datetime) -> Alert:
    return replace(
        alert,
        state=AlertState.FIRING,
        episode=alert.episode + 1,
        active_at=alert.active_at if alert.state is AlertState.PENDING else now,
        fired_at=now,
        resolved_at=None,
        updated_at=now,
        acknowledged_by=None,
        acknowledged_at=None,
    )


def _resolved(alert: Alert, now: datetime) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, resolved_at=now, updated_at=now)


def _reason(windows: Windows, end: int, count: int, timing: Timing) -> str:
    start = rfc3339(windows[end - 1][0])
    if timing.among == 1:
        said = f"the window from {start} matches"
    else:
        said = f"{count} of {min(end, timing.among)} windows up to that from {start} match"
    since = len(windows) - end
    return f"{said}; kept firing for {since} more" if since else said
