"""`driftline skew`: served rows against the training rows of the same keys. Changes with its options."""

from __future__ import annotations

import click

from monitor.commands.comparing import STDOUT, opened

_EXITS = {"match": 0, "mismatch": 3, "nothing_joined": 4}
_WIDTH = 120
"""Columns of a report that goes to no terminal."""


@click.command("skew")
@click.option("--served", required=True, metavar="FILES", help="Rows that were served, with their keys.")
@click.option("--training", required=True, metavar="FILES", help="Rows that training used, with the same keys.")
@click.option("--key", required=True, metavar="COLUMN,...", help="Columns that together identify a row on both sides.")
@click.option("--ignore", metavar="COLUMN,...", default="", help="Columns to leave out.")
@click.option(
    "--float-digits",
    type=click.IntRange(min=0, max=40),
    metavar="N",
    help="Round floats to N decimals before they are compared; they are compared in 32 bits, as tf.Examples have them.",
)
@click.option(
    "--allow-duplicate-keys", is_flag=True, help="Compare all rows of a key with each other, instead of none."
)
@click.option(
    "--confusion", metavar="COLUMN,...", default="", help="Count which values of these text columns stand for which."
)
@click.option(
    "--examples",
    type=click.IntRange(min=0, max=1000),
    metavar="N",
    default=1,
    show_default=True,
    help="Differing pairs to show of each feature.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Report to write.",
)
@click.option("--output", metavar="FILE", default=STDOUT, help="Write the report here instead of standard output.")
def command(
    *,
    served: str,
    training: str,
    key: str,
    ignore: str,
    float_digits: int | None,
    allow_duplicate_keys: bool,
    confusion: str,
    examples: int,
    format_: str,
    output: str,
) -> None:
    """Compare served features, row by row, with those that training used for the same keys.

    FILES is a file, folder or quoted glob of Parquet, CSV, JSON Lines or TFRecord of tf.Example, local or any fsspec URI; the two
    sides may differ in format. Counts are those of TFDV's feature skew detector. Where one transformation (a unit, an offset,
    lost digits, a default, ...) explains nearly all differences of a feature, it is named.

    \b
    Examples:
      driftline skew --training transformed/ --served served.parquet --key request_id
      driftline skew --training train.csv --served 'logs/*.jsonl' --key user,day --ignore model --float-digits 4
      driftline skew --training t.csv --served s.csv --key id --format json | jq '.features[].explanations[].explanation'

    Exit codes: 0 no mismatch, 3 mismatches, 4 no rows could be joined, 2 bad input or usage.
    """
    # Heavy imports stay inside, for the sake of `driftline --help`.
    from rich.console import Console

    from monitor.compare.row_skew.comparison import SkewOptions
    from monitor.jobs.row_skew import compare_files
    from monitor.report.skew_table import print_skew, skew_json

    options = SkewOptions(float_digits, allow_duplicate_keys, examples, _names(confusion))
    with Console(stderr=True).status("Comparing rows"):
        skew = compare_files(training, served, keys=_names(key), ignore=_names(ignore), options=options)
    with opened(output) as stream:
        if format_ == "json":
            stream.write(skew_json(skew, training, served))
        else:
            console = Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH)
            print_skew(console, skew, training, served)
    raise click.exceptions.Exit(_EXITS[str(skew.verdict)])


def _names(listed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
