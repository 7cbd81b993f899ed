"""`driftline evaluate`: a model's predictions against labels, by TFMA's EvalConfig. Changes with its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from monitor.commands.comparing import quieten_tensorflow
from monitor.commands.options import role_options

if TYPE_CHECKING:
    from monitor.window.frames import ColumnRoles

_EXITS = {"ok": 0, "flagged": 3, "insufficient_evidence": 4}
_WIDTH = 120
"""Columns of a report that goes to no terminal."""


@click.command("evaluate")
@click.option(
    "--data", required=True, metavar="FILES", help="Rows with predictions and labels, and columns to slice by."
)
@click.option("--eval-config", required=True, metavar="FILE", help="TFMA's EvalConfig: text proto, YAML or JSON.")
@click.option("--baseline-data", metavar="FILES", help="Rows of the baseline model, where they are others.")
@click.option("--output", required=True, metavar="DIR", help="Folder for the result, in files that TFMA reads.")
@role_options
@click.option(
    "--min-labels",
    type=click.IntRange(min=0),
    metavar="N",
    default=100,
    show_default=True,
    help="Labelled examples that it takes to judge, in all and in each slice with a threshold of its own.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Report to print.",
)
def command(
    *,
    data: str,
    eval_config: str,
    baseline_data: str | None,
    output: str,
    roles: ColumnRoles,
    min_labels: int,
    format_: str,
) -> None:
    """Evaluate predictions against labels, and judge the thresholds of an EvalConfig.

    FILES is a file, folder or quoted glob of Parquet, CSV, JSON Lines or TFRecord of tf.Example, local or any fsspec URI. DIR
    gets TFMA's own result files (tfma.load_eval_result and tfma.load_validation_result read them) and driftline.json, the
    blessing with its reasons. Columns that the EvalConfig does not name are those of the options, else `label` and
    `prediction`. Rows without a label are left out.

    \b
    Examples:
      driftline evaluate --data window.parquet --eval-config eval_config.pbtxt --output result/
      driftline evaluate --data new.parquet --baseline-data old.parquet --id-column request_id \\
        --eval-config eval_config.yaml --output result/
      driftline evaluate --data d.csv --label-column y --prediction-column score --eval-config e.pbtxt \\
        --output result/ --format json | jq .blessing

    Exit codes: 0 blessed or rubber-stamped, 3 not blessed, 4 too few labels, 2 bad input or usage.
    """
    quieten_tensorflow()
    # Heavy imports stay inside, for the sake of `driftline --help`.
    from rich.console import Console

    from monitor.jobs.evaluating_files import evaluate_files
    from monitor.jobs.evaluation_rows import EvaluationFiles
    from monitor.report.evaluation_documents import json_text, with_metrics
    from monitor.report.evaluation_table import Shown, print_evaluation

    files = EvaluationFiles(data, eval_config, output, baseline_data, roles, min_labels)
    with Console(stderr=True).status("Evaluating; TensorFlow takes some seconds to start"):
        found = evaluate_files(files)
    if format_ == "json":
        click.echo(json_text(with_metrics(found.document, found.evaluation)), nl=False)
    else:
        console = Console(highlight=False)
        console = console if console.is_terminal else Console(highlight=False, width=_WIDTH)
        print_evaluation(
            console,
            Shown(found.evaluation, found.judgement, found.data, found.baseline_data, found.baseline, output),
        )
    raise click.exceptions.Exit(_EXITS[str(found.judgement.verdict)])
