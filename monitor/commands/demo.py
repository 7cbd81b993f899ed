"""`driftline demo`. Changes with its options."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import click

_ADDRESS = re.compile(r".+:[0-9]{1,5}")


def _addresses(_context: click.Context, _parameter: click.Parameter, text: str) -> Sequence[str]:
    servers = [server.strip() for server in text.split(",") if server.strip()]
    for server in servers:
        if not _ADDRESS.fullmatch(server):
            raise click.BadParameter(f"{server!r} is not HOST:PORT")
    return servers


@click.command("demo")
@click.option("--fast", is_flag=True, help="Replay three weeks instead of seven months.")
@click.option(
    "--bootstrap-servers",
    metavar="HOST:PORT,...",
    default="",
    callback=_addresses,
    help="Use this Kafka, with topics of fresh names, instead of the embedded broker.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("driftline-demo"),
    show_default=True,
    help="Folder for all files; those of an earlier demo are replaced.",
)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
def command(*, fast: bool, bootstrap_servers: Sequence[str], directory: Path, keep: bool) -> None:
    """Catch real drift in real flights.

    Trains a model on the winter of 2013, serves it as TensorFlow Serving would, asks it over HTTP about the flights of spring
    and summer, through `driftline proxy` and Kafka, and shows what Driftline finds, and how it was found.
    """
    # Heavy imports stay inside, for the sake of `driftline --help`.
    from rich.console import Console

    from monitor.clock import SystemClock
    from monitor.demo import display, story
    from monitor.errors import InvariantBroken

    console = Console()
    # On a busy machine kafka-python warns of its own slow steps, in the middle of the bars; errors are raised anyway.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    options = story.Options(directory, story.FAST if fast else story.FULL, bootstrap_servers, keep)
    try:
        outcome = story.tell(options, console, SystemClock(), lambda outcome: display.show(outcome, console))
    except KeyboardInterrupt:
        console.print("Stopped; nothing that the demo started is running any more.")
        raise click.exceptions.Exit(130) from None
    if not display.identities_hold(outcome):
        raise InvariantBroken("the counts in the store do not add up to the messages that were sent")
