"""Whom to tell what of an alert now; changes with when somebody is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.alert.alert import Alert, AlertState
from monitor.alert.notification import Told


@dataclass(frozen=True, slots=True)
class Tellings:
    """What is to be said: receivers by kind, and who has been told of the episode once that is done."""

    said: Sequence[tuple[Told, Sequence[str]]]
    told: Mapping[str, datetime]


def tellings(
    alert: Alert,
    told: Mapping[str, datetime],
    receivers: Mapping[str, timedelta],
    want_the_end: Collection[str],
    forget: Collection[str],
    *,
    silenced: bool,
    now: datetime,
) -> Tellings:
    """Say who is to be told of an alert.

    Of a firing alert each receiver is told once, and again after its repeat interval unless somebody has acknowledged it. Of
    its end are told those who were told of its beginning, acknowledged or not: what it opened elsewhere must be closed. A
    silence puts all of that off until it is over, or for good where there is nothing left to tell by then.

    Args:
        alert: as it stands.
        told: who was told of the present episode, and when last; a time to come is of a clock that was ahead.
        receivers: who is to be told of this alert, each with its repeat interval.
        want_the_end: receivers that are told of ends too.
        forget: receivers that take what they do not hear of again for over: an acknowledgement keeps nothing from them.
        silenced: whether a silence mutes the alert.
        now: wall clock.
    """
    if silenced:
        return Tellings((), told)
    if alert.state is not AlertState.FIRING:
        ended = [receiver for receiver in told if receiver in want_the_end]
        return Tellings([(Told.RESOLVED, ended)] if ended else (), {})
    listening = {
        name: interval for name, interval in receivers.items() if alert.acknowledged_by is None or name in forget
    }
    first = [receiver for receiver in listening if receiver not in told]
    again = [name for name, interval in listening.items() if name in told and abs(now - told[name]) >= interval]
    said = [(kind, names) for kind, names in ((Told.FIRING, first), (Told.REPEATED, again)) if names]
    return Tellings(said, dict(told) | dict.fromkeys([*first, *again], now))
