"""`driftline versions`: two versions of a model side by side. Changes with where their answers can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from monitor.commands.comparing import opened, quieten_tensorflow
from monitor.commands.opening import opened_model
from monitor.commands.versions_options import versions_options

if TYPE_CHECKING:
    from monitor.evaluate.versions.asked import Asked
    from monitor.evaluate.versions.losses import Problem
    from monitor.evaluate.versions.result import Comparison
    from monitor.jobs.comparing_versions import Reading

_EXITS = {
    "better": 0,
    "equivalent": 0,
    "no_worse": 0,
    "within_tolerance": 0,
    "worse": 3,
    "beyond_tolerance": 3,
    "no_difference_yet": 4,
}
_WIDTH = 140
"""Columns of a report that goes to no terminal."""
_SOURCES = (
    ("stable", "candidate"),
    ("data", "version_column", "stable_version", "candidate_version"),
    ("data", "stable_prediction", "candidate_prediction"),
    ("data", "stable_model", "candidate_model"),
    ("model", "stable_version", "candidate_version"),
)
"""Options that go together: where the two versions' answers are."""


@click.command("versions")
@versions_options
def command(*, format_: str, output: str, **options: Any) -> None:
    """Compare a candidate version of a model with the stable one: is it better, worse, or the same?

    Different requests (a canary, A against B) are compared by the losses of their labelled rows, within hours. The interval at
    all looks may be looked at every hour, and the test stopped at any time, without more false alarms than --alpha. The same
    requests (--paired, two columns, or two models: a shadow, TF Lite or quantised against float) are compared row by row, too.

    FILES is a file, folder or quoted glob of Parquet, CSV, JSON Lines or TFRecord of tf.Example, local or any fsspec URI.

    With --model the answers are those of the windows that were judged, and the labels those that have come by now.

    \b
    Examples:
      driftline versions --model flights --stable-version 41 --candidate-version 42 --margin 0.01
      driftline versions --data labelled/ --version-column version --stable-version 41 --candidate-version 42 \\
        --label-column label --prediction-column score --id-column request_id --timestamp-column time --margin 0.01
      driftline versions --stable v1.parquet --candidate v2.parquet --paired --id-column request_id \\
        --prediction-column score --tolerance 0.001
      driftline versions --data rows.parquet --stable-model models/3 --candidate-model model.tflite --tolerance 1e-4

    Exit codes: 0 no worse, or within the tolerance; 3 worse, or beyond the tolerance; 4 not enough evidence; 2 bad input or
    usage; 5 the store or a disk did not answer.
    """
    source = _source(options)
    # Heavy imports stay inside, for the sake of `driftline --help`.
    from rich.console import Console

    from monitor.report.versions_table import print_versions, versions_json

    reading = _reading(options)
    with Console(stderr=True).status("Comparing versions"):
        comparison = _compared(source, options, reading)
    names = _names(source, options)
    with opened(output) as stream:
        if format_ == "json":
            stream.write(versions_json(comparison, *names))
        else:
            console = Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH)
            print_versions(console, comparison, *names)
    verdict = comparison.verdict
    raise click.exceptions.Exit(0 if verdict is None else _EXITS[str(verdict)])


def _source(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the group of options that says where the answers are."""
    given = {name for group in _SOURCES for name in group if options[name] is not None}
    source = next((group for group in _SOURCES if given == set(group)), None)
    if source is None:
        ways = "; or ".join(", ".join(f"--{name.replace('_', '-')}" for name in group) for group in _SOURCES)
        raise click.UsageError(f"Say where the two versions' answers are, in one way: {ways}")
    _check_served(options)
    unpaired = source in _SOURCES[:2] and not options["paired"]
    for name in ("tolerance", "slices"):
        if unpaired and options[name] not in (None, ()):
            raise click.UsageError(
                f"--{name.removesuffix('s')} needs answers of both versions to the same requests: --paired"
            )
    return source


def _check_served(options: Mapping[str, Any]) -> None:
    """Raise UsageError where options of served traffic and of files are mixed."""
    served = options["model"] is not None
    of_files = [name for name in options if name.endswith("_column")]
    misplaced = [*of_files, "paired", "tolerance", "slices"] if served else ["since", "until"]
    for name in misplaced:
        if options[name] not in (None, False, ()):
            named = f"--{name.removesuffix('s').replace('_', '-')}"
            raise click.UsageError(f"{named} {'is for files; it does not go' if served else 'goes'} with --model")


def _reading(options: Mapping[str, Any]) -> Reading:
    from monitor.evaluate.versions.losses import Problem
    from monitor.jobs.comparing_versions import Reading
    from monitor.jobs.version_rows import Columns

    roles = ("label", "prediction", "id", "instance", "weight", "timestamp")
    return Reading(
        columns=Columns(**{role: options[f"{role}_column"] for role in roles}),
        asking=lambda problem: _asked(problem, options),
        problem=Problem(options["problem"]) if options["problem"] else None,
        every=options["every"],
        slices=options["slices"],
    )


def _asked(problem: Problem, options: Mapping[str, Any]) -> Asked:
    from monitor.evaluate.versions.asked import Asked

    return Asked(
        problem=problem,
        metrics=tuple(dict.fromkeys(options["metrics"])),
        threshold=options["threshold"],
        alpha=options["alpha"],
        margin=options["margin"],
        expected=options["expected_requests"],
        looks=options["looks"],
        tolerance=options["tolerance"],
        examples=options["examples"],
    )


def _compared(source: tuple[str, ...], options: Mapping[str, Any], reading: Reading) -> Comparison:
    from monitor.jobs import comparing_versions as job

    data = options["data"]
    if "model" in source:
        return _served(options, reading)
    if "stable_model" in source:
        quieten_tensorflow()
        from monitor.evaluate.versions.models import model_predict

        stable, candidate = (
            model_predict(options[name], options["signature"], options["model_output"]) for name in source[1:]
        )
        return job.compare_models(data, stable, candidate, reading)
    if "stable_prediction" in source:
        return job.compare_columns(data, options["stable_prediction"], options["candidate_prediction"], reading)
    if "version_column" in source:
        column, one, two = (options[name] for name in source[1:])
        tables = job.tables_of_versions(data, column, one, two, reading)
    else:
        tables = job.tables_of_files(options["stable"], options["candidate"], reading)
    compare = job.compare_paired if options["paired"] else job.compare_unpaired
    return compare(*tables, reading)


def _served(options: Mapping[str, Any], reading: Reading) -> Comparison:
    from monitor.clock import SystemClock
    from monitor.jobs.served_answers import Served
    from monitor.jobs.versions_served import compare_served
    from monitor.store.span_storage import open_storage

    model = options["model"]
    settings, of_model, ledger = opened_model(options["config"], model)
    versions = options["stable_version"], options["candidate_version"]
    served = Served(model, of_model, *versions, since=options["since"], until=options["until"])
    return compare_served(ledger, open_storage(settings.spans.uri), served, reading, SystemClock().now())


def _names(source: tuple[str, ...], options: Mapping[str, Any]) -> tuple[str, str]:
    """Return what people call the two versions."""
    stable, candidate = (options[name] for name in source[-2:])
    if "model" in source:
        return f"{stable} of {options['model']}", f"{candidate} of {options['model']}"
    if "data" not in source:
        return stable, candidate
    return f"{stable} in {options['data']}", f"{candidate} in {options['data']}"
