"""Alerts and silences for people and as JSON; changes with what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from monitor.alert.alert import Alert
from monitor.alert.silence import Silence
from monitor.clock import rfc3339
from monitor.report.listing import NONE, listing, second

_COLORS = {"firing": "red", "pending": "yellow", "resolved": "green", "inactive": "dim"}
_MOST_FEATURES = 3


def alert_json(alert: Alert, silenced_by: str | None) -> dict[str, Any]:
    """Return the JSON object of an alert; `silenced_by` is the id of a silence that holds."""
    return {
        "fingerprint": alert.fingerprint,
        "state": str(alert.state),
        "origin": str(alert.origin),
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "episode": alert.episode,
        "active_at": _time(alert.active_at),
        "fired_at": _time(alert.fired_at),
        "resolved_at": _time(alert.resolved_at),
        "updated_at": _time(alert.updated_at),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": _time(alert.acknowledged_at),
        "assignee": alert.assignee,
        "silenced_by": silenced_by,
        "findings": list(alert.findings),
        "muted": list(alert.muted),
    }


def silence_json(silence: Silence, now: datetime) -> dict[str, Any]:
    """Return the JSON object of a silence."""
    return {
        "silence_id": silence.silence_id,
        "state": _silence_state(silence, now),
        "matchers": silence.matchers,
        "starts_at": rfc3339(silence.starts_at),
        "ends_at": rfc3339(silence.ends_at),
        "created_by": silence.created_by,
        "created_at": rfc3339(silence.created_at),
        "comment": silence.comment,
        "expired_by": silence.expired_by,
    }


def print_alerts(console: Console, alerts: Sequence[Alert], silenced: Callable[[Alert], str | None]) -> None:
    """Print a line for each alert: which, how it stands, since when, and about which features."""
    # The fingerprint is what the other commands ask for.
    table = listing("fingerprint", "state", "alert", "since (UTC)", "about", whole=("fingerprint", "since (UTC)"))
    for alert in alerts:
        who = _who(alert)
        severity = alert.labels.get("severity", "")
        named = f"{alert.name} of {alert.model}" if alert.model else alert.name
        table.add_row(
            alert.fingerprint,
            _state(alert, silenced(alert)) + (f"\n{escape(who)}" if who else ""),
            escape(f"{named}, {severity}" if severity else named),
            second(alert.resolved_at or alert.fired_at or alert.active_at),
            escape(_about(alert)),
        )
    console.print(table)


def print_alert(
    console: Console, alert: Alert, events: Sequence[tuple[datetime, str, str]], silenced_by: str | None
) -> None:
    """Print all that is known of one alert; an event is when, by whom, and what."""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    console.print(f"[bold]{escape(alert.name)}[/bold] {_state(alert, silenced_by)}  {escape(labels)}")
    for name, text in alert.annotations.items():
        console.print(f"{escape(name)}: {escape(text)}", highlight=False)
    for title, moment in (("firing since", alert.fired_at), ("resolved", alert.resolved_at)):
        if moment is not None:
            console.print(f"{title} {second(moment)} UTC (episode {alert.episode})", highlight=False)
    if who := _who(alert):
        console.print(escape(who), highlight=False)
    if alert.findings or alert.muted:
        table = listing("window", "version", "slice", "finding", whole=("window",))
        for finding in alert.findings:
            table.add_row(*map(escape, _cells(finding)), escape(finding["explanation"]))
        for finding in alert.muted:
            said = f"{finding['explanation']} (muted by a {finding['muted_by']})"
            table.add_row(*map(escape, _cells(finding)), f"[dim]{escape(said)}[/dim]")
        console.print(table)
    story = listing("at (UTC)", "by", "what", whole=("at (UTC)",))
    for at, actor, reason in events:
        story.add_row(second(at), escape(actor), escape(reason))
    console.print(story)


def print_silences(console: Console, silences: Sequence[Silence], now: datetime) -> None:
    """Print a line for each silence."""
    table = listing("id", "state", "matchers", "until (UTC)", "by", "comment", whole=("id", "until (UTC)"))
    for silence in silences:
        table.add_row(
            silence.silence_id,
            _silence_state(silence, now),
            escape(silence.matchers),
            second(silence.ends_at),
            escape(silence.created_by),
            escape(silence.comment),
        )
    console.print(table)


def _state(alert: Alert, silenced_by: str | None) -> str:
    color = _COLORS[alert.state]
    return f"[{color}]{alert.state}[/{color}]" + (" (silenced)" if silenced_by else "")


def _about(alert: Alert) -> str:
    named = list(dict.fromkeys(str(finding["feature"] or finding["measure"]) for finding in alert.findings))
    more = len(named) - _MOST_FEATURES
    return ", ".join(named[:_MOST_FEATURES]) + (f" and {more} more" if more > 0 else "") or NONE


def _who(alert: Alert) -> str:
    said = [f"acknowledged by {alert.acknowledged_by}"] if alert.acknowledged_by else []
    return "; ".join(said + ([f"assigned to {alert.assignee}"] if alert.assignee else []))


def _cells(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    slice_ = ", ".join(f"{name}={value}" for name, value in finding["slice"].items())
    return str(finding["window_start"]), str(finding["version"]), slice_ or NONE


def _silence_state(silence: Silence, now: datetime) -> str:
    if silence.active(now):
        return "active"
    return "expired" if silence.ends_at <= now else "to come"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
