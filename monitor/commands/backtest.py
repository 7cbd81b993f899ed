"""`driftline backtest`: recorded traffic, judged window by window. Changes with its options."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.comparing import opened, quieten_tensorflow
from monitor.commands.options import detection_option, detection_settings, role_options
from monitor.commands.slicing import slice_option
from monitor.commands.times import Duration

if TYPE_CHECKING:
    from monitor.window.frames import ColumnRoles


@click.command("backtest")
@click.option("--reference", required=True, metavar="FILES", help="Rows that the model was trained on.")
@click.option("--traffic", required=True, metavar="FILES", help="Recorded rows, with their times.")
@click.option(
    "--window", required=True, type=Duration("a window"), metavar="LENGTH", help="Length of a window: 15m, 1h, 1d."
)
@click.option("--schema", metavar="FILE", help="TFMD schema (schema.pbtxt); inferred from the reference without it.")
@role_options
@slice_option
@detection_option
@click.option(
    "--max-rows-per-window",
    type=click.IntRange(min=100),
    metavar="N",
    help="Judge a sample by id of at most N rows a window.",
)
@click.option(
    "--output",
    required=True,
    metavar="FILE",
    help="Findings, a JSON object a line, by window and slice; - for standard output.",
)
def command(
    *,
    reference: str,
    traffic: str,
    window: timedelta,
    schema: str | None,
    roles: ColumnRoles,
    slices: tuple[tuple[str, ...], ...],
    detection: Path | None,
    max_rows_per_window: int | None,
    output: str,
) -> None:
    """Show what Driftline would have said of recorded traffic, window by window.

    Windows are aligned to the epoch in UTC, and those without rows are left out. Needs --timestamp-column. FILES is a file,
    folder or quoted glob of Parquet, CSV, JSON Lines or TFRecord of tf.Example, local or any fsspec URI.

    Exit codes: 0 done, whatever was found; 2 bad input or usage.
    """
    if roles.timestamp is None:
        raise click.UsageError("Missing option '--timestamp-column': it tells the windows apart")
    quieten_tensorflow()
    # Heavy imports stay inside, for the sake of `driftline --help`.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from monitor.compare.family import as_one
    from monitor.jobs import backtest as job
    from monitor.jobs.checking import ReferenceFiles
    from monitor.report.digest import Tally
    from monitor.report.documents import json_line
    from monitor.report.terminal import print_backtest

    # The findings may go to standard output, so people are told everything else on standard error.
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
    )
    settings = detection_settings(detection)
    tally = Tally()
    with (
        opened(output) as stream,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("Reading the reference", total=None)

        def progress(read: int, rows: int) -> None:
            bar.update(task, description="Replaying", completed=read, total=rows)

        for found in job.backtest(
            ReferenceFiles(reference, roles, schema),
            job.Traffic(traffic, roles, window, max_rows_per_window),
            settings,
            progress,
            slices,
        ):
            stream.writelines(json_line(each) for each in found)
            tally.add(as_one(found))
    print_backtest(console, tally)
