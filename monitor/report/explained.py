"""The verdict on one feature, step by step, for a terminal; changes with its looks."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitor.compare.explanation import Cell, Explained
from monitor.compare.findings import Finding
from monitor.report.digest import measure_name, number

_FORMULAS = {
    "cohens_w": "w = sqrt(sum (p - q)^2 / pooled share), neighbouring cells joined until each expects enough rows (Cohen 1988)",
    "cohens_d": "d = difference of the mean asinh scores / their standard deviation, by Welch's t (Cohen 1988)",
    "missing_rate": "difference of the shares of missing values, by the exact test of two rates (Przyborowski and Wilenski 1940)",
    "unseen_share": "share of values beyond what Good and Turing lead to expect, by the exact test of two rates",
    "heaviest_share": "share of the heaviest category without a cell of its own, beyond 1/64, by the same test",
    "out_of_range_share": "share of values outside of the range, beyond what leaving one out leads to expect, by the same test",
}


def print_explained(console: Console, explanations: Sequence[Explained], budget: float) -> None:
    """Print cells, distances and calibrated comparisons of one feature with each reference.

    Args:
        console: where to.
        explanations: one a reference.
        budget: of false alarms a window.
    """
    for each in explanations:
        console.print(f"[bold]{escape(each.feature)}[/] against [bold]{escape(each.reference)}[/]")
        console.print(_cells(each))
        distances = "  ".join(f"{measure_name(name)} {number(value)}" for name, value in sorted(each.measures.items()))
        console.print(f"[dim]distances on these cells[/]  {distances}\n")
        console.print(
            f"[dim]level[/]  half of {budget:g} / {each.deciding} comparisons of this window = {each.level:.3g} for each\n"
        )
        for finding in each.findings:
            _comparison(console, finding)


def _cells(each: Explained) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)
    table.add_column("values", overflow="fold", max_width=40)
    for heading in ("reference", "share", "window", "share", "part in w²"):
        table.add_column(heading, justify="right", no_wrap=True)
    cells = _merged(each.cells)
    before, now = (sum(getattr(cell, side) for cell in cells[:-1]) for side in ("reference", "current"))
    for cell in cells[:-1]:
        shares = [
            f"{count / total:.2%}" if total else "" for count, total in ((cell.reference, before), (cell.current, now))
        ]
        row = (
            escape(cell.label),
            f"{cell.reference:,.0f}",
            shares[0],
            f"{cell.current:,.0f}",
            shares[1],
            f"{cell.part:.1%}",
        )
        table.add_row(*row)
    missing = cells[-1]
    table.add_section()
    table.add_row("all with a value", f"{before:,.0f}", "", f"{now:,.0f}", "", "")
    table.add_row("effective rows", f"{each.effective[0]:,.0f}", "", f"{each.effective[1]:,.0f}", "", "")
    table.add_row(missing.label, f"{missing.reference:,.0f}", "", f"{missing.current:,.0f}", "", "")
    return table


def _merged(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Put cells of one label together, as hash buckets are."""
    found: dict[str, Cell] = {}
    for cell in cells:
        old = found.get(cell.label, Cell(cell.label, 0.0, 0.0, 0.0))
        found[cell.label] = Cell(
            cell.label, old.reference + cell.reference, old.current + cell.current, old.part + cell.part
        )
    return list(found.values())


def _comparison(console: Console, finding: Finding) -> None:
    verdict = "[red]flagged[/]" if finding.flagged else "not flagged"
    p_value = "" if finding.p_value is None else f", p = {finding.p_value:.3g}"
    console.print(
        f"[bold]{measure_name(finding.measure)}[/] {number(finding.value)}, limit {number(finding.threshold)}{p_value}: {verdict}"
    )
    if finding.measure in _FORMULAS:
        console.print(f"  [dim]formula[/]  {_FORMULAS[finding.measure]}")
    if finding.null:
        console.print(f"  [dim]no change[/]  {escape(finding.null)}")
    if finding.reason:
        console.print(f"  [dim]reason[/]  {escape(finding.reason)}")
    console.print(f"  {escape(finding.explanation)}\n")
