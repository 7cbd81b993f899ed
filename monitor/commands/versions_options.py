"""The options of `driftline versions`; changes with what can be asked of two versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from monitor.commands.comparing import STDOUT
from monitor.commands.options import config_option
from monitor.commands.slicing import slice_option
from monitor.commands.times import Duration, Moment

_OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--stable", metavar="FILES", help="Rows that the stable version answered."),
    click.option("--candidate", metavar="FILES", help="Rows that the candidate answered."),
    click.option("--data", metavar="FILES", help="Rows of both versions, told apart by one of the following."),
    click.option(
        "--model", metavar="MODEL", help="Model of the settings, whose judged windows and labels are compared."
    ),
    config_option,
    click.option("--since", type=Moment(), metavar="TIME", help="With --model: only windows that start then or later."),
    click.option("--until", type=Moment(), metavar="TIME", help="With --model: only windows that end by then."),
    click.option("--version-column", metavar="NAME", help="Column with the version that answered a row."),
    click.option("--stable-version", metavar="VERSION", help="The stable version: its value there, or in the records."),
    click.option("--candidate-version", metavar="VERSION", help="The candidate, likewise."),
    click.option("--stable-prediction", metavar="NAME", help="Column with the stable version's prediction of a row."),
    click.option(
        "--candidate-prediction", metavar="NAME", help="Column with the candidate's prediction of the same row."
    ),
    click.option(
        "--stable-model",
        metavar="MODEL",
        help="SavedModel (a folder) or TF Lite model (a file) to ask; it is run, so it must be one you trust.",
    ),
    click.option("--candidate-model", metavar="MODEL", help="The candidate, likewise."),
    click.option("--signature", metavar="NAME", help="Signature of the models to ask; serving_default by default."),
    click.option("--model-output", metavar="NAME", help="Output that is the prediction, where there are several."),
    click.option("--paired", is_flag=True, help="Both versions answered the same requests; join them by id."),
    click.option("--label-column", metavar="NAME", help="Column with the label."),
    click.option(
        "--prediction-column", metavar="NAME", help="Column with the prediction of the version that answered."
    ),
    click.option("--id-column", metavar="NAME", help="Column with the request id; rows of one id count as one."),
    click.option("--instance-column", metavar="NAME", help="Column that tells rows of one id apart, to join them."),
    click.option("--weight-column", metavar="NAME", help="Column with the weight of each row."),
    click.option(
        "--timestamp-column", metavar="NAME", help="Column with the time; versions are compared within hours."
    ),
    click.option(
        "--every",
        type=Duration("an hour"),
        default="1h",
        show_default=True,
        metavar="LENGTH",
        help="Length of an hour.",
    ),
    click.option(
        "--problem",
        type=click.Choice(["binary", "multiclass", "classes", "regression"]),
        help="What is predicted: a probability, scores of classes, the name of a class, or a number. Told from the data "
        "by default.",
    ),
    click.option(
        "--metric",
        "metrics",
        multiple=True,
        metavar="NAME",
        help="Metric that decides; may be given several times. log_loss, error or absolute_error by default, with the "
        "others beside it: brier, squared_error, auc, precision, recall, f1, rmse; and unanswered, the share without a "
        "prediction.",
    ),
    click.option(
        "--threshold", type=float, default=0.5, show_default=True, help="Probability above which 1 is decided."
    ),
    click.option(
        "--margin", type=click.FloatRange(min=0, min_open=True), help="Largest difference that does not matter."
    ),
    click.option(
        "--alpha",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.05,
        show_default=True,
        help="Probability of a false alarm over all looks.",
    ),
    click.option(
        "--expected-requests",
        type=click.IntRange(min=1),
        default=1_000,
        show_default=True,
        metavar="N",
        help="Requests of the candidate at which intervals are narrowest.",
    ),
    click.option(
        "--looks",
        type=click.IntRange(min=1),
        metavar="N",
        help="How often you will look in all. auc, precision, recall, f1 and rmse can decide only if that is fixed.",
    ),
    click.option(
        "--tolerance", type=click.FloatRange(min=0), metavar="X", help="Largest difference of paired predictions."
    ),
    click.option(
        "--examples",
        type=click.IntRange(min=0, max=1000),
        default=5,
        show_default=True,
        metavar="N",
        help="Largest differences to show.",
    ),
    slice_option,
    click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Report to write.",
    ),
    click.option("--output", metavar="FILE", default=STDOUT, help="Write the report here instead of standard output."),
)


def versions_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options of the command to it."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
