"""`driftline alerts`: what is wrong with which model, and who looks after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.acting import acting_user
from monitor.commands.opening import opened_ledger
from monitor.commands.options import by_option, config_option, document_option

if TYPE_CHECKING:
    from monitor.alert.alert import Alert
    from monitor.store.ledger import Ledger


@click.group("alerts")
def command() -> None:
    """Look after alerts: see what fires and why, take note of it, and say who looks after it."""


@command.command("list")
@config_option
@click.option("--model", metavar="MODEL", help="Only of this model.")
@click.option(
    "--state",
    type=click.Choice(["inactive", "pending", "firing", "resolved"]),
    help="Only in this state; all but inactive ones without it.",
)
@document_option
def list_(*, config: Path, model: str | None, state: str | None, format_: str) -> None:
    """List alerts, by model and name.

    \b
    Examples:
      driftline alerts list --state firing
      driftline alerts list --model flights --format json | jq '.[].findings[0].explanation'
    """
    import orjson
    from rich.console import Console

    from monitor.alert.alert import AlertState
    from monitor.report.alert_table import alert_json, print_alerts

    ledger = opened_ledger(config)
    found = ledger.alerts.list(model, None if state is None else AlertState(state))
    silenced = _silencing(ledger)
    if format_ == "json":
        click.echo(orjson.dumps([alert_json(alert, silenced(alert)) for alert in found]).decode())
    elif found:
        print_alerts(Console(), found, silenced)
    else:
        click.echo("no alerts")


@command.command("show")
@click.argument("fingerprint")
@config_option
@document_option
def show(*, fingerprint: str, config: Path, format_: str) -> None:
    """Show one alert: its findings, the strongest first, and all that happened to it.

    \b
    Examples:
      driftline alerts show 57f76c292cbe9a30
      driftline alerts show 57f76c292cbe9a30 --format json | jq .events
    """
    import orjson
    from rich.console import Console

    from monitor.clock import rfc3339
    from monitor.errors import InputError
    from monitor.report.alert_table import alert_json, print_alert

    ledger = opened_ledger(config)
    alert = ledger.alerts.get(fingerprint)
    if alert is None:
        raise InputError(f"there is no alert {fingerprint}; see `driftline alerts list`")
    events, silenced_by = ledger.alerts.events(fingerprint), _silencing(ledger)(alert)
    if format_ == "json":
        said = [
            {
                "at": rfc3339(event.at),
                "episode": event.episode,
                "from": str(event.from_state),
                "to": str(event.to_state),
                "by": event.actor,
                "reason": event.reason,
            }
            for event in events
        ]
        click.echo(orjson.dumps(alert_json(alert, silenced_by) | {"events": said}).decode())
    else:
        story = [(event.at, event.actor, f"{event.to_state}: {event.reason}") for event in events]
        print_alert(Console(), alert, story, silenced_by)


@command.command("ack")
@click.argument("fingerprint")
@config_option
@by_option
def acknowledge(*, fingerprint: str, config: Path, actor: str | None) -> None:
    """Take note of a firing alert, so that nobody is told of it again until it is over.

    \b
    Example:
      driftline alerts ack 57f76c292cbe9a30
    """
    from monitor.clock import SystemClock

    alert = opened_ledger(config).alerts.acknowledge(fingerprint, actor or acting_user(), SystemClock().now())
    click.echo(f"{alert.name} of {alert.model}: acknowledged by {alert.acknowledged_by}")


@command.command("assign")
@click.argument("fingerprint")
@config_option
@click.option("--to", "assignee", required=True, metavar="NAME", help="Who looks after it; an empty text is nobody.")
@by_option
def assign(*, fingerprint: str, config: Path, assignee: str, actor: str | None) -> None:
    """Say who looks after an alert.

    \b
    Example:
      driftline alerts assign 57f76c292cbe9a30 --to ada
    """
    from monitor.clock import SystemClock

    alert = opened_ledger(config).alerts.assign(fingerprint, assignee, actor or acting_user(), SystemClock().now())
    click.echo(f"{alert.name} of {alert.model}: assigned to {alert.assignee or 'nobody'}")


def _silencing(ledger: Ledger) -> Callable[[Alert], str | None]:
    """Return what tells the silence that holds for an alert."""
    from monitor.clock import SystemClock

    active = ledger.silences.active(SystemClock().now())
    return lambda alert: next((each.silence_id for each in active if each.mutes(alert.labels)), None)
