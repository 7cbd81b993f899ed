from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from monitor.demo import display
from monitor.demo.captured import Captured
from monitor.demo.flights import LANDED_AT
from monitor.demo.folder import DemoFolder
from monitor.demo.follow import Measured, Sent
from monitor.demo.loop import Chapter
from monitor.demo.replay import Topics
from monitor.demo.story import Outcome, Plan
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE
from monitor.window.label_fates import FateCounts
from tests.unit.demo.measured import day

START = datetime(2013, 6, 1, tzinfo=UTC)
MEASURED = Measured([day("2013-06-01", labelled=2)], labels=4, fates=FateCounts(in_time=4))
SENT = Sent(asked=5, answered=5, served=5, captured=Captured(sent=5), instances=6, labels=4)
COUNTS = {
    "messages": 9,
    "decoded": 7,
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


def outcome(
    days: int = 3, sent: Sent = SENT, counts: Mapping[str, int] = COUNTS, measured: Measured = MEASURED
) -> Outcome:
    rows = pa.table(
        {
            EVENT_TIME: pa.array([START, START, START + timedelta(days=400)], EVENT_TIME_TYPE),
            LANDED_AT: pa.array([START + timedelta(hours=16), START, None], EVENT_TIME_TYPE),
        }
    )
    return Outcome(
        plan=Plan(START, START + timedelta(days=days)),
        folder=DemoFolder(Path("/somewhere/my demo"), Path("my demo")),
        topics=Topics("flights.requests", "flights.labels"),
        documents=[document(START.date() + timedelta(days=n)) for n in range(days)],
        measured=measured,
        identities=counts,
        sent=sent,
        rows=rows,
        chapters=[
            Chapter(START, "Alert", "QualityLost fires: 2 of 2 windows matched"),
            Chapter(START + timedelta(seconds=42), "Promoted", "version [2] serves everybody"),
        ],
        told=3,
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
        pytest.param("✓ 5 requests sent over HTTP = 5 answered by the model server", id="that all were answered"),
        pytest.param("✓ 5 requests answered = 5 captured + 0 sampled out + 0 dropped", id="that all were captured"),
        pytest.param("✓ 9 messages in the store = 5 captured requests + 4 labels", id="that all arrived"),
        pytest.param("✓ 10 records in the store = 6 instances + 4 labels", id="that all instances arrived"),
        pytest.param("✓ 9 messages = 7 decoded + 2 dead lettered", id="the first identity"),
        pytest.param("✓ 10 records = 3 sampled out + 6 kept + 1 late", id="the second identity"),
        pytest.param(
            "✓ 2 flights of these days that landed = 2 predictions with a label", id="that all labels were joined"
        ),
        pytest.param("✓ 4 labels sent = 4 labels in the store", id="that all labels arrived"),
        pytest.param("The model itself, by week", id="how good the model was"),
        pytest.param("Labels came for 16.7% of the flights", id="how many labels came"),
        pytest.param("driftline quality flights --config 'my demo/driftline.yaml'", id="where to see it by day"),
        pytest.param("--eval-config 'my demo/eval_config.pbtxt'", id="how to evaluate the files"),
        pytest.param("driftline retrain list --config 'my demo/driftline.yaml'", id="commands that can be pasted"),
        pytest.param("QualityLost fires: 2 of 2 windows matched", id="what was found to be wrong"),
        pytest.param("42 s   Promoted   version [2] serves everybody", id="what was done about it, and when"),
        pytest.param("3 messages about it went to a webhook", id="who was told"),
        pytest.param("Took 61 s", id="how long it took"),
    ],
)
def test_the_last_screen_says(said: str) -> None:
    assert said in shown(outcome())


def test_many_days_are_shown_by_week() -> None:
    text = shown(outcome(days=40))
    assert "2013-06-10" in text
    assert "2013-06-11" not in text
    assert "temp [F] (7)" in text


@pytest.mark.parametrize(
    ("sent", "change", "hold"),
    [
        pytest.param({}, {}, True, id="everything sent was counted once"),
        pytest.param({"asked": 6}, {}, False, id="a request was not answered"),
        pytest.param({"served": 6}, {}, False, id="the server answered one that nobody sent"),
        pytest.param({"captured": Captured(sent=4)}, {}, False, id="an answer was not captured"),
        pytest.param({"captured": Captured(sent=6)}, {}, False, id="an answer was captured twice"),
        pytest.param(
            {"captured": Captured(sent=4, dropped=1)}, {"messages": 8, "decoded": 6}, True, id="a drop that was counted"
        ),
        pytest.param({"labels": 5}, {}, False, id="a label is missing"),
        pytest.param({"instances": 7}, {}, False, id="an instance is missing"),
        pytest.param({}, {"messages": 10, "decoded": 8}, False, id="a message was counted twice"),
        pytest.param({}, {"decoded": 6}, False, id="a message is neither decoded nor dead"),
        pytest.param({}, {"kept": 7}, False, id="a record is counted twice"),
        pytest.param({}, {"lost": 1}, False, id="an offset was lost"),
    ],
)
def test_the_counts_must_add_up(sent: Mapping[str, Any], change: Mapping[str, int], hold: bool) -> None:
    assert display.identities_hold(outcome(sent=replace(SENT, **sent), counts={**COUNTS, **change})) is hold


@pytest.mark.parametrize(
    "measured",
    [
        pytest.param(replace(MEASURED, labels=5), id="a label is in the store twice"),
        pytest.param(replace(MEASURED, windows=[day("2013-06-01", labelled=1)]), id="a label was not joined"),
        pytest.param(replace(MEASURED, windows=[day("2013-06-01", labelled=3)]), id="a label was joined twice"),
    ],
)
def test_labels_must_add_up_too(measured: Measured) -> None:
    assert not display.identities_hold(outcome(measured=measured))


def test_a_broken_identity_is_marked() -> None:
    assert "✗ 10 records" in shown(outcome(counts={**COUNTS, "kept": 7}))
