"""`driftline monitor`: that role alone."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.options import config_option, log_option


@click.command("monitor")
@config_option
@log_option
def command(*, config: Path, log_format: str) -> None:
    """Close windows, profile and judge them.

    Any number of monitors may run; each model is looked after by one of them at a time.

    \b
    Example:
      driftline monitor --config driftline.yaml
    """
    from monitor.commands.run import run_roles

    run_roles(config, ["monitor"], log_format)
