"""`driftline attribute`: computes attributions with a SavedModel. Changes with its options."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.comparing import quieten_tensorflow


@click.command("attribute")
@click.option("--model", required=True, metavar="DIR", help="SavedModel; its code runs, so it must be one you trust.")
@click.option("--data", required=True, metavar="FILES", help="Rows to explain.")
@click.option(
    "--background",
    required=True,
    metavar="FILES",
    help="Training rows, whose values take the place of those that are explained; the same for all data you compare.",
)
@click.option(
    "--features", default="", metavar="COLUMN,...", help="Columns to attribute to; all that both have by default."
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=1_000, show_default=True, help="Rows to take, evenly spaced."
)
@click.option("--signature", default="serving_default", show_default=True, help="Signature of the model to ask.")
@click.option("--model-output", metavar="NAME", help="Output that is the prediction, where the signature has several.")
@click.option(
    "--output", required=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Parquet file."
)
def command(
    *,
    model: str,
    data: str,
    background: str,
    features: str,
    rows: int,
    signature: str,
    model_output: str | None,
    output: Path,
) -> None:
    """Add to rows what each feature contributed to their predictions, as columns `attribution.NAME`.

    Do so for training rows and for served ones, and `check` and `backtest` tell whether the model still goes by the same
    features.

    \b
    Examples:
      driftline attribute --model models/3 --data train.parquet --background train.parquet --output train-attributed.parquet
      driftline attribute --model models/3 --data today.parquet --background train.parquet --output today-attributed.parquet
      driftline check --reference train-attributed.parquet --current today-attributed.parquet

    Exit codes: 0 done, 2 bad input or usage.
    """
    quieten_tensorflow()
    import pyarrow.parquet as pq
    from rich.console import Console

    from monitor.errors import InputError
    from monitor.jobs.attributing import Attributing, attributed
    from monitor.profile.explaining import saved_model_predict

    named = tuple(name.strip() for name in features.split(",") if name.strip())
    with Console(stderr=True).status("Asking the model; TensorFlow takes some seconds to start"):
        found = attributed(
            saved_model_predict(model, signature, model_output), Attributing(data, background, named, rows)
        )
    partial = output.with_name(f".{output.name}.partial")
    try:
        pq.write_table(found, partial)
        partial.replace(output)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    click.echo(
        f"{output}: {found.num_rows:,} rows with the attributions of {len(named) or 'all shared'} features", err=True
    )
