"""`driftline run`: all roles in one process."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.options import config_option, log_option


@click.command("run")
@config_option
@log_option
def command(*, config: Path, log_format: str) -> None:
    """Collect, monitor and serve the API in one process.

    SIGTERM or Ctrl-C drains: what was read is committed, a window that is being judged is finished. SIGHUP reads the settings
    again, and keeps the old ones when the new file is bad.

    \b
    Examples:
      driftline run
      driftline run --config /etc/driftline.yaml --log-format json
    """
    run_roles(config, ["collect", "monitor", "api"], log_format)


def run_roles(config: Path, roles: list[str], log_format: str) -> None:
    """Run roles in this process until a signal; raises ConfigError and whatever ends a role."""
    from monitor.app import App
    from monitor.commands.comparing import quieten_tensorflow
    from monitor.logs import configure_logs

    configure_logs(as_json=log_format == "json")
    quieten_tensorflow()
    App(config, roles).run()
