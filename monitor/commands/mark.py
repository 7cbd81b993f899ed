"""`driftline mark`: what people say of findings."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from monitor.commands.acting import acting_user
from monitor.commands.opening import opened_model
from monitor.commands.options import config_option
from monitor.commands.times import Moment

_SORTS = {"false-alarm": "false_alarm", "normal": "normal"}


@click.command("mark")
@click.argument("model")
@config_option
@click.option("--window", "start", required=True, type=Moment(), metavar="TIME", help="Start of the window, RFC 3339.")
@click.option("--as", "sort", required=True, type=click.Choice(list(_SORTS)), help="What its findings are.")
@click.option(
    "--feature", "features", multiple=True, metavar="NAME", help="Only findings about this feature; repeatable."
)
@click.option("--version", metavar="VERSION", help="Version of the model, where several were judged.")
@click.option("--by", "actor", metavar="NAME", help="Who says so; your user name without it.")
@click.option("--note", default="", metavar="TEXT", help="Why; later findings and the audit log repeat it.")
def command(
    *,
    model: str,
    config: Path,
    start: datetime,
    sort: str,
    features: tuple[str, ...],
    version: str | None,
    actor: str | None,
    note: str,
) -> None:
    """Say that flagged findings of MODEL were a false alarm, or that the window is normal now.

    A false alarm raises the limit of the same comparison by the value that was flagged. A window that is normal is one more
    way for its features to be: later windows that are no different from it are not flagged. Both hold until another baseline
    is active.

    \b
    Examples:
      driftline mark flights --window 2013-07-04T00:00:00Z --as false-alarm --feature dep_delay --note "holiday"
      driftline mark flights --window 2013-07-05T00:00:00Z --as normal
    """
    from monitor.clock import SystemClock
    from monitor.jobs.marking import marks_of_window
    from monitor.store.marks import MarkSort

    _, _, ledger = opened_model(config, model)
    now = SystemClock().now()
    marks = marks_of_window(
        ledger.findings(model),
        start,
        version=version,
        features=features,
        sort=MarkSort(_SORTS[sort]),
        actor=actor or acting_user(),
        note=note,
        now=now,
    )
    ledger.marks.add(marks, now)
    for mark in marks:
        click.echo(f"{mark.feature}: {mark.measure} against {mark.reference} {mark.said}")
