"""`driftline check`: one comparison of files. Changes with its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.comparing import STDOUT, opened, quieten_tensorflow
from monitor.commands.options import detection_option, detection_settings, role_options
from monitor.commands.slicing import slice_option

if TYPE_CHECKING:
    from monitor.jobs.checking import Comparison
    from monitor.window.frames import ColumnRoles

_EXITS = {"ok": 0, "flagged": 3, "insufficient_evidence": 4}
_WIDTH = 120
"""Columns of a report that goes to no terminal."""


@click.command("check")
@click.option("--reference", required=True, metavar="FILES", help="Rows that the model was trained on.")
@click.option("--current", required=True, metavar="FILES", help="Rows to compare with them.")
@click.option("--schema", metavar="FILE", help="TFMD schema (schema.pbtxt); inferred from the reference without it.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "html"]),
    default="table",
    show_default=True,
    help="Report to write.",
)
@click.option(
    "--explain",
    "feature",
    metavar="FEATURE",
    help="Instead of a report, show how the verdict on one feature came about: cells, formulas, null distributions.",
)
@role_options
@slice_option
@detection_option
@click.option("--output", metavar="FILE", default=STDOUT, help="Write the report here instead of standard output.")
def command(
    *,
    reference: str,
    current: str,
    schema: str | None,
    format_: str,
    feature: str | None,
    roles: ColumnRoles,
    slices: tuple[tuple[str, ...], ...],
    detection: Path | None,
    output: str,
) -> None:
    """Compare current rows with those of a reference.

    FILES is a file, folder or quoted glob of Parquet, CSV, JSON Lines or TFRecord of tf.Example, local or any fsspec URI.

    Exit codes: 0 ok, 3 flagged, 4 insufficient evidence, 2 bad input or usage.
    """
    quieten_tensorflow()
    # Heavy imports stay inside, for the sake of `driftline --help`.
    from rich.console import Console

    from monitor.jobs.checking import ReferenceFiles, check

    settings = detection_settings(detection)
    with Console(stderr=True).status("Comparing; TensorFlow takes some seconds to start"):
        comparison = check(ReferenceFiles(reference, roles, schema), current, settings, slices)
    if feature is None:
        _write(comparison, format_, reference, current, output)
    else:
        _explain(comparison, feature, settings.false_alarm_rate, output)
    raise click.exceptions.Exit(_EXITS[str(comparison.verdict)])


def _write(comparison: Comparison, format_: str, reference: str, current: str, output: str) -> None:
    from rich.console import Console

    from monitor.report.digest import flagged_features
    from monitor.report.distributions import distributions
    from monitor.report.documents import json_list
    from monitor.report.html import render_check
    from monitor.report.terminal import print_check

    findings, rows = comparison.findings, comparison.baseline.rows
    with opened(output) as stream:
        match format_:
            case "json":
                stream.write(json_list(findings))
            case "html":
                charts = distributions(comparison.baseline, comparison.profile, flagged_features(findings[0].findings))
                stream.write(render_check(findings, charts, reference=reference, reference_rows=rows, current=current))
            case _:
                console = Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH)
                print_check(console, findings, reference, rows, current)


def _explain(comparison: Comparison, feature: str, budget: float, output: str) -> None:
    from rich.console import Console

    from monitor.compare.explanation import explained
    from monitor.report.explained import print_explained

    found = explained(comparison.plan, feature)
    if not found:
        known = sorted({pair.feature for pair, _ in comparison.plan.pairs})
        raise click.BadParameter(
            f"{feature!r} is not compared; compared are: {', '.join(known) or 'none'}", param_hint="--explain"
        )
    with opened(output) as stream:
        console = Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH)
        print_explained(console, found, budget)
