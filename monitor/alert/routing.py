"""Who is told of an alert, and how often again; changes with how alerts are routed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from monitor.alert.matching import matches
from monitor.config.alerting import RouteSettings


def routed(
    labels: Mapping[str, str], routes: Sequence[RouteSettings], receivers: Collection[str]
) -> dict[str, timedelta]:
    """Return the receivers of an alert, each with its repeat interval; without routes all receivers of all alerts.

    The first route that matches decides, and those after it as long as the one before says `continue`. A receiver that several
    name is told as the first of them says.
    """
    chosen: dict[str, timedelta] = {}
    for route in routes or [RouteSettings(receivers=sorted(receivers))]:
        if not matches(route.match, labels):
            continue
        for receiver in route.receivers:
            chosen.setdefault(receiver, route.repeat_interval)
        if not route.continue_:
            break
    return chosen
