"""Reports for a terminal, by rich; changes with their looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.compare.findings import Finding, Verdict, WindowFindings
from monitor.report.digest import Tally, digest, measure_name, number, slice_text

_COLOURS = {Verdict.OK: "green", Verdict.FLAGGED: "red", Verdict.INSUFFICIENT: "yellow"}
_SHOWN = 30
_REASONS = 5
_FEATURES = 15
_SLICES = 10


def print_check(
    console: Console, findings: Sequence[WindowFindings], reference: str, reference_rows: int, current: str
) -> None:
    """Print one comparison: the verdict, what is flagged and why, how much was compared; of slices those that are flagged."""
    overall, *slices = findings
    _print_verdict(console, overall)
    console.print(
        f"[dim]current[/]    {escape(current)} · {_rows(overall)}\n"
        f"[dim]reference[/]  {escape(reference)} · {reference_rows:,} rows"
    )
    _print_findings(console, overall)
    flagged = [found for found in slices if found.verdict is Verdict.FLAGGED]
    if slices:
        console.print(f"[dim]slices[/]     {len(slices)} compared, {len(flagged)} flagged")
    for found in flagged[:_SLICES]:
        console.print()
        _print_verdict(console, found)
        console.print(f"[dim]slice[/]      {escape(slice_text(found.slice))} · {_rows(found)}")
        _print_findings(console, found)
    if len(flagged) > _SLICES:
        console.print(f"[dim]and {len(flagged) - _SLICES} more flagged slices: see --format json[/]")


def print_backtest(console: Console, tally: Tally) -> None:
    """Print how many windows got which verdict, and the features that were flagged most often."""
    span = f", {_time(tally.first)} to {_time(tally.last)}" if tally.first else ""
    console.print(f"[bold]{tally.windows:,} windows[/] of {tally.rows:,} rows{span}")
    verdicts = [
        f"[{_COLOURS[verdict]}]{tally.verdicts[verdict]:,} {str(verdict).replace('_', ' ')}[/]"
        for verdict in Verdict
        if tally.verdicts[verdict]
    ]
    console.print("  ".join(verdicts))
    if not tally.features:
        return
    table = _table()
    table.add_column("flagged most often", no_wrap=True)
    table.add_column("windows", justify="right")
    table.add_column("share", justify="right")
    ranked = sorted(tally.features.items(), key=lambda item: (-item[1], item[0]))
    for feature, count in ranked[:_FEATURES]:
        table.add_row(escape(feature), f"{count:,}", _percent(count / tally.windows))
    console.print(table)
    if len(ranked) > _FEATURES:
        console.print(f"[dim]and {len(ranked) - _FEATURES} more features[/]")


def print_windows(console: Console, documents: Sequence[Mapping[str, Any]]) -> None:
    """Print judged windows (findings objects as stored), a line a slice: verdict, rows, and which features are flagged."""
    table = _table()
    sliced = any(document["slice"] for document in documents)
    for heading in ("window", "version", "revision", "rows", "verdict"):
        table.add_column(heading, justify="right" if heading in {"revision", "rows"} else "left", no_wrap=True)
    if sliced:
        table.add_column("slice", overflow="fold")
    table.add_column("flagged features", overflow="fold", min_width=16)
    for document in documents:
        verdict = Verdict(document["verdict"])
        features = list(
            dict.fromkeys(str(each["feature"] or each["kind"]) for each in document["findings"] if each["flagged"])
        )
        more = f" and {len(features) - _REASONS} more" if len(features) > _REASONS else ""
        table.add_row(
            str(document["window_start"])[:16].replace("T", " "),
            escape(str(document["version"])),
            str(document["revision"]),
            f"{document['rows']:,}",
            f"[{_COLOURS[verdict]}]{str(verdict).replace('_', ' ')}[/]",
            *([escape(slice_text(document["slice"]))] if sliced else []),
            escape(", ".join(features[:_REASONS]) + more),
        )
    console.print(table)


def _print_verdict(console: Console, found: WindowFindings) -> None:
    summary = digest(found)
    verdict = Text(f" {summary.verdict} ", style=f"bold reverse {_COLOURS[found.verdict]}")
    console.print(Text.assemble(verdict, "  ", (summary.headline, "bold")))


def _print_findings(console: Console, found: WindowFindings) -> None:
    summary = digest(found)
    if summary.flagged:
        console.print(_flagged(summary.flagged))
    for reason in summary.lacking[:_REASONS]:
        console.print(f"[yellow]![/] {escape(reason)}")
    if len(summary.lacking) > _REASONS:
        console.print(f"[yellow]![/] and {len(summary.lacking) - _REASONS} more reasons of this kind")
    if summary.closest is not None and not summary.flagged:
        console.print(f"[dim]largest[/]    {_closest(summary.closest)}")
    beside = f"; {summary.informative} TFDV measurements beside them (--format json)" if not found.slice else ""
    console.print(f"[dim]judged[/]     {summary.judged} comparisons, {len(summary.flagged)} flagged{beside}")


def _flagged(findings: Sequence[Finding]) -> RenderableType:
    table = _table()
    table.add_column("feature", overflow="fold", min_width=8, max_width=24)
    table.add_column("kind", no_wrap=True)
    table.add_column("measure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("limit", justify="right", no_wrap=True)
    table.add_column("what moved", ratio=1, overflow="fold")
    for finding in findings[:_SHOWN]:
        measured = finding.value is not None
        table.add_row(
            f"[bold]{escape(finding.feature or '')}[/]",
            str(finding.kind).replace("_", " "),
            measure_name(finding.measure) if measured else "",
            number(finding.value),
            number(finding.threshold),
            escape(finding.explanation.removeprefix(f"{finding.feature}: ")),
        )
    if len(findings) > _SHOWN:
        table.add_row("", "", "", "", "", f"[dim]and {len(findings) - _SHOWN} more: see --format json[/]")
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)


def _closest(finding: Finding) -> str:
    return (
        f"{escape(finding.feature or '')} {measure_name(finding.measure)} "
        f"{number(finding.value)} (limit {number(finding.threshold)}): "
        f"{escape(finding.explanation.removeprefix(f'{finding.feature}: '))}"
    )


def _rows(found: WindowFindings) -> str:
    effective = round(found.n_effective)
    return f"{found.rows:,} rows" + (f", worth {effective:,} independent ones" if effective != found.rows else "")


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


def _time(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M") if moment else ""
