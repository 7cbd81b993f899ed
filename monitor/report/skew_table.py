"""Row-level skew for a terminal, and as JSON text; changes with the looks of either."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.compare.row_skew.explanation import NEARLY_ALL
from monitor.compare.row_skew.report import Example, FeatureSkew, RowSkew, SkewVerdict

_COLOURS = {SkewVerdict.MATCH: "green", SkewVerdict.MISMATCH: "red", SkewVerdict.NOTHING_JOINED: "yellow"}
_SHOWN = 50
_VALUE_LENGTH = 40


def skew_json(skew: RowSkew, training: str, served: str) -> str:
    """Return the JSON object of docs/row-skew.md, indented, ending with a newline."""
    document = {"training": training, "served": served, **skew.to_json()}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def print_skew(console: Console, skew: RowSkew, training: str, served: str) -> None:
    """Print the verdict, how the rows were joined, and the features that differ, with what explains it."""
    verdict = Text(f" {str(skew.verdict).replace('_', ' ').upper()} ", style=f"bold reverse {_COLOURS[skew.verdict]}")
    console.print(Text.assemble(verdict, "  ", (_headline(skew), "bold")))
    stats = skew.stats
    sides = (
        ("training", training, stats.base_with_id_count + stats.base_missing_id_count),
        ("served", served, stats.test_with_id_count + stats.test_missing_id_count),
    )
    for side, location, rows in sides:
        console.print(f"[dim]{side:10}[/] {escape(location)} · {rows:,} rows")
    console.print(f"[dim]{'joined':10}[/] {skew.pairs:,} pairs by {escape(', '.join(skew.keys))}")
    for warning in _warnings(skew):
        console.print(f"[yellow]![/] {warning}")
    differing = [each for each in skew.features if each.diff_count]
    if differing:
        console.print(_table(differing))
    for each in skew.confusion[:_SHOWN]:
        counted = each.to_json()
        values = f"{_shown(counted['base'])} in training, {_shown(counted['test'])} in serving"
        console.print(f"[dim]confusion[/]  {escape(each.feature)}: {escape(values)}: {each.count:,} pairs")


def _headline(skew: RowSkew) -> str:
    differing = sum(each.diff_count > 0 for each in skew.features)
    match skew.verdict:
        case SkewVerdict.NOTHING_JOINED:
            return "no row of one side could be joined with a row of the other"
        case SkewVerdict.MISMATCH:
            features = f"{differing} of {len(skew.features)} features differ"
            return f"{features}, in {skew.skewed_pairs:,} of {skew.pairs:,} pairs of rows"
        case _:
            return f"{len(skew.features)} features are the same in {skew.pairs:,} pairs of rows"


def _warnings(skew: RowSkew) -> Iterator[str]:
    stats = skew.stats
    if stats.ids_missing_in_base_count:
        yield f"{stats.ids_missing_in_base_count:,} keys of serving are not in training"
    if stats.ids_missing_in_test_count:
        yield f"{stats.ids_missing_in_test_count:,} keys of training were not served"
    if skew.pairs < stats.matching_pairs_count:
        yield f"{stats.duplicate_id_count:,} keys with several rows are left out; --allow-duplicate-keys compares them all"
    for side, rows in (("training", stats.base_missing_id_count), ("serving", stats.test_missing_id_count)):
        if rows:
            yield f"{rows:,} rows of {side} have no key"


def _table(features: list[FeatureSkew]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", expand=False)
    table.add_column("feature", overflow="fold", min_width=8, max_width=24)
    for heading in ("match", "mismatch", "only training", "only served"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what explains it", ratio=1, overflow="fold")
    for each in features[:_SHOWN]:
        counts = (each.match_count, each.mismatch_count, each.base_only, each.test_only)
        table.add_row(f"[bold]{escape(each.feature)}[/]", *(f"{count:,}" for count in counts), _explained(each))
    if len(features) > _SHOWN:
        table.add_row("", "", "", "", "", f"[dim]and {len(features) - _SHOWN} more: see --format json[/]")
    return table


def _explained(feature: FeatureSkew) -> str:
    lines = [f"{escape(each.sentence)} ({each.explained / each.of:.0%})" for each in feature.explanations]
    unexplained = feature.diff_count - sum(each.explained for each in feature.explanations)
    if not lines:
        lines = ["no transformation that is known"]
    elif unexplained > feature.diff_count * (1 - NEARLY_ALL):
        lines.append(f"nothing explains the other {unexplained:,}")
    lines += [f"[dim]{escape(_example(each))}[/]" for each in feature.examples]
    return "\n".join(lines)


def _example(example: Example) -> str:
    key = ", ".join(_shown(value) for value in example.key)
    return f"{key}: {_shown(example.training)} in training, {_shown(example.served)} in serving"


def _shown(value: object) -> str:
    written = "nothing" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
    return written if len(written) <= _VALUE_LENGTH else written[: _VALUE_LENGTH - 1] + "…"
