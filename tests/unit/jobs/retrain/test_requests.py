"""What a trainer is asked: everything that it needs, and nothing of what the traffic holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema_rs
import pytest

from collectors.memory import MemoryStorage
from monitor.act.retrain import Retrain, RetrainState
from monitor.act.trainer_request import request_of
from monitor.alert.alert import Alert, AlertState, Origin
from monitor.clock import to_micros
from monitor.config.settings import Settings, WindowSettings
from monitor.cuts import Partition
from monitor.errors import InputError
from monitor.jobs.retrain import requests as retrain_requests
from monitor.jobs.retrain.requests import request_for
from monitor.outside.candidates.resolve import below
from monitor.records import SpanKind
from monitor.store.ledger import Ledger
from monitor.window.label_due import Look, Stage
from tests.ledgers import EVALUATION, HOUR, NOON, Hand, held, key

SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "retrain-request.schema.json").read_text(encoding="utf-8"))
WINDOWS = WindowSettings(length=HOUR, allowed_lateness=timedelta(0))
LOOK = Look(1, 7, 1, NOON, NOON)
ALERT = Alert(
    labels={"alertname": "QualityLost", "model": "model", "severity": "critical"},
    annotations={"summary": "origin=SECRET-AIRPORT is worse"},
    state=AlertState.FIRING,
    origin=Origin.DRIFTLINE,
    updated_at=NOON,
    episode=2,
    fired_at=NOON - HOUR,
    findings=[
        {
            "kind": "quality",
            "feature": None,
            "reference": "usual",
            "measure": "auc",
            "value": 0.5,
            "threshold": 0.7,
            "p_value": float("nan"),
            "slice": {"origin": "SECRET-AIRPORT"},
            "version": "1",
            "window_start": "2026-03-01T07:00:00Z",
            "window_end": "2026-03-01T08:00:00Z",
            "explanation": "among origin=SECRET-AIRPORT",
            "examples": ["SECRET-ROW"],
        }
    ],
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger in which nothing is written."""
    opened = Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db", "default")
    yield opened
    opened.close()


def settings(**more: Any) -> Settings:
    trainer = {"type": "command", "command": ["true"]}
    model = {
        "traffic": {"files": "x"},
        "labels": {"files": "y", "horizon": "2h"},
        "retrain": {"trainer": trainer, "data": "6h"},
    }
    return Settings.model_validate(
        {"spans": {"uri": "file:/state/spans"}, "candidates": "file:/models", "models": {"model": model}, **more}
    )


def filled(ledger: Ledger) -> None:
    """Commit traffic of nine hours and labels of some, and let the watermark stand at the end of the last but one."""
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(hour), 10 + hour) for hour in range(9, 0, -1)], newest=NOON - HOUR))
    hand.commit(hand.cut([(key(3, "2"), 5)]))
    labels = Hand.on(ledger.cuts, Partition("labels-id", 0, "labels"))
    labels.commit(labels.cut([(key(hour, ""), 4) for hour in (9, 6, 2)], kind=SpanKind.LABELS))
    ledger.windows.advance("model", "requests", WINDOWS, held(ledger), NOON)


def asked(ledger: Ledger, alert: Alert | None = None, reason: str = "because", **more: Any) -> dict[str, Any]:
    request = request_for(ledger, MemoryStorage(), settings(**more), "model", alert, reason, NOON)
    jsonschema_rs.validate(SCHEMA, json.loads(json.dumps(request, allow_nan=False)))
    return request


def test_it_says_why_without_a_value_of_the_traffic(ledger: Ledger) -> None:
    filled(ledger)
    request = asked(ledger, ALERT, "quality fell")
    assert request["why"]["reason"] == "quality fell"
    assert request["why"]["alert"] == {
        "name": "QualityLost",
        "fingerprint": ALERT.fingerprint,
        "episode": 2,
        "severity": "critical",
        "origin": "driftline",
        "labels": dict(ALERT.labels),
        "fired_at": "2026-03-01T11:00:00Z",
    }
    finding = request["why"]["findings"][0]
    assert (finding["measure"], finding["value"], finding["p_value"], finding["slice"]) == (
        "auc",
        0.5,
        None,
        ["origin"],
    )
    assert "SECRET" not in json.dumps(request)


def test_it_says_on_what_up_to_the_watermark(ledger: Ledger) -> None:
    filled(ledger)
    data = asked(ledger)["data"]
    assert (data["start"], data["end"]) == ("2026-03-01T05:00:00Z", "2026-03-01T11:00:00Z")
    traffic = [span for span in data["spans"] if span["kind"] == "traffic"]
    assert sorted((span["window_start"][11:13], span["version"], span["rows"]) for span in traffic) == [
        ("05", "1", 17),
        ("06", "1", 16),
        ("07", "1", 15),
        ("08", "1", 14),
        ("09", "1", 13),
        ("09", "2", 5),
        ("10", "1", 12),
    ]
    labels = [span for span in data["spans"] if span["kind"] == "labels"]
    assert [span["window_start"][11:13] for span in labels] == ["03", "06", "10"]
    assert data["listed"] == 10
    assert data["total"] == {"traffic": {"spans": 7, "rows": 92}, "labels": {"spans": 3, "rows": 12}}
    assert data["versions"] == {"1": 87, "2": 5}
    assert all(span["uri"].startswith("file:///state/spans/") for span in data["spans"])
    assert data["folders"]["late"] == "file:///state/spans/late/model"


def test_it_says_how_many_of_the_rows_have_a_label(ledger: Ledger) -> None:
    filled(ledger)
    for hour, labelled in ((9, 9), (5, 6), (3, 2)):
        evaluation = replace(EVALUATION, key=key(hour), labelled=labelled, stage=Stage.FINAL)
        ledger.evaluations.record(evaluation, LOOK, held(ledger), NOON)
    found = asked(ledger)["data"]["labelled"]
    assert found == {"windows": 2, "predictions": 20, "labelled": 8, "coverage_ratio": 0.4, "watermark": None}


def test_it_names_the_baseline(ledger: Ledger) -> None:
    assert asked(ledger)["baseline"] is None
    for number in (1, 2):
        ledger.baselines.add(
            "model", {}, {}, {"source": f"file {number}"}, rows=7, actor="me", activate=number == 1, now=NOON
        )
    assert asked(ledger)["baseline"] == {
        "number": 1,
        "rows": 7,
        "created_at": "2026-03-01T12:00:00Z",
        "created_by": "me",
        "provenance": {"source": "file 1"},
    }


def test_before_any_traffic_it_is_about_the_time_until_now(bare: Ledger) -> None:
    data = asked(bare)["data"]
    assert (data["end"], data["spans"], data["labelled"]["coverage_ratio"]) == ("2026-03-01T12:00:00Z", [], None)


def test_more_spans_than_can_be_listed_are_told_by_folder(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(ledger)
    monkeypatch.setattr(retrain_requests, "MAX_SPANS", 9)
    data = asked(ledger)["data"]
    assert (data["spans"], data["listed"], data["total"]["traffic"]["spans"]) == ([], 0, 7)
    monkeypatch.setattr(retrain_requests, "MAX_SPANS", 10)
    assert asked(ledger)["data"]["listed"] == 10
    monkeypatch.setattr(retrain_requests, "MAX_BYTES", 2_000)
    assert asked(ledger)["data"]["listed"] == 0


def test_what_is_expected_lies_below_the_candidates_and_has_a_new_version(bare: Ledger) -> None:
    request = asked(bare)
    assert request["expected"]["candidate_uri"] == "file:///models/model/{retrain_id}"
    assert int(request["expected"]["version"]) == to_micros(NOON) // 1_000_000


def test_a_version_is_larger_than_any_that_is_known(ledger: Ledger) -> None:
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(1, "20260301120000"), 10), (key(1, "v9"), 1), (key(1, "9" * 40), 1)], newest=NOON))
    assert asked(ledger)["expected"]["version"] == "20260301120001"


@pytest.mark.parametrize("model", ["model", "a/b", "..", "ü x", "50%", "x" * 300, "{retrain_id}"])
@pytest.mark.parametrize("candidates", ["file:/models", "file:///models", "/models", "models", "s3://bucket/models/"])
def test_whatever_the_model_is_called_its_candidate_is_found_where_it_was_asked_for(
    bare: Ledger, model: str, candidates: str
) -> None:
    configured = settings(candidates=candidates)
    configured = configured.model_copy(update={"models": {model: configured.models["model"]}})
    request = request_for(bare, MemoryStorage(), configured, model, None, "", NOON)
    retrain = Retrain("a1b2", model, RetrainState.SUBMITTED, 1, "me", NOON, NOON, NOON, request=request)
    uri = request_of(retrain)["expected"]["candidate_uri"]
    parts = below(candidates, uri)
    assert len(parts) == 2
    assert parts[1] == "a1b2"


def test_a_name_of_a_file_is_put_into_its_address_as_it_is(ledger: Ledger) -> None:
    filled(ledger)
    uri = asked(ledger, spans={"uri": "file:/a b/50%25"})["data"]["spans"][0]["uri"]
    assert unquote(urlsplit(uri).path).startswith("/a b/50%/traffic/")


def test_it_says_where_to_report_once_the_retrain_has_an_id(bare: Ledger) -> None:
    assert asked(bare)["callbacks"] == {}
    request = asked(bare, api={"public_url": "https://drift.example/x/"}, alert=ALERT)
    request["why"]["reason"] = "{retrain_id}"
    retrain = Retrain("a1b2", "model", RetrainState.SUBMITTED, 1, "me", NOON, NOON, NOON, request=request)
    told = request_of(retrain)
    assert told["callbacks"] == {
        "retrain": "https://drift.example/x/v1/retrains/a1b2",
        "heartbeat": "https://drift.example/x/v1/retrains/a1b2/heartbeat",
        "complete": "https://drift.example/x/v1/retrains/a1b2/complete",
        "fail": "https://drift.example/x/v1/retrains/a1b2/fail",
    }
    assert told["retrain_id"] == "a1b2"
    assert told["why"]["reason"] == "{retrain_id}"
    assert request["expected"]["candidate_uri"].endswith("{retrain_id}")
    jsonschema_rs.validate(SCHEMA, told)


def test_of_a_long_alert_the_strongest_is_told(bare: Ledger) -> None:
    labels = {f"label{number:03}": "x" * 5_000 for number in range(200)}
    many = replace(ALERT, labels={**labels, "alertname": "A"}, findings=[dict(ALERT.findings[0])] * 500)
    why = asked(bare, many, "y" * 9_000)["why"]
    assert (len(why["findings"]), why["findings_total"], len(why["reason"])) == (20, 500, 1_000)
    assert len(json.dumps(why)) < 100_000


def test_of_a_model_that_nobody_trains_nothing_is_asked(bare: Ledger) -> None:
    with pytest.raises(InputError, match="nothing says who trains it"):
        request_for(bare, MemoryStorage(), settings(), "other", None, "", NOON)
