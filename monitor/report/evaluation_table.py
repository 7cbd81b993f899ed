"""Evaluations for a terminal: blessing, reasons, metrics of all examples and of each slice. Changes with their looks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.evaluate.evaluation import Evaluation, SliceKey
from monitor.evaluate.wording import metric_text, number_of, number_text, slice_text
from monitor.report.evaluation_documents import RowCounts, interval_of

_COLOURS = {"ok": "green", "flagged": "red", "insufficient_evidence": "yellow"}
_REASONS = 10
_SLICES = 30
_COLUMNS = 5
_COUNTS = {"example_count", "weighted_example_count"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What of an evaluation is printed: the numbers, the `Judgement` on them, whose rows they are of, and where the files are."""

    evaluation: Evaluation
    judgement: Any
    data: RowCounts
    baseline_data: RowCounts | None
    baseline: str | None
    output: str


def print_evaluation(console: Console, shown: Shown) -> None:
    """Print the blessing and its reasons, the metrics of all examples, and those of the candidate by slice."""
    judgement = shown.judgement
    label = str(judgement.blessing).replace("_", " ")
    if judgement.verdict == "insufficient_evidence":
        label = "TOO FEW LABELS"
    style = "yellow" if judgement.blessing == "RUBBER_STAMPED" else _COLOURS[str(judgement.verdict)]
    verdict = Text(f" {label} ", style=f"bold reverse {style}")
    console.print(Text.assemble(verdict, "  ", (_headline(shown), "bold")))
    _print_rows(console, "data", shown.data)
    if shown.baseline_data is not None:
        _print_rows(console, "baseline", shown.baseline_data)
    if shown.evaluation.engines:
        console.print(f"[dim]{'computed':10}[/] {escape(_engines(shown.evaluation))}")
    console.print(f"[dim]{'files':10}[/] {escape(shown.output)}", soft_wrap=True)
    for reason in judgement.reasons[:_REASONS]:
        mark = "✗" if reason.definite and judgement.verdict == "flagged" else "!"
        console.print(f"[{style}]{mark}[/] {escape(reason.text)}")
    if len(judgement.reasons) > _REASONS:
        console.print(f"[{style}]![/] and {len(judgement.reasons) - _REASONS} more: see --format json")
    overall = shown.evaluation.metrics.get((), {})
    if _scalars(overall):
        console.print(_overall(overall, shown.baseline))
    slices = {key: values for key, values in shown.evaluation.metrics.items() if key}
    if slices:
        console.print(_by_slice(slices, shown))
    if len(slices) > _SLICES:
        console.print(f"[dim]and {len(slices) - _SLICES} more slices: see --format json[/]")


def _headline(shown: Shown) -> str:
    judgement = shown.judgement
    labelled = f"{shown.data.labelled:,} labelled examples"
    if judgement.blessing == "NOT_BLESSED":
        definite = sum(reason.definite for reason in judgement.reasons)
        return (
            f"{_counted(definite, 'threshold')} missed, {labelled}" if definite else f"too little to judge: {labelled}"
        )
    if judgement.blessing == "RUBBER_STAMPED":
        return f"there was nothing to compare with, {labelled}"
    return f"{_counted(judgement.thresholds, 'threshold')} kept, {labelled}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _print_rows(console: Console, side: str, counts: RowCounts) -> None:
    left_out = [
        f"{count:,} {why}"
        for count, why in ((counts.unpaired, "without a partner"), (counts.unlabelled, "without a label"))
        if count
    ]
    rest = f", left out: {', '.join(left_out)}" if left_out else ""
    console.print(f"[dim]{side:10}[/] {escape(counts.location)} · {counts.rows:,} rows{rest}", soft_wrap=True)


def _engines(evaluation: Evaluation) -> str:
    by_engine: dict[str, list[str]] = {}
    for name, engine in evaluation.engines.items():
        by_engine.setdefault(str(engine), []).append(name)
    if set(by_engine) <= {"vectorised"}:
        return "all metrics vectorised"
    return f"by TFMA on Beam: {', '.join(by_engine['tfma'])}; all else vectorised"


def _scalars(metrics: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the metrics that are one number."""
    return {key: value for key, value in metrics.items() if hasattr(key, "is_diff") and number_of(value) is not None}


def _overall(metrics: Mapping[Any, Any], baseline: str | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)
    table.add_column("all examples", overflow="fold", min_width=16)
    numbers = _scalars(metrics)
    plain = [key for key in numbers if not key.is_diff and (baseline is None or key.model_name != baseline)]
    models = list(dict.fromkeys(key.model_name for key in plain))
    for heading in ("value", *(("baseline", "change") if baseline is not None else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for key in plain:
        row = [_name(key, several=len(models) > 1), _value_text(numbers[key])]
        if baseline is not None:
            row.append(_value_text(numbers.get(key.make_baseline_key(baseline))))
            row.append(_value_text(numbers.get(key.make_diff_key()), signed="+"))
        table.add_row(*row)
    return table


def _name(key: Any, *, several: bool) -> str:
    weighted = " [dim]weighted[/]" if key.example_weighted and key.name not in _COUNTS else ""
    return escape(metric_text(key) + (f" of {key.model_name}" if several and key.model_name else "")) + weighted


def _value_text(value: Any, signed: str = "") -> str:
    number = number_of(value)
    if value is None or number is None:
        return ""
    text = f"{number:+.5g}" if signed and number else number_text(number)
    interval = interval_of(value)
    return text if interval is None else f"{text} [dim]({interval[0]:.4g} to {interval[1]:.4g})[/]"


def _by_slice(slices: Mapping[SliceKey, Mapping[Any, Any]], shown: Shown) -> Table:
    keys = _columns([_scalars(values) for values in slices.values()], shown.baseline)
    several = len({key.model_name for key in keys}) > 1
    failed = {
        (tuple(reason.slice.items()), reason.metric) for reason in shown.judgement.reasons if reason.slice is not None
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)
    table.add_column("slice", overflow="fold", min_width=16)
    table.add_column("examples", justify="right", no_wrap=True)
    for key in keys:
        table.add_column(_name(key, several=several), justify="right")
    for place, values in list(slices.items())[:_SLICES]:
        count = shown.evaluation.examples.get(place)
        cells = [_cell(values.get(key), _is_failed(place, key, failed)) for key in keys]
        table.add_row(escape(slice_text(place)), "" if count is None else f"{count:,}", *cells)
    return table


def _is_failed(place: SliceKey, key: Any, failed: Iterable[Any]) -> bool:
    named = tuple((str(part[0]), str(part[1])) for part in place if len(part) == 2)
    return (named, metric_text(key)) in failed


def _cell(value: Any, failed: bool) -> str:
    number = number_of(value)
    text = "" if value is None or number is None else number_text(number) if not math.isnan(number) else "nan"
    return f"[red]{text}[/]" if failed and text else text


def _columns(found: Sequence[Mapping[Any, Any]], baseline: str | None) -> list[Any]:
    """Return the metrics to show by slice: the candidate's first few, and counts of examples not again."""
    keys = dict.fromkeys(key for values in found for key in values)
    shown = [
        key
        for key in keys
        if not key.is_diff and (baseline is None or key.model_name != baseline) and key.name not in _COUNTS
    ]
    return shown[:_COLUMNS]
