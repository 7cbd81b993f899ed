"""Quality of a model's windows as a table: what labels say, and what was estimated; changes with what a person sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_CELL = 14
"""Columns that a value with its estimate takes, with what is between columns."""
_TAKEN = 34
"""Columns that labels and verdict take."""
_EARLY = 14
"""Columns that a verdict takes beyond that where not all labels are in."""
_LOST = 26
_COLORS = {"flagged": "red", "ok": "green", "insufficient_evidence": "yellow"}
_NONE = "–"


@dataclass(frozen=True, slots=True)
class WindowQuality:
    """One window: the newest evaluation by its labels, and the estimate that was made before; either may be missing."""

    start: str
    version: str
    evaluation: Mapping[str, Any] | None
    estimate: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Return both documents."""
        return {
            "window_start": self.start,
            "version": self.version,
            "evaluation": self.evaluation,
            "estimate": self.estimate,
        }

    @property
    def verdict(self) -> str | None:
        """The verdict of the evaluation."""
        return None if self.evaluation is None else str(self.evaluation["verdict"])

    def measured(self) -> Mapping[str, float | None]:
        """Return the metrics of all rows, by name."""
        slices = [] if self.evaluation is None else self.evaluation["slices"]
        found = next((each for each in slices if not each["slice"]), None)
        metrics: Mapping[str, float | None] = {} if found is None else found["metrics"]
        return metrics

    def estimated(self, metric: str) -> Mapping[str, Any] | None:
        """Return the estimate of a metric."""
        estimates = [] if self.estimate is None else self.estimate["estimates"]
        return next((each for each in estimates if each["measure"] == metric and each["class_id"] is None), None)

    def lost(self) -> list[str]:
        """Return what is flagged: the metric, with the slice where it is of one."""
        slices = [] if self.evaluation is None else self.evaluation["slices"]
        return [
            finding["measure"] + _slice(each["slice"])
            for each in slices
            for finding in each["findings"]
            if finding["flagged"]
        ]


def print_quality(console: Console, windows: Sequence[WindowQuality]) -> None:
    """Print a row for each window, with the first metrics that say something of quality: measured, and estimated below."""
    daily = all(each.start.endswith("T00:00:00Z") for each in windows)
    early = any(each.evaluation is not None and each.evaluation["stage"] != "final" for each in windows)
    room = console.width - _TAKEN - (10 if daily else 16) - (_EARLY if early else 0)
    shows_lost = room >= _LOST + 2 * _CELL
    metrics = _fitting(telling(windows), room - (_LOST if shows_lost else 0))
    versions = len({each.version for each in windows}) > 1
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("Window from", *(["Version"] if versions else []), "Labels"):
        table.add_column(name, no_wrap=True, justify="right" if name == "Labels" else "left")
    for metric in metrics:
        table.add_column(escape(metric), no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    if shows_lost:
        table.add_column("Lost", no_wrap=True, max_width=_LOST - 2)
    for each in windows:
        table.add_row(
            each.start[:10] if daily else each.start.removesuffix(":00Z").replace("T", " "),
            *([escape(each.version)] if versions else []),
            _labels(each),
            *(_cell(each, metric) for metric in metrics),
            _verdict(each),
            *([escape(_shortened(each.lost()))] if shows_lost else []),
        )
    console.print(table)
    worst = next((each for each in reversed(windows) if each.evaluation and each.evaluation.get("concentrated")), None)
    if worst is not None and worst.evaluation is not None:
        console.print(f"{worst.start}: {escape('; '.join(worst.evaluation['concentrated']))}", highlight=False)
    console.print(
        "[dim]~ was estimated from the scores, before the labels came; ? is an estimate that is not to be relied on.[/]"
    )


def telling(windows: Sequence[WindowQuality]) -> list[str]:
    """Return the metrics that were judged, or would be with more labels; all that were estimated where none was measured."""
    names: dict[str, None] = {}
    for each in windows:
        slices = [] if each.evaluation is None else each.evaluation["slices"]
        for finding in (finding for found in slices if not found["slice"] for finding in found["findings"]):
            if finding["reference"] != "threshold" and (finding["reason"] or finding["threshold"] is not None):
                names[finding["measure"]] = None
    if names:
        return list(names)
    estimates = [found for each in windows if each.estimate is not None for found in each.estimate["estimates"]]
    return list(dict.fromkeys(found["measure"] for found in estimates if found["value"] is not None))


def _cell(window: WindowQuality, metric: str) -> str:
    value, estimated = window.measured().get(metric), window.estimated(metric)
    shown = _NONE if value is None else f"{value:.3f}"
    if estimated is None or estimated["value"] is None:
        return shown
    mark = "~" if estimated["estimable"] else "?"
    return f"{shown} [dim]{mark}{estimated['value']:.3f}[/]"


def _labels(window: WindowQuality) -> str:
    if window.evaluation is None:
        return _NONE
    counts = window.evaluation["labels"]
    share = "" if counts["coverage"] is None else f" ({counts['coverage']:.0%})"
    return f"{counts['labelled']:,}{share}"


def _verdict(window: WindowQuality) -> str:
    if window.evaluation is None:
        return "[dim]no labels yet[/]"
    verdict, stage = window.evaluation["verdict"], window.evaluation["stage"]
    early = "" if stage == "final" else f" [dim]({stage})[/]"
    return f"[{_COLORS[verdict]}]{verdict.partition('_')[0]}[/]{early}"


def _fitting(metrics: Sequence[str], width: int) -> Sequence[str]:
    """Return the first metrics that there is room for, at least one."""
    chosen: list[str] = []
    for metric in metrics:
        width -= max(_CELL, len(metric) + 2)
        if width < 0 and chosen:
            break
        chosen.append(metric)
    return chosen


def _shortened(lost: Sequence[str]) -> str:
    return lost[0] + (f" +{len(lost) - 1}" if len(lost) > 1 else "") if lost else ""


def _slice(slice_: Mapping[str, str]) -> str:
    return f" of {', '.join(f'{name}={value}' for name, value in slice_.items())}" if slice_ else ""
