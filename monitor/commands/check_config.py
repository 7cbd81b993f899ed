"""`driftline check-config`: is a settings file right?"""

from __future__ import annotations

from pathlib import Path

import click


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path("driftline.yaml"))
def command(*, file: Path) -> None:
    """Check a settings file: exit 0 when it is right, 2 with one line for each thing that is wrong.

    \b
    Examples:
      driftline check-config
      driftline check-config /etc/driftline.yaml
    """
    from monitor.config.loading import load_settings

    settings = load_settings(file)
    names = ", ".join(sorted(settings.models))
    click.echo(f"{file}: right; {len(settings.models)} model(s): {names}")
