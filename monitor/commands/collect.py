"""`driftline collect`: that role alone."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.options import config_option, log_option


@click.command("collect")
@config_option
@log_option
def command(*, config: Path, log_format: str) -> None:
    """Read Kafka or files, sample, and commit spans.

    Any number of collectors may run; they share the topics' partitions as one consumer group, and every record is counted once.

    \b
    Example:
      driftline collect --config driftline.yaml
    """
    from monitor.commands.run import run_roles

    run_roles(config, ["collect"], log_format)
