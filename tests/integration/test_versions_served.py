"""`driftline versions --model`: two versions that serve live traffic, from the files that records and labels come in."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from collectors.runner import Collector
from collectors.sources import open_sources
from monitor.clock import ManualClock, SystemClock, rfc3339
from monitor.config.loading import load_settings
from monitor.config.settings import Settings
from monitor.jobs.monitoring import Monitor
from monitor.metrics import MonitorMetrics
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage
from tests.integration.conftest import Driftline
from tests.integration.test_versions import COLUMNS, START, VERSIONS, traffic

HOURS, HORIZON = 48, 4
SAID = ("metric", "decides", "verdict", "reason", "decided_at", "level", "requests")
NUMBERS = ("stable", "candidate", "estimate", "interval", "fixed_interval")
NOW = datetime.fromtimestamp(START, UTC) + timedelta(days=30)
SETTINGS = f"""
store: sqlite:///state/driftline.db
collector: {{cut_interval: 200ms}}
models:
  clicks:
    traffic: {{files: requests.jsonl}}
    labels: {{files: labels.jsonl, horizon: {HORIZON}h}}
    windows: {{length: 1h, allowed_lateness: 0s, time: replay}}
"""


@dataclass(frozen=True)
class Served:
    """A folder in which two versions' records were collected and judged, and a file of the same rows and labels."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "driftline.yaml"

    def options(self, *more: object) -> tuple[object, ...]:
        named = ("--stable-version", "41", "--candidate-version", "42")
        return ("versions", "--model", "clicks", "-c", self.config, *named, *more)


def moment(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def collect(settings: Settings, ledger: Ledger, windows: int) -> None:
    clock, storage = SystemClock(), open_storage(settings.spans.uri)
    ((streams, source),) = open_sources(settings, clock).values()
    registry = CollectorRegistry()
    Collector(
        "c",
        streams,
        settings.collector,
        ledger=ledger.cuts,
        storage=storage,
        source=source,
        clock=clock,
        registry=registry,
    ).run(threading.Event(), until_caught_up=True)
    metrics = MonitorMetrics.on(CollectorRegistry())
    monitor = Monitor(settings, ledger, storage, ManualClock(NOW), "monitor", metrics)
    assert monitor.tick("clicks") == windows


def serve(folder: Path, rows: pa.Table, hours: int, delay: int = 3_600) -> Served:
    """Serve rows as records, and labels after a delay in seconds; none comes where it is null, or after so many hours."""
    records, labels, known = [], [], []
    end = START + 3_600 * hours
    for row in rows.to_pylist():
        told = row["label"] is not None and row["time"] + delay < end
        known.append(told)
        records.append({
            "model": "clicks", "version": row["version"], "request_id": row["request"], "event_time": moment(row["time"]),
            "features": {"country": row["country"]}, "prediction": row["score"],
        })  # fmt: skip
        if told:
            label = {"model": "clicks", "request_id": row["request"], "label": row["label"]}
            labels.append({**label, "event_time": moment(row["time"] + delay)})
    # A request of a third version, later, closes the windows before it.
    records.append({**records[-1], "version": "43", "request_id": "end", "event_time": moment(end)})
    (folder / "requests.jsonl").write_text(lines(records))
    (folder / "labels.jsonl").write_text(lines(labels))
    (folder / "driftline.yaml").write_text(SETTINGS)
    settings = load_settings(folder / "driftline.yaml")
    ledger = Ledger.open(settings.store, settings.team)
    collect(settings, ledger, 2 * hours)
    ledger.close()
    truth = pc.if_else(pa.array(known), rows.column("label"), None)
    pq.write_table(rows.set_column(rows.column_names.index("label"), "label", truth), folder / "rows.parquet")
    return Served(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Of each tenth request no label comes."""
    rows = traffic(2.0, HOURS)
    labels = pc.if_else(pa.array(np.arange(len(rows)) % 10 != 0), rows.column("label"), None)
    return serve(tmp_path_factory.mktemp("served"), rows.set_column(4, "label", labels), HOURS)


def document(driftline: Driftline, *arguments: object) -> tuple[int, dict[str, Any]]:
    ran = driftline(*arguments, "--format", "json")
    assert ran.stdout, ran.stderr
    return ran.code, json.loads(ran.stdout)


def check_as_from_files(driftline: Driftline, served: Served) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON of the comparison, which says what that of the same rows in a file says."""
    code, found = document(driftline, *served.options())
    files = ("--data", served.folder / "rows.parquet", *VERSIONS, *COLUMNS, "--timestamp-column", "time")
    same, expected = document(driftline, "versions", *files)
    assert (code, found["verdict"], found["problem"]) == (same, expected["verdict"], expected["problem"])
    assert found["seen"] == expected["seen"]
    for one, other in zip(found["metrics"], expected["metrics"], strict=True):
        assert [(name, one[name]) for name in SAID] == [(name, other[name]) for name in SAID]
        for name in NUMBERS:
            assert one[name] == (None if other[name] is None else pytest.approx(other[name], rel=1e-9))
    return code, found


def test_a_worse_version_is_told_as_from_files_of_the_same_rows(served: Served, driftline: Driftline) -> None:
    code, found = check_as_from_files(driftline, served)
    assert (code, found["verdict"], len(found["metrics"])) == (3, "worse", 7)
    assert (found["stable"], found["candidate"]) == ("41 of clicks", "42 of clicks")
    assert found["seen"]["candidate"]["labelled"] < found["seen"]["candidate"]["rows"]


def _scores(random: np.random.Generator, classes: Any) -> list[Any]:
    shares = 0.1 + random.random((len(classes), 3))
    shares[np.arange(len(classes)), classes] += 1.0
    return [[*each] for each in (shares / shares.sum(axis=1, keepdims=True)).tolist()]


@pytest.mark.parametrize("problem", ["multiclass", "classes", "regression"])
def test_predictions_of_every_kind_are_compared_as_from_files(
    problem: str, tmp_path: Path, driftline: Driftline
) -> None:
    """In the first hour nothing was predicted."""
    rows, random = traffic(0.2, hours=4), np.random.default_rng(4)
    classes = random.integers(0, 3, len(rows))
    numbers: list[Any] = (10.0 * random.random(len(rows))).tolist()
    labels, predictions = {
        "multiclass": (classes.tolist(), _scores(random, classes)),
        "classes": (["cat", "dog", "cow"], ["cat", "dog", "cat"]),
        "regression": (numbers, [number + 0.5 for number in numbers]),
    }[problem]
    if problem == "classes":
        labels, predictions = ([names[each] for each in classes] for names in (labels, predictions))
    predictions = [None if place < 200 else each for place, each in enumerate(predictions)]
    rows = rows.set_column(3, "score", pa.array(predictions)).set_column(4, "label", pa.array(labels))
    served = serve(tmp_path, rows, hours=4, delay=60)
    code, found = check_as_from_files(driftline, served)
    assert (code, found["problem"]) == (4, problem)
    assert found["seen"]["stable"]["unanswered"] + found["seen"]["candidate"]["unanswered"] == 200
    assert found["metrics"][0]["estimate"] is not None


def test_what_is_not_labelled_yet_is_told_and_can_be_left_out(served: Served, driftline: Driftline) -> None:
    _, found = document(driftline, *served.options())
    lacking, waiting = found["warnings"]
    unlabelled = [1 - side["labelled"] / side["rows"] for side in (found["seen"]["stable"], found["seen"]["candidate"])]
    assert lacking == (
        f"{unlabelled[0]:.1%} of the stable version's rows and {unlabelled[1]:.1%} of the candidate's have no label, and count "
        "in no loss"
    )
    until = moment(START + 3_600 * (HOURS - HORIZON - 1))
    assert waiting == (
        f"labels may still come for 10 of 96 windows, and early labels are often the easy ones; --until {until} leaves them out"
    )
    _, final = document(driftline, *served.options("--until", until))
    assert len(final["warnings"]) == 1
    _, later = document(driftline, *served.options("--since", until))
    both = [each["seen"]["stable"]["rows"] for each in (final, later)]
    assert sum(both) == found["seen"]["stable"]["rows"]


def test_metrics_that_need_all_rows_are_left_out_where_there_are_too_many(
    served: Served, driftline: Driftline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.jobs.versions_served.KEPT_ROWS", 5_000)
    code, found = document(driftline, *served.options())
    assert (code, [metric["metric"] for metric in found["metrics"]]) == (3, ["log_loss", "brier", "error"])
    assert found["warnings"][-1].startswith("left out: auc, precision, recall, f1; they take all labelled rows at once")
    ran = driftline(*served.options("--metric", "auc", "--looks", "1"))
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.startswith(
        "driftline: auc takes all labelled rows at once, and there are more than 5,000: give a later"
    )


def test_it_is_shown_as_a_table(served: Served, driftline: Driftline) -> None:
    ran = driftline(*served.options("--output", served.folder / "report.txt"))
    assert (ran.code, ran.stdout) == (3, "")
    shown = (served.folder / "report.txt").read_text(encoding="utf-8")
    assert "candidate  42 of clicks · " in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ("--candidate-version", "44"),
            "driftline: no window of version '44' of clicks was judged; versions with judged windows: 41, 42",
            id="a version that served nothing",
        ),
        pytest.param(
            ("--since", "2026-02-01"),
            "driftline: no window of version '41' of clicks was judged since 2026-02-01T00:00:00Z; versions with judged "
            "windows: none",
            id="no window since then",
        ),
        pytest.param(
            ("--candidate-version", "41"),
            "driftline: the stable version and the candidate are both '41'",
            id="the same version twice",
        ),
        pytest.param(("--model", "chats"), "has no model 'chats'; it has: clicks", id="no such model"),
        pytest.param(("--problem", "multiclass"), "multiclass problem cannot be single numbers", id="another problem"),
        pytest.param(("--metric", "rmse"), "there is no metric 'rmse' of a binary problem", id="no such metric"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    served: Served, driftline: Driftline, arguments: tuple[str, ...], said: str
) -> None:
    ran = driftline(*served.options(*arguments))
    assert (ran.code, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "m", "--stable-version", "1"), "Say where the two versions' answers are"),
        (("--model", "m", *VERSIONS[2:], "--paired"), "--paired is for files; it does not go with --model"),
        (("--model", "m", *VERSIONS[2:], "--label-column", "y"), "--label-column is for files; it does not go with"),
        (("--stable", "x", "--candidate", "y", "--since", "2026-01-01"), "--since goes with --model"),
        (("--model", "m", *VERSIONS[2:], "--since", "noon"), "'noon' is no RFC 3339 time"),
    ],
    ids=["one version", "pairs", "a column", "files of a time", "no time"],
)
def test_options_of_files_and_of_traffic_do_not_mix(
    driftline: Driftline, arguments: tuple[str, ...], said: str
) -> None:
    ran = driftline("versions", *arguments)
    assert ran.code == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
