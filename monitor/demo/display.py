"""The demo's last screen. Changes with what a newcomer should see first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from monitor.demo import digest, flights, quality
from monitor.demo.folder import LABEL_HORIZON
from monitor.demo.loop_display import show_loop
from monitor.demo.quality_display import show_quality
from monitor.demo.story import Outcome
from monitor.records import EVENT_TIME, LABEL, PREDICTION, REQUEST_ID

_DAYS_ON_A_SCREEN = 31
_FEATURES_NAMED = 5
_MONTHS_OF_A_TREND = 4
_IDENTITIES = (
    ("messages", ("decoded", "dead_lettered")),
    ("records", ("sampled_out", "kept", "late")),
)
_COLORS = {"flagged": "red", "ok": "green", "insufficient_evidence": "yellow"}


def show(outcome: Outcome, console: Console) -> None:
    """Print what was found, what it cost, and where to go on."""
    console.print()
    _windows(outcome, console)
    _drifts(outcome, console)
    title = "The model itself, by week: predictions against labels"
    show_quality(outcome.measured, _table(title, console), console)
    show_loop(outcome.chapters, _table("What was done about it", console), console)
    console.print(f"  {outcome.told} messages about it went to a webhook, as they would to Slack or PagerDuty.\n")
    _counts(outcome, console)
    _files(outcome, console)


def identities_hold(outcome: Outcome) -> bool:
    """Say whether every request that was answered was counted exactly once, all the way into the store, and nothing was lost."""
    return outcome.identities["lost"] == 0 and all(
        total == sum(parts.values()) for _, total, parts in _equations(outcome)
    )


def _equations(outcome: Outcome) -> Iterator[tuple[str, int, dict[str, int]]]:
    """Yield what must be equal: the name of a number, the number, and the parts that it is the sum of."""
    counts, sent = outcome.identities, outcome.sent
    captured = sent.captured
    yield "requests sent over HTTP", sent.asked, {"answered by the model server": sent.served}
    yield (
        "requests answered",
        sent.answered,
        {
            "captured": captured.sent,
            "sampled out": captured.sampled_out,
            "dropped": captured.dropped,
            "failed": captured.failed,
        },
    )
    yield "messages in the store", counts["messages"], {"captured requests": captured.sent, "labels": sent.labels}
    if captured.sent == sent.answered:
        yield "records in the store", counts["records"], {"instances": sent.instances, "labels": sent.labels}
        judged = flights.between(outcome.rows, outcome.plan.start, outcome.plan.end)
        landed = flights.landed_within(judged, LABEL_HORIZON)
        joined = {"predictions with a label": quality.labelled(outcome.measured.windows)}
        yield "flights of these days that landed", landed, joined
    yield "labels sent", sent.labels, {"labels in the store": outcome.measured.labels}
    for total, parts in _IDENTITIES:
        yield total, counts[total], {part.replace("_", " "): counts[part] for part in parts}


def _windows(outcome: Outcome, console: Console) -> None:
    weekly = len(outcome.documents) > _DAYS_ON_A_SCREEN
    table = _table(f"Windows of one day{', by week' if weekly else ''}", console)
    table.add_column("Week from" if weekly else "Day", no_wrap=True)
    table.add_column("Rows", justify="right")
    table.add_column("Verdict" if not weekly else "Verdicts", no_wrap=True)
    table.add_column("Flagged features (windows)" if weekly else "Flagged features")
    for period in digest.periods(outcome.documents, weekly=weekly):
        verdicts = ", ".join(
            f"[{_COLORS[verdict]}]{f'{count} ' if weekly else ''}{verdict.replace('_', ' ')}[/]"
            for verdict, count in sorted(period.verdicts.items())
        )
        named = [f"{escape(name)} ({n})" if weekly else escape(name) for name, n in period.flagged[:_FEATURES_NAMED]]
        more = len(period.flagged) - len(named)
        table.add_row(
            period.start.isoformat(),
            f"{period.rows:,}",
            verdicts,
            ", ".join(named) + (f", {more} more" if more > 0 else ""),
        )
    console.print(table)


def _drifts(outcome: Outcome, console: Console) -> None:
    months = [f"{month:02}" for _, month in digest.months(outcome.documents)]
    trend = len(months) >= _MONTHS_OF_A_TREND
    legend = f"; bars are months {months[0]} to {months[-1]}" if trend else ""
    console.print(
        f"[bold]What drifted, in {len(outcome.documents)} windows[/] (most telling first{legend})", highlight=False
    )
    for drift in digest.drifts(outcome.documents):
        against = ", ".join(
            f"{drift.against[reference]} {words}"
            for reference, words in (
                (digest.TRAINING, "unlike the training data"),
                (digest.PREVIOUS, "unlike the day before"),
                (digest.ACCUMULATED, "in a movement over many days"),
            )
            if reference in drift.against
        )
        bars = f"  [cyan]{digest.sparkline(drift.by_month)}[/]" if trend else ""
        head = f"[bold red]{escape(drift.feature)}[/]{bars}  first flagged {drift.first}; windows: {against}"
        said = drift.explanation.removeprefix(f"{drift.feature}: ")
        console.print(Padding(head, (0, 0, 0, 2)), highlight=False)
        console.print(Padding(f"[dim]{drift.strongest}:[/] {escape(said)}", (0, 0, 0, 6)), highlight=False)
    console.print()


def _counts(outcome: Outcome, console: Console) -> None:
    counts = outcome.identities
    console.print("[bold]Every request counted exactly once[/], from the client to the store")
    for name, total, parts in _equations(outcome):
        right = " + ".join(f"{count:,} {part}" for part, count in parts.items())
        mark = "[green]✓[/]" if total == sum(parts.values()) else "[red]✗[/]"
        console.print(f"  {mark} {total:,} {name} = {right}", highlight=False, soft_wrap=True)
    if counts["lost"]:
        console.print(f"  [red]✗[/] {counts['lost']:,} offsets were lost", highlight=False)
    console.print()


def _files(outcome: Outcome, console: Console) -> None:
    place = outcome.folder
    shown = place.shown
    files = {
        "driftline.yaml": "the configuration of this run",
        "eval_config.pbtxt": "TFMA's EvalConfig: how the quality of the model is measured",
        "driftline.db": "the store: windows, findings, evaluations, baseline, counts, audit log (SQLite)",
        "spans/": "the collected records (Parquet)",
        "models/": "the SavedModels that were served, and TensorFlow Serving's model config",
        "candidates/": "what the trainer made",
        "notifications.jsonl": "what the webhook was sent",
        "train.parquet": "the training rows",
        "traffic.parquet": "the replayed rows",
        "logs/": "what broker, model server, proxy, collector and monitor said",
    }
    console.print(f"[bold]Files in {escape(str(shown))}[/]")
    for name, meaning in files.items():
        console.print(f"  {name:<18} {meaning}", highlight=False, soft_wrap=True)
    config, train, traffic, evaluated = (
        shlex.quote(str(shown / name))
        for name in ("driftline.yaml", "train.parquet", "traffic.parquet", "eval_config.pbtxt")
    )
    columns = f"--timestamp-column {EVENT_TIME} --id-column {REQUEST_ID} --prediction-column {PREDICTION} --label-column {LABEL}"
    commands = (
        f"driftline quality {flights.MODEL} --config {config}",
        f"driftline alerts list --config {config}",
        f"driftline retrain list --config {config}",
        f"driftline check --reference {train} --current {traffic} {columns} --ignore weekday",
        f"driftline backtest --reference {train} --traffic {traffic} {columns} --window 7d --output findings.jsonl",
        f"driftline evaluate --data {traffic} --eval-config {evaluated} --output evaluation",
    )
    console.print("\n[bold]Try next[/]")
    for command in commands:
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nTook {outcome.seconds:.0f} s.", highlight=False)


def _table(title: str, console: Console) -> Table:
    console.print(f"[bold]{title}[/]")
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1))
