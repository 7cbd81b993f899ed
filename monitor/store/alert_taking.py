"""What an Alertmanager's word makes of an alert; changes with what it can say. Words may come twice, late and out of order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.notification import Notification, Told, alert_document, told_to

LATE_WITHIN = timedelta(minutes=5)
"""A word that comes so soon after the end of what it is about may have been overtaken by it; a later one is about what followed.

An Alertmanager takes what it does not hear of for over (`resolve_timeout`). Once Prometheus is back it says the same start.
"""


def ending(before: Alert, after: Alert, told: Collection[str], now: datetime) -> list[Notification]:
    """Return what closes at the receivers that were told of an episode what that opened there, if it is over."""
    if before.state is not AlertState.FIRING or (after.state, after.episode) == (before.state, before.episode):
        return []
    over = replace(before, state=AlertState.RESOLVED, resolved_at=after.resolved_at or now)
    return told_to(sorted(told), Told.RESOLVED, over, alert_document(over, {}))


def taken(known: Alert | None, said: Alert, now: datetime) -> Alert | None:
    """Return the alert as it stands after a word, None where the word changes nothing.

    Args:
        known: as it stood, None where there was none.
        said: FIRING or RESOLVED, with `fired_at`, the beginning of what it is about.
        now: wall clock.
    """
    if known is not None and known.origin is not Origin.ALERTMANAGER:
        return None
    began = said.fired_at or now
    if known is None or known.fired_at is None or began > known.fired_at:
        episode = 1 if known is None else known.episode + 1
    elif began == known.fired_at and (known.state is AlertState.FIRING or said.state is known.state):
        episode = known.episode
    elif began == known.fired_at and abs(now - known.updated_at) > LATE_WITHIN:
        episode = known.episode + 1
    else:
        return None  # of an earlier episode, or of one that has been told to be over
    before = (
        (None, None) if known is None or episode != known.episode else (known.acknowledged_by, known.acknowledged_at)
    )
    after = replace(
        said,
        origin=Origin.ALERTMANAGER,
        episode=episode,
        active_at=began,
        fired_at=began,
        resolved_at=(said.resolved_at or now) if said.state is AlertState.RESOLVED else None,
        updated_at=now,
        acknowledged_by=before[0],
        acknowledged_at=before[1],
        assignee=None if known is None else known.assignee,
    )
    same = known is not None and replace(after, updated_at=known.updated_at, resolved_at=known.resolved_at) == known
    return None if same else after
