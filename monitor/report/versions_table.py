"""Two versions side by side for a terminal, and as JSON text; changes with the looks of either."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import orjson
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.clock import from_micros
from monitor.evaluate.versions.agreement import Agreement
from monitor.evaluate.versions.deciding import Interval, Verdict
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.result import Comparison, Metric, Within

_COLOURS: Mapping[Verdict | Within | None, str] = {
    Verdict.BETTER: "green",
    Verdict.EQUIVALENT: "green",
    Verdict.NO_WORSE: "green",
    Within.TOLERANCE: "green",
    Verdict.WORSE: "red",
    Within.BEYOND: "red",
    Verdict.UNDECIDED: "yellow",
    None: "blue",
}
_HEADLINES: Mapping[Verdict | Within | None, str] = {
    Verdict.BETTER: "the candidate is better than the stable version",
    Verdict.EQUIVALENT: "the candidate differs by no more than the margin",
    Verdict.NO_WORSE: "the candidate is not worse by more than the margin",
    Verdict.WORSE: "the candidate is worse than the stable version",
    Verdict.UNDECIDED: "there is not enough evidence to tell the versions apart",
    Within.TOLERANCE: "all predictions agree within the tolerance",
    Within.BEYOND: "predictions differ by more than the tolerance",
    None: "nothing was to be judged: give labels or a tolerance",
}
_SLICES = 20


def versions_json(comparison: Comparison, stable: str, candidate: str) -> str:
    """Return the JSON object of docs/versions.md, indented, ending with a newline."""
    document = {"stable": stable, "candidate": candidate, **comparison.to_json()}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def print_versions(console: Console, comparison: Comparison, stable: str, candidate: str) -> None:
    """Print the verdict, what was compared, the metrics with their intervals, and how far paired predictions agree."""
    verdict = comparison.verdict
    name = "compared" if verdict is None else str(verdict).replace("_", " ")
    box_ = Text(f" {name.upper()} ", style=f"bold reverse {_COLOURS[verdict]}")
    console.print(Text.assemble(box_, "  ", (_HEADLINES[verdict], "bold")))
    for side, location, seen in zip(("stable", "candidate"), (stable, candidate), comparison.seen, strict=True):
        labelled = f" · {seen.labelled:,} labelled" if comparison.metrics else ""
        requests = f" of {seen.requests:,} requests" if seen.requests != seen.rows else ""
        console.print(f"[dim]{side:10}[/] {escape(location)} · {seen.rows:,} rows{requests}{labelled}")
    console.print(f"[dim]{'problem':10}[/] {_problem(comparison)}")
    for warning in comparison.warnings:
        console.print(f"[yellow]![/] {escape(warning)}")
    if comparison.metrics:
        console.print(_metrics(comparison))
        for line in _reasons(comparison):
            console.print(line)
    if comparison.agreement is not None:
        _print_agreement(console, comparison, comparison.agreement)


def _problem(comparison: Comparison) -> str:
    asked = comparison.asked
    told = f", 1 above {asked.threshold:g}" if asked.problem is Problem.BINARY else ""
    return f"{asked.problem}{told}, {'the same requests' if comparison.agreement else 'different requests'}"


def _metrics(comparison: Comparison) -> Table:
    table = _table()
    table.add_column("metric", no_wrap=True)
    for heading in ("stable", "candidate", "difference", "interval at all looks", "at one look"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for metric in comparison.metrics:
        table.add_row(
            f"[bold]{metric.name}[/]" if metric.decides else metric.name,
            _number(metric.stable),
            _number(metric.candidate),
            _signed(metric.estimate),
            _interval(metric.interval),
            _interval(metric.fixed_interval),
            _verdict(metric),
        )
    return table


def _verdict(metric: Metric) -> str:
    if metric.verdict is None:
        return "[dim]informs[/]"
    said = str(metric.verdict).replace("_", " ")
    return f"[{_COLOURS[metric.verdict]}]{said}[/]" if metric.decides else f"[dim]informs: {said}[/]"


def _reasons(comparison: Comparison) -> Iterator[str]:
    deciding = [metric for metric in comparison.metrics if metric.decides]
    for metric in deciding:
        when = ""
        if metric.decided_in is not None:
            moment = from_micros(metric.decided_in) + comparison.asked.every
            when = f", since {moment.strftime('%Y-%m-%d %H:%M')} UTC"
        requests = f"{metric.requests[0]:,} and {metric.requests[1]:,} requests"
        heading = "judged by" if metric is deciding[0] else ""
        yield f"[dim]{heading:10}[/] {metric.name}, {requests}: {escape(metric.reason)}{when}"
    levels = {metric.level for metric in comparison.metrics if metric.decides}
    held = ", ".join(f"{1.0 - level:.4g}" for level in sorted(levels))
    yield f"[dim]{'intervals':10}[/] hold the true difference with probability {held}; candidate less stable"


def _print_agreement(console: Console, comparison: Comparison, found: Agreement) -> None:
    table = _table()
    table.add_column("differences", overflow="fold", min_width=11, max_width=32)
    headings = ["rows", *(f"{level:.4g} quantile" for level in found.quantiles), "largest"]
    if found.changed is not None:
        headings.append("changed decisions")
    if found.beyond is not None:
        headings.append("beyond tolerance")
    for heading in (*headings, "correlation", "rank correlation"):
        table.add_column(heading, justify="right", min_width=len("correlation") if "correlation" in heading else 8)
    for name, each in [("all rows", found), *list(comparison.slices.items())[:_SLICES]]:
        table.add_row(
            escape(name),
            f"{each.rows:,}",
            *(_number(value) for value in each.quantiles.values()),
            _number(each.largest),
            *([] if found.changed is None else [_share(each.changed)]),
            *([] if each.beyond is None else [f"{each.beyond:,}"]),
            _number(each.correlation),
            _number(each.rank_correlation),
        )
    console.print(table)
    if len(comparison.slices) > _SLICES:
        console.print(f"[dim]and {len(comparison.slices) - _SLICES} more slices: see --format json[/]")
    if found.one_sided:
        console.print(f"[yellow]![/] {found.one_sided:,} rows have a prediction of one version only")
    if comparison.mcnemar is not None:
        test = comparison.mcnemar
        told = "no test, since rows share requests" if test.p_value is None else f"p = {test.p_value:.3g} (McNemar)"
        console.print(
            f"[dim]{'decisions':10}[/] wrong by the stable version only: {test.only_stable_wrong:,}, "
            f"by the candidate only: {test.only_candidate_wrong:,}; {told}"
        )
    for place, example in enumerate(found.examples):
        heading = "furthest" if place == 0 else ""
        values = f"stable {_prediction(example.stable)}, candidate {_prediction(example.candidate)}"
        console.print(f"[dim]{heading:10}[/] {escape(str(example.name))}: {escape(values)}")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)


def _prediction(value: str | float | list[float]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(f'{each:.6g}' for each in value)}]"
    return value if isinstance(value, str) else f"{value:.7g}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{_signed(interval[0])} to {_signed(interval[1])}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3g}"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3%}"
