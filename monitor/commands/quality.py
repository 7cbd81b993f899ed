"""`driftline quality`: what labels say of a model's windows, and what was estimated before they came."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.opening import opened_model
from monitor.commands.options import config_option, last_option, lines_option


@click.command("quality")
@click.argument("model")
@config_option
@last_option
@click.option("--lost", is_flag=True, help="Only windows in which quality was lost.")
@lines_option
def command(*, model: str, config: Path, last: int | None, lost: bool, format_: str) -> None:
    """Show the quality of MODEL, window by window, oldest first: measured from labels, and estimated from scores before.

    \b
    Examples:
      driftline quality flights --last 14
      driftline quality flights --lost --format jsonl | jq .evaluation.reasons
    """
    import orjson
    from rich.console import Console

    from monitor.jobs.quality_windows import quality_windows
    from monitor.report.quality_table import print_quality

    _, settings, ledger = opened_model(config, model)
    windows = [each for each in quality_windows(ledger, model) if not lost or each.lost()]
    windows = windows[-last:] if last else windows
    if format_ == "jsonl":
        for each in windows:
            click.echo(orjson.dumps(each.to_json()).decode())
    elif windows:
        print_quality(Console(), windows)
    elif settings.evaluation is None:
        click.echo(f"the quality of {model} is not measured; see `evaluation` in docs/configuration.md")
    else:
        click.echo(f"quality was lost in no window of {model}" if lost else f"no window of {model} was evaluated yet")
