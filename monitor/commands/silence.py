"""`driftline silence`: alerts that nobody wants to hear of for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from monitor.commands.acting import acting_user
from monitor.commands.opening import opened_ledger
from monitor.commands.options import by_option, config_option, document_option
from monitor.commands.times import Duration, Moment


@click.group("silence")
def command() -> None:
    """Silence alerts for a time: they are recorded as ever, and those that still fire then are told of."""


@command.command("add")
@config_option
@click.option("--matchers", required=True, metavar="TEXT", help="Labels of the alerts, as Prometheus writes matchers.")
@click.option("--for", "duration", required=True, type=Duration("a silence"), help="For how long, such as 2h.")
@click.option("--from", "starts", type=Moment(), metavar="TIME", help="From when on, RFC 3339; from now on without it.")
@click.option("--comment", required=True, metavar="TEXT", help="Why.")
@by_option
def add(
    *, config: Path, matchers: str, duration: timedelta, starts: datetime | None, comment: str, actor: str | None
) -> None:
    """Silence the alerts whose labels match, and print the id of the silence.

    \b
    Examples:
      driftline silence add --matchers 'model="flights", severity!="critical"' --for 2h --comment "new schema"
      driftline silence add --matchers 'alertname=~"Traffic.*"' --from 2026-12-24T18:00:00Z --for 3d --comment holidays
    """
    from monitor.clock import SystemClock

    now = SystemClock().now()
    begins = starts or now
    try:
        ends = begins + duration
    except OverflowError:
        raise click.UsageError("the silence would end beyond the year 9999") from None
    silences = opened_ledger(config).silences
    click.echo(silences.add(matchers, begins, ends, actor or acting_user(), comment, now))


@command.command("list")
@config_option
@click.option("--expired", is_flag=True, help="Those that are over too.")
@document_option
def list_(*, config: Path, expired: bool, format_: str) -> None:
    """List silences that hold or are to come, by their end.

    \b
    Example:
      driftline silence list --expired --format json | jq '.[].comment'
    """
    import orjson
    from rich.console import Console

    from monitor.clock import SystemClock
    from monitor.report.alert_table import print_silences, silence_json

    now = SystemClock().now()
    found = opened_ledger(config).silences.list(now, with_expired=expired)
    if format_ == "json":
        click.echo(orjson.dumps([silence_json(silence, now) for silence in found]).decode())
    elif found:
        print_silences(Console(), found, now)
    else:
        click.echo("no silences")


@command.command("expire")
@click.argument("silence_id", metavar="ID")
@config_option
@by_option
def expire(*, silence_id: str, config: Path, actor: str | None) -> None:
    """End a silence now; of its alerts that still fire people are told.

    \b
    Example:
      driftline silence expire 0f3a51be27c4
    """
    from monitor.clock import SystemClock, rfc3339

    silence = opened_ledger(config).silences.expire(silence_id, actor or acting_user(), SystemClock().now())
    click.echo(f"silence {silence.silence_id} ended at {rfc3339(silence.ends_at.replace(microsecond=0))}")
