from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from monitor.demo import display
from monitor.demo.folder import DemoFolder
from monitor.demo.replay import Topics
from monitor.demo.story import Outcome, Plan
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE, LABEL, PREDICTION

START = datetime(2013, 6, 1, tzinfo=UTC)
COUNTS = {
    "messages": 12,
    "decoded": 10,
    "dead_lettered": 2,
    "records": 10,
    "sampled_out": 3,
    "kept": 6,
    "late": 1,
    "lost": 0,
}


def document(day: date) -> dict[str, Any]:
    finding = {
        "kind": "skew",
        "feature": "temp [F]",
        "reference": "training",
        "measure": "cohens_w",
        "value": 2.5,
        "threshold": 0.1,
        "flagged": True,
        "explanation": "mean rose from 36 to 80",
    }
    return {"window_start": f"{day}T00:00:00Z", "rows": 900, "verdict": "flagged", "findings": [finding]}


def outcome(days: int = 3, sent: int = 12, counts: Mapping[str, int] = COUNTS) -> Outcome:
    rows = pa.table(
        {
            EVENT_TIME: pa.array([START, START, START + timedelta(days=400)], EVENT_TIME_TYPE),
            LABEL: [1, 0, 1],
            PREDICTION: [0.75, 0.25, 0.5],
        }
    )
    return Outcome(
        plan=Plan(START, START + timedelta(days=days)),
        folder=DemoFolder(Path("/somewhere/my demo"), Path("my demo")),
        topics=Topics("flights.requests", "flights.labels"),
        documents=[document(START.date() + timedelta(days=n)) for n in range(days)],
        identities=counts,
        sent=sent,
        rows=rows,
        seconds=61.4,
    )


def shown(result: Outcome) -> str:
    text = StringIO()
    display.show(result, Console(file=text, width=140))
    return text.getvalue()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("2013-06-02", id="every day where they fit on a screen"),
        pytest.param("temp [F]", id="what was flagged, whatever its name"),
        pytest.param("in 3 windows", id="how many windows there were"),
        pytest.param("2013-06-01: mean rose from 36 to 80", id="the explanation of the strongest day"),
        pytest.param("✓ 12 messages = 10 decoded + 2 dead lettered", id="the first identity"),
        pytest.param("✓ 10 records = 3 sampled out + 6 kept + 1 late", id="the second identity"),
        pytest.param("1.000", id="the AUC of the month"),
        pytest.param(
            "driftline baseline list flights --config 'my demo/driftline.yaml'", id="commands that can be pasted"
        ),
        pytest.param("Took 61 s", id="how long it took"),
    ],
)
def test_the_last_screen_says(said: str) -> None:
    assert said in shown(outcome())


def test_months_outside_the_judged_days_are_left_out() -> None:
    assert "2014-07" not in shown(outcome())


def test_many_days_are_shown_by_week() -> None:
    text = shown(outcome(days=40))
    assert "2013-06-10" in text
    assert "2013-06-11" not in text
    assert "temp [F] (7)" in text


@pytest.mark.parametrize(
    ("sent", "change", "hold"),
    [
        pytest.param(12, {}, True, id="everything sent was counted once"),
        pytest.param(13, {}, False, id="one message is missing"),
        pytest.param(11, {}, False, id="one message was counted twice"),
        pytest.param(12, {"decoded": 9}, False, id="a message is neither decoded nor dead"),
        pytest.param(12, {"kept": 7}, False, id="a record is counted twice"),
        pytest.param(12, {"lost": 1}, False, id="an offset was lost"),
    ],
)
def test_the_counts_must_add_up(sent: int, change: Mapping[str, int], hold: bool) -> None:
    assert display.identities_hold(outcome(sent=sent, counts={**COUNTS, **change})) is hold


def test_a_broken_identity_is_marked() -> None:
    assert "✗ 10 records" in shown(outcome(counts={**COUNTS, "kept": 7}))
