"""`driftline baseline`: make, list, show and activate the references that windows are compared with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.commands.acting import acting_user
from monitor.commands.opening import opened_model
from monitor.commands.options import config_option, role_options
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.jobs.baselines import NewBaseline
    from monitor.window.frames import ColumnRoles


@click.group("baseline")
def command() -> None:
    """Make and choose the references that windows are compared with; they are numbered and never change."""


@command.command("create")
@click.argument("model")
@config_option
@click.option(
    "--data", metavar="URI", help="Training rows: Parquet, CSV, JSON Lines or TFRecord; file, folder or glob."
)
@click.option("--from-windows", is_flag=True, help="Take what the model served: this is the new normal.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="With --from-windows, in UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="With --from-windows, in UTC.")
@click.option("--model-version", metavar="VERSION", help="With --from-windows; the newest served by default.")
@click.option("--schema", metavar="FILE", help="TFMD schema (schema.pbtxt), which the rows then follow.")
@click.option("--activate/--no-activate", default=True, help="Use it from now on.", show_default=True)
@role_options
def create(
    *,
    model: str,
    config: Path,
    data: str | None,
    from_windows: bool,
    since: datetime | None,
    until: datetime | None,
    model_version: str | None,
    schema: str | None,
    activate: bool,
    roles: ColumnRoles,
) -> None:
    """Make a baseline of MODEL.

    \b
    Examples:
      driftline baseline create flights --data train.parquet --timestamp-column time --label-column late
      driftline baseline create flights --data 'gs://bucket/Split-train/*' --schema schema.pbtxt
      driftline baseline create flights --from-windows --since 2013-07-01 --until 2013-08-01
    """
    from monitor.clock import SystemClock
    from monitor.commands.comparing import quieten_tensorflow
    from monitor.jobs.baselines import baseline_from_files, baseline_from_windows
    from monitor.jobs.checking import ReferenceFiles, read_schema
    from monitor.store.span_storage import open_storage

    if (data is None) is not from_windows:
        raise click.UsageError("give either --data or --from-windows")
    quieten_tensorflow()
    settings, options, ledger = opened_model(config, model)
    if data is not None:
        made = baseline_from_files(ReferenceFiles(data, roles, schema), options)
    else:
        made = baseline_from_windows(
            model,
            ledger,
            open_storage(settings.spans.uri),
            options,
            version=model_version,
            since=since.replace(tzinfo=UTC) if since else None,
            until=until.replace(tzinfo=UTC) if until else None,
            schema=None if schema is None else read_schema(schema),
        )
    number = ledger.baselines.add(
        model,
        made.baseline.to_document(),
        made.baseline.column_types,
        made.provenance,
        rows=made.baseline.rows,
        actor=acting_user(),
        activate=activate,
        now=SystemClock().now(),
    )
    state = "active" if ledger.baselines.active_number(model) == number else "not active"
    click.echo(f"baseline {number} of {model}: {_summary(made)}; {state}")


@command.command("list")
@click.argument("model")
@config_option
def list_(*, model: str, config: Path) -> None:
    """List the baselines of MODEL; a star marks the active one."""
    from monitor.clock import rfc3339

    _, _, ledger = opened_model(config, model)
    rows = ledger.baselines.all_of(model)
    if not rows:
        click.echo(f"{model} has no baseline yet; make one: driftline baseline create {model} --data URI")
    for row in rows:
        mark = "*" if row.active else " "
        source = row.provenance.get("source", "")
        click.echo(
            f"{mark} {row.number:>3}  {rfc3339(row.created_at):<28} {row.rows:>9} rows  {row.created_by}  {source}"
        )


@command.command("show")
@click.argument("model")
@click.argument("number", type=int, required=False)
@config_option
def show(*, model: str, number: int | None, config: Path) -> None:
    """Show a baseline of MODEL as JSON: provenance, column types, rows and slices; the active one without NUMBER."""
    _, _, ledger = opened_model(config, model)
    number = number if number is not None else ledger.baselines.active_number(model)
    if number is None:
        raise InputError(f"{model} has no baseline yet; make one: driftline baseline create {model} --data URI")
    document = ledger.baselines.document(model, number)
    row = next(row for row in ledger.baselines.all_of(model) if row.number == number)
    shown: dict[str, Any] = {
        "model": model,
        "number": number,
        "active": row.active,
        "created_at": row.created_at.isoformat(),
        "created_by": row.created_by,
        "provenance": dict(row.provenance),
        "schema_inferred": document["schema_inferred"],
        "column_types": document["column_types"],
        "rows": document["rows"],
        "n_effective": document["n_effective"],
        "prediction": document["prediction"],
        "label": document["label"],
        "slices": _slices(document.get("slices")),
    }
    click.echo(json.dumps(shown, indent=2))


@command.command("activate")
@click.argument("model")
@click.argument("number", type=int)
@config_option
def activate_(*, model: str, number: int, config: Path) -> None:
    """Judge the windows of MODEL against baseline NUMBER from now on."""
    from monitor.clock import SystemClock

    _, _, ledger = opened_model(config, model)
    ledger.baselines.activate(model, number, acting_user(), SystemClock().now())
    click.echo(f"baseline {number} of {model} is active")


def _summary(made: NewBaseline) -> str:
    baseline = made.baseline
    schema = "inferred" if baseline.schema_inferred else "given"
    return f"{baseline.rows} rows, {len(baseline.features)} features, schema {schema}{_kept(made)}"


def _kept(made: NewBaseline) -> str:
    """Say how many slices are kept, and how many are not."""
    slices = made.baseline.slices
    if not slices.specs:
        return ""
    left = [f"{slices.small} have too few rows"] if slices.small else []
    left += [f"{slices.cut} are beyond the largest"] if slices.cut else []
    return f", {len(slices.kept)} slices" + (f" ({', '.join(left)})" if left else "")


def _slices(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what is shown of a baseline's slices; None where it was made before there were any."""
    if document is None:
        return None
    kept = [{"slice": each["slice"], "rows": each["rows"]} for each in document["kept"]]
    return {"by": document["specs"], "kept": kept, "too_small": document["small"], "cut": document["cut"]}
