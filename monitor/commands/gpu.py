"""`driftline gpu`: how do some GPUs do?"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.commands.options import config_option

if TYPE_CHECKING:
    from monitor.act.steps import Found

_NOT_HEALTHY_EXIT = 3
_UNKNOWN_EXIT = 4


@click.command("gpu")
@click.argument("name")
@config_option
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["training", "serving"]),
    default="training",
    show_default=True,
    help="Is there room to train, or do those that serve do well?",
)
@click.option(
    "--again-after",
    metavar="DURATION",
    help="Look twice, so far apart, as 30s: counters and errors show what is new only from the second look on.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table, or one JSON object.",
)
def command(*, name: str, config: Path, purpose: str, again_after: str | None, format_: str) -> int:
    """Look at the GPUs that the settings call NAME: exit 0 healthy, 3 busy, suspect or failed, 4 unknown.

    \b
    Examples:
      driftline gpu training
      driftline gpu serving --for serving --again-after 15s
      driftline gpu training --format json | jq .verdict
    """
    import orjson
    from rich.console import Console

    from monitor.act.steps import Headroom
    from monitor.clock import SystemClock
    from monitor.config.loading import load_settings
    from monitor.errors import InputError
    from monitor.outside.gpu.watched import gpus_of
    from monitor.outside.http import HttpClient

    settings = load_settings(config)
    if name not in settings.gpus:
        known = ", ".join(sorted(settings.gpus)) or "none"
        raise InputError(f"{config} has no `gpus` called {name!r}; it has: {known}")
    clock = SystemClock()
    gpus = gpus_of(settings.gpus[name], HttpClient(clock), clock)
    ask = gpus.headroom if purpose == "training" else gpus.serving
    found = ask()
    if again_after is not None:
        threading.Event().wait(_seconds(again_after))
        found = ask()
    if format_ == "json":
        click.echo(orjson.dumps({"verdict": found.verdict, "reason": found.reason, **found.details}).decode())
    else:
        _print(Console(), found)
    if found.verdict == Headroom.HEALTHY:
        return 0
    return _UNKNOWN_EXIT if found.verdict == Headroom.UNKNOWN else _NOT_HEALTHY_EXIT


def _seconds(text: str) -> float:
    from monitor.config.durations import parse_duration

    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--again-after") from error


def _print(console: Any, found: Found) -> None:
    from rich.markup import escape

    from monitor.report.listing import listing

    if found.details["gpus"]:
        table = listing(
            "GPU", "verdict", "used", "free memory", "temperature", "why", whole=("GPU", "verdict", "free memory")
        )
        for each in found.details["gpus"]:
            table.add_row(*(escape(cell) for cell in _row(each)))
        console.print(table)
    state = found.details.get("state", found.verdict)
    head = found.verdict if state == found.verdict else f"{found.verdict} ({state})"
    console.print(f"{head}: {found.reason}", markup=False, soft_wrap=True)


def _row(gpu: dict[str, Any]) -> list[str]:
    where = [
        gpu.get("hostname", ""),
        gpu.get("index", gpu.get("uuid", "")),
        gpu.get("instance", gpu.get("profile", "")),
    ]
    used, free, total = gpu.get("utilisation_ratio"), gpu.get("memory_free_bytes"), gpu.get("memory_total_bytes")
    memory = "" if free is None else f"{free / 2**30:.1f}" + (f" of {total / 2**30:.1f} GiB" if total else " GiB")
    temperature = gpu.get("temperature_celsius")
    return [
        "/".join(part for part in where if part),
        gpu["verdict"],
        "" if used is None else f"{used:.0%}",
        memory,
        "" if temperature is None else f"{temperature:g} °C",
        "; ".join([*gpu.get("reasons", []), *(f"({note})" for note in gpu.get("notes", []))]),
    ]
