"""`driftline findings`: what the monitor found."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.opening import opened_model
from monitor.commands.options import config_option, last_option, lines_option


@click.command("findings")
@click.argument("model")
@config_option
@last_option
@click.option("--flagged", is_flag=True, help="Only flagged windows and slices.")
@lines_option
def command(*, model: str, config: Path, last: int | None, flagged: bool, format_: str) -> None:
    """Show the judged windows of MODEL, oldest first, each in its newest revision.

    \b
    Examples:
      driftline findings flights --last 24
      driftline findings flights --flagged --format jsonl | jq .findings[0].explanation
    """
    import orjson
    from rich.console import Console

    from monitor.report.terminal import print_windows

    _, _, ledger = opened_model(config, model)
    documents = [each for each in ledger.findings(model) if not flagged or each["verdict"] == "flagged"]
    windows = list(dict.fromkeys((each["window_start"], each["version"]) for each in documents))
    wanted = set(windows[-last:] if last else windows)
    documents = [each for each in documents if (each["window_start"], each["version"]) in wanted]
    if format_ == "jsonl":
        for document in documents:
            click.echo(orjson.dumps(document).decode())
    elif documents:
        print_windows(Console(), documents)
    else:
        click.echo(f"no window of {model} has been judged yet" if not flagged else f"no window of {model} is flagged")
