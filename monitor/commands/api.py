"""`driftline api`: that role alone."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.options import config_option, log_option


@click.command("api")
@config_option
@log_option
def command(*, config: Path, log_format: str) -> None:
    """Serve the HTTP API, approval pages and /metrics at `api.listen`.

    Any number may run, each at an address of its own; `driftline run` serves the API too. Make a token for callers with
    `driftline token create`.

    \b
    Example:
      driftline api --config driftline.yaml
    """
    from monitor.commands.run import run_roles

    run_roles(config, ["api"], log_format)
