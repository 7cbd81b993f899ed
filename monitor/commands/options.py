"""Options that several commands share; changes when one of them does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from monitor.config.detection import DetectionSettings

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("driftline.yaml"),
    show_default=True,
    envvar="DRIFTLINE_CONFIG",
    help="Settings file.",
)
log_option = click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to log."
)
last_option = click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N windows.")
lines_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "jsonl"]),
    default="table",
    show_default=True,
    help="A table, or a JSON object a line.",
)
document_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table, or one JSON document.",
)
by_option = click.option("--by", "actor", metavar="NAME", help="Who says so; your user name without it.")
detection_option = click.option(
    "--detection",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="YAML with what `detection` of a model's settings may say: thresholds, rules, joint drift.",
)
_ROLE_OPTIONS = (
    click.option("--timestamp-column", metavar="NAME", help="Column with the event time; never a feature."),
    click.option("--label-column", metavar="NAME", help="Column with the label; never compared."),
    click.option("--prediction-column", metavar="NAME", help="Column with the model's output."),
    click.option("--id-column", metavar="NAME", help="Column with the request id; rows of one id are one cluster."),
    click.option("--weight-column", metavar="NAME", help="Column with the weight of each row."),
    click.option("--ignore", metavar="COLUMN,...", default="", help="Columns to leave out."),
)


def detection_settings(file: Path | None) -> DetectionSettings:
    """Return the settings of a file, the defaults without one; raises ConfigError for a file that is wrong."""
    from monitor.config.detection import DetectionSettings
    from monitor.config.loading import load_detection

    return DetectionSettings() if file is None else load_detection(file)


def role_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which columns are not plain features; the command gets them as `roles: ColumnRoles`."""

    @functools.wraps(function)
    def wrapped(*args: Any, ignore: str, **options: Any) -> Any:
        from monitor.window.frames import ColumnRoles

        named = {role: options.pop(f"{role}_column") for role in ("timestamp", "label", "prediction", "id", "weight")}
        ignored = tuple(name.strip() for name in ignore.split(",") if name.strip())
        return function(*args, roles=ColumnRoles(ignore=ignored, **named), **options)

    for option in reversed(_ROLE_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
