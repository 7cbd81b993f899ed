"""Writes the Grafana dashboard from the panels in `panels.py`; `--check` only says whether the file is stale.

Changes with Grafana's JSON, which is long and repeats itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dashboards.panels import ROWS, Panel

OUTPUT = Path(__file__).parent / "driftline.json"
COLUMNS = 24
"""Width of a Grafana row, in its grid's units."""

DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, object]


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
    lowest: Json = {"min": 0} if panel.from_zero else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, **lowest, "thresholds": {"mode": "absolute", "steps": steps}},
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
