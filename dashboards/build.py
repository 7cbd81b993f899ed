"""Writes the Grafana dashboard from the queries listed here; `--check` only says whether the file is stale.

Grafana's JSON is long and repeats itself: this page holds what differs from panel to panel, and `_panel` the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

OUTPUT = Path(__file__).parent / "driftline.json"
COLUMNS = 24
"""Width of a Grafana row, in its grid's units."""

DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries are pairs of PromQL and legend; `unit` is Grafana's name of it; widths of a row add up to 24."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    red_above: float | None = None


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is anything drifting?",
        (
            Panel(
                "Windows flagged",
                "Windows whose newest findings are flagged, by model. The findings name the features.",
                (('max by (model) (driftline_windows_judged{verdict="flagged", model=~"$model"})', "{{model}}"),),
                kind="stat",
                width=8,
                red_above=1,
            ),
            Panel(
                "Windows judged",
                "By the verdict of their newest revision.",
                (
                    (
                        'sum by (verdict) (max by (model, verdict) (driftline_windows_judged{model=~"$model"}))',
                        "{{verdict}}",
                    ),
                ),
                width=16,
            ),
            Panel(
                "Watermark behind the clock",
                "Age of the event time up to which input is complete. It follows at the lateness that is allowed.",
                (('time() - max by (model) (driftline_model_watermark_seconds{model=~"$model"})', "{{model}}"),),
                unit="s",
                width=24,
            ),
        ),
    ),
    (
        "Quality",
        (
            Panel(
                "Windows with lost quality",
                "Windows, evaluated with all their labels, in which a metric was worse than usual or missed its threshold.",
                (
                    (
                        (
                            "sum by (model) (max by (model, stage) "
                            '(driftline_windows_evaluated{stage!="provisional", verdict="flagged", model=~"$model"}))'
                        ),
                        "{{model}}",
                    ),
                ),
                kind="stat",
                width=8,
                red_above=1,
            ),
            Panel(
                "Windows evaluated",
                "By stage and verdict of the newest evaluation.",
                (
                    (
                        'sum by (stage, verdict) (max by (model, stage, verdict) (driftline_windows_evaluated{model=~"$model"}))',
                        "{{stage}}, {{verdict}}",
                    ),
                ),
                width=16,
            ),
            Panel(
                "Quality by labels",
                "Metrics of the EvalConfig over all rows of the newest window with all its labels.",
                (
                    (
                        'max by (model, version, metric) (driftline_quality{slice="", metric!~".*_count", model=~"$model"})',
                        "{{model}} {{version}} {{metric}}",
                    ),
                ),
            ),
            Panel(
                "Quality as estimated",
                "From the scores of the newest judged window, before its labels; a gap where it is not to be relied on.",
                (
                    (
                        'max by (model, version, metric) (driftline_quality_estimated{model=~"$model"})',
                        "{{model}} {{version}} {{metric}}",
                    ),
                ),
            ),
            Panel(
                "Quality by slice",
                "The same metrics of at most 50 slices, those with the most labels.",
                (
                    (
                        (
                            "max by (model, version, slice, metric) "
                            '(driftline_quality{slice!="", metric!~".*_count", model=~"$model"})'
                        ),
                        "{{model}} {{version}} {{slice}} {{metric}}",
                    ),
                ),
                width=24,
            ),
            Panel(
                "Predictions with a label",
                "Share of the newest window's predictions whose label came within the horizon.",
                (
                    (
                        'max by (model, version) (driftline_label_coverage_ratio{model=~"$model"})',
                        "{{model}} {{version}}",
                    ),
                ),
                unit="percentunit",
                width=8,
            ),
            Panel(
                "Label delay",
                "From prediction to label, in the newest window with all its labels: half of them, and all but a hundredth.",
                (
                    (
                        (
                            "max by (model, version, quantile) "
                            '(driftline_label_delay_seconds{quantile=~"0.5|0.99", model=~"$model"})'
                        ),
                        "{{model}} {{version}} {{quantile}}",
                    ),
                ),
                unit="s",
                width=8,
            ),
            Panel(
                "Labels",
                "What became of the labels counted in a day: joined in time or early, too late, sampled out, or of unknown ids.",
                (
                    (
                        'sum by (fate) (max by (model, fate) (delta(driftline_labels{model=~"$model"}[1d])))',
                        "{{fate}}",
                    ),
                ),
                width=8,
            ),
        ),
    ),
    (
        "Is every record accounted for?",
        (
            Panel(
                "Messages that do not add up",
                "messages - decoded - dead-lettered, over all that was ever committed. Anything but zero is a fault.",
                (('max(abs(driftline_ledger_unaccounted{identity="messages"}))', ""),),
                kind="stat",
                width=6,
                red_above=1,
            ),
            Panel(
                "Records that do not add up",
                "records - sampled out - kept - late, over all that was ever committed. Anything but zero is a fault.",
                (('max(abs(driftline_ledger_unaccounted{identity="records"}))', ""),),
                kind="stat",
                width=6,
                red_above=1,
            ),
            Panel(
                "Offsets lost",
                "Messages that the broker deleted before they were read.",
                (("max(driftline_ledger_lost)", ""),),
                kind="stat",
                width=6,
                red_above=1,
            ),
            Panel(
                "Late rows",
                "Rows of windows that were closed when they came; they make a new revision of their window.",
                (("max(driftline_ledger_late)", ""),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Records",
                "What became of the records read.",
                (
                    ("sum(rate(driftline_collector_kept_total[$__rate_interval]))", "kept"),
                    ("sum(rate(driftline_collector_sampled_out_total[$__rate_interval]))", "sampled out"),
                ),
                unit="ops",
            ),
            Panel(
                "Dead letters by reason",
                "Messages that can never be read.",
                (
                    (
                        "sum by (reason) (rate(driftline_collector_dead_lettered_total[$__rate_interval]))",
                        "{{reason}}",
                    ),
                ),
                unit="ops",
            ),
        ),
    ),
    (
        "Do the processes keep up?",
        (
            Panel(
                "Messages read",
                "By collector.",
                (("sum by (instance) (rate(driftline_collector_messages_total[$__rate_interval]))", "{{instance}}"),),
                unit="ops",
            ),
            Panel(
                "Messages waiting",
                "Lag: what is in the topics and not yet read.",
                (("sum by (stream) (driftline_collector_lag)", "{{stream}}"),),
            ),
            Panel(
                "Rows in memory",
                "Read, and not yet committed.",
                (("driftline_collector_buffered_rows", "{{instance}}"),),
            ),
            Panel(
                "Cuts",
                "Commits, and those discarded because another collector owned the partition by then.",
                (
                    ("sum(rate(driftline_collector_cuts_total[$__rate_interval]))", "committed"),
                    ("sum(rate(driftline_collector_stale_cuts_total[$__rate_interval]))", "discarded"),
                ),
                unit="ops",
            ),
            Panel(
                "Duration of a commit",
                "Sealing, writing the span files, and the transaction, nine times out of ten.",
                (
                    (
                        "histogram_quantile(0.9, sum by (le) (rate(driftline_collector_cut_seconds_bucket[$__rate_interval])))",
                        "90%",
                    ),
                ),
                unit="s",
                width=8,
            ),
            Panel(
                "Held back",
                "Share of the time in which a collector reads nothing because too much waits to be committed.",
                (
                    (
                        "sum by (instance) (rate(driftline_collector_paused_seconds_total[$__rate_interval]))",
                        "{{instance}}",
                    ),
                ),
                unit="percentunit",
                width=8,
            ),
            Panel(
                "Spans sealed",
                "Bytes of span files, by model.",
                (
                    (
                        'sum by (model) (rate(driftline_collector_span_bytes_total{model=~"$model"}[$__rate_interval]))',
                        "{{model}}",
                    ),
                ),
                unit="Bps",
                width=8,
            ),
            Panel(
                "Looks at all models",
                "How long the monitor takes to see what is due and judge it, nine times out of ten.",
                (
                    (
                        "histogram_quantile(0.9, sum by (le) (rate(driftline_monitor_tick_seconds_bucket[$__rate_interval])))",
                        "90%",
                    ),
                ),
                unit="s",
            ),
            Panel(
                "Looks that failed",
                "By model; the log says why.",
                (("sum by (model) (increase(driftline_monitor_errors_total[$__rate_interval]))", "{{model}}"),),
            ),
        ),
    ),
)


def dashboard() -> Json:
    """Return the dashboard as Grafana 9 and newer import it."""
    return {
        "uid": "driftline",
        "title": "Driftline",
        "description": "Drift of TensorFlow models in production, and whether its measurement can be trusted.",
        "tags": ["driftline", "tensorflow", "drift"],
        "schemaVersion": 37,
        "version": 1,
        "editable": True,
        "timezone": "utc",
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [_data_source_choice(), _model_choice()]},
        "panels": _panels(),
    }


def _data_source_choice() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _model_choice() -> Json:
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": {"query": "label_values(driftline_model_watermark_seconds, model)", "refId": "model"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> list[Json]:
    panels: list[Json] = []
    y = 0
    for title, row in ROWS:
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": title, "gridPos": _place(0, y, COLUMNS, 1), "panels": []}
        )
        x, y = 0, y + 1
        height = 0
        for panel in row:
            if x + panel.width > COLUMNS:
                x, y = 0, y + height
            height = 4 if panel.kind == "stat" and panel.width <= COLUMNS // 4 else 8
            panels.append(_panel(panel, len(panels) + 1, _place(x, y, panel.width, height)))
            x += panel.width
        y += height
    return panels


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: Json) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATA_SOURCE,
                "expr": query,
                "legendFormat": legend or "__auto",
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def main() -> int:
    """Write the file, or say that it is stale; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the file is stale")
    check = parser.parse_args().check
    text = json.dumps(dashboard(), indent=2) + "\n"
    if OUTPUT.exists() and OUTPUT.read_text(encoding="utf-8") == text:
        return 0
    if check:
        print(f"stale: dashboards/{OUTPUT.name}; run `make docs`")
        return 1
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"wrote dashboards/{OUTPUT.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
