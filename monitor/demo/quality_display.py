"""The part of the demo's last screen that is about the model itself. Changes with what a newcomer should see of it first."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from monitor.demo import quality
from monitor.demo.follow import Measured

_NONE = "–"
_LEGEND = (
    "[dim]Late flights, and what the model said of them; AUC and accuracy by the labels, and ~ as estimated from the scores"
    " before they came (? not to be relied on); days on which quality was lost, and the metric that was worst.[/]"
)


def show_quality(measured: Measured, table: Table, console: Console) -> None:
    """Fill and print the table of weeks, and say below it what happened and how the labels came."""
    for column in ("Week from", "Labels", "Late", "Said", "AUC", "Accuracy", "Days lost"):
        table.add_column(column, justify="right" if column in ("Labels", "Late", "Said") else "left", no_wrap=True)
    for week in quality.weeks(measured.windows):
        late, said = (week.metrics[name].measured for name in (quality.LATE, quality.PREDICTED))
        table.add_row(
            week.start.isoformat(),
            f"{week.labelled:,}",
            *(_NONE if share is None else f"{share:.0%}" for share in (late, said)),
            _cell(week.metrics[quality.AUC], ".2f"),
            _cell(week.metrics[quality.ACCURACY], ".0%"),
            "" if week.worst is None else f"[red]{week.lost}: {escape(_short(week.worst))}[/]",
        )
    console.print(table)
    for line in (_LEGEND, _loss(quality.loss(measured.windows)), _arrival(measured)):
        console.print(Padding(line, (0, 0, 0, 2)), highlight=False)
    console.print()


def _cell(compared: quality.Compared, form: str) -> str:
    shown = _NONE if compared.measured is None else format(compared.measured, form)
    if compared.estimated is None:
        return shown
    return f"{shown} [dim]{'?' if compared.doubtful else '~'}{compared.estimated:{form}}[/]"


def _short(metric: str) -> str:
    return metric.removeprefix("binary_")


def _loss(loss: quality.Loss | None) -> str:
    if loss is None:
        return "Quality was lost on no day."
    said = f"[bold red]Quality was lost on {loss.days} of {loss.of} days[/], first on {loss.first}: {escape(loss.explanation)}"
    if loss.estimated is None:
        return f"{said}."
    seen = "and showed it" if loss.foreseen else "and did not show it"
    return f"{said}. The scores alone had said {loss.estimated:.3f}, {seen}."


def _arrival(measured: Measured) -> str:
    found, fates = quality.arrival(measured.windows), measured.fates
    if found is None:
        return "No labels came."
    return (
        f"Labels came for {found.coverage:.1%} of the flights (cancelled ones have none), half of them within {found.half:.1f} h"
        f" on a usual day, 99% within {found.nearly_all:.1f} h on any; {fates.unknown:,} of {fates.labels:,} looked up so far"
        " are of unknown flights."
    )
