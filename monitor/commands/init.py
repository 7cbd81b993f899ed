"""`driftline init`: a commented settings file to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from monitor.errors import ConfigError


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
def command(*, directory: Path) -> None:
    """Write a commented driftline.yaml into DIRECTORY, which is made if need be; an existing file is left alone.

    \b
    Example:
      driftline init monitoring && cd monitoring && driftline check-config
    """
    target = directory / "driftline.yaml"
    text = files("monitor.config").joinpath("template.yaml").read_text(encoding="utf-8")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{target} exists already; remove it or name another folder") from None
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from error
    click.echo(f"wrote {target}; next: edit it, then: driftline check-config {target}")
