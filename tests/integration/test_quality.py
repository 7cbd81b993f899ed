"""Quality of served windows, from messages to `driftline quality`: estimated, provisional, final, restated."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from collectors.memory import MemorySource, MemoryStorage, MemoryTopic
from collectors.runner import Collector
from collectors.streams import streams_of
from monitor.clock import ManualClock, SystemClock, rfc3339
from monitor.config.loading import load_settings
from monitor.config.settings import CollectorSettings
from monitor.jobs.monitoring import Monitor
from monitor.metrics import MonitorMetrics
from monitor.store.ledger import Ledger

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = 400
EVAL_CONFIG = """
slicing_specs {}
slicing_specs { feature_keys: "city" }
metrics_specs {
  metrics { class_name: "ExampleCount" }
  metrics { class_name: "AUC" }
  metrics { class_name: "BinaryAccuracy" threshold { value_threshold { lower_bound { value: 0.55 } } } }
}
"""
SETTINGS = """
store: sqlite:///ledger.db
kafka: {bootstrap_servers: ["unused:1"]}
models:
  m:
    traffic: {topic: requests}
    labels: {topic: labels, horizon: 2h}
    windows: {length: 1h, allowed_lateness: 0s, restate_for: 24h, time: replay}
    evaluation: {eval_config: eval.pbtxt, min_labels: 200}
"""

Driftline = Callable[..., Any]
Labels = npt.NDArray[np.int64]


@dataclass
class Service:
    """A served model whose requests and labels are collected and looked at by a monitor, in event time."""

    folder: Path
    requests: MemoryTopic = field(default_factory=lambda: MemoryTopic("requests", "requests-id", [[]]))
    labels: MemoryTopic = field(default_factory=lambda: MemoryTopic("labels", "labels-id", [[]]))
    storage: MemoryStorage = field(default_factory=MemoryStorage)
    more: str = ""
    """Lines of the model's settings."""
    city: Callable[[int], str] = lambda place: "oslo" if place % 2 else "rome"

    def __post_init__(self) -> None:
        (self.folder / "eval.pbtxt").write_text(EVAL_CONFIG)
        (self.folder / "driftline.yaml").write_text(SETTINGS.replace("    evaluation:", f"{self.more}    evaluation:"))
        self.settings = load_settings(self.folder / "driftline.yaml")
        self.ledger = Ledger.open(self.settings.store, "default")
        self.clock = ManualClock(START + 48 * HOUR)
        metrics = MonitorMetrics.on(CollectorRegistry())
        self.monitor = Monitor(self.settings, self.ledger, self.storage, self.clock, "monitor", metrics)
        self._runs = 0

    def serve(self, hour: int, *, drifted: bool = False, rows: int = ROWS) -> Labels:
        """Send the requests of an hour, and return what is true of them; a drifted concept makes the scores worthless."""
        random = np.random.default_rng(hour)
        scores = random.beta(2, 2, rows)
        truth = (random.random(rows) < (0.5 if drifted else scores)).astype(np.int64)
        for place, score in enumerate(scores):
            self.requests.append(
                0,
                json.dumps(
                    {
                        "model": "m",
                        "version": "1",
                        "request_id": f"{hour}-{place}",
                        "event_time": rfc3339(START + HOUR * (hour + place / rows)),
                        "features": {"city": self.city(place)},
                        "prediction": float(score),
                    }
                ).encode(),
            )
        return truth

    def label(self, hour: int, truth: Labels, *, after: timedelta = HOUR, places: Sequence[int] | None = None) -> None:
        """Send labels that came true so long after their requests."""
        for place in range(len(truth)) if places is None else places:
            self.labels.append(
                0,
                json.dumps(
                    {
                        "model": "m",
                        "request_id": f"{hour}-{place}",
                        "label": int(truth[place]),
                        "event_time": rfc3339(START + HOUR * (hour + place / len(truth)) + after),
                    }
                ).encode(),
            )

    def quiet(self, topic: MemoryTopic, hours: float) -> None:
        """Bring one more message of a request that nobody knows, so that event time goes on."""
        body = {"model": "m", "version": "1", "request_id": f"end-{hours}", "event_time": rfc3339(START + HOUR * hours)}
        more = {"label": 0} if topic is self.labels else {"features": {}, "prediction": 0.5}
        topic.append(0, json.dumps({**body, **more}).encode())

    def look(self) -> list[dict[str, Any]]:
        """Collect what was sent, let the monitor look, and return what it logged."""
        self._runs += 1
        Collector(
            f"c{self._runs}",
            streams_of(self.settings),
            CollectorSettings(cut_interval=timedelta(milliseconds=20), max_buffered_rows=1000),
            ledger=self.ledger.cuts,
            storage=self.storage,
            source=MemorySource([self.requests, self.labels]),
            clock=SystemClock(),
            registry=CollectorRegistry(),
        ).run(threading.Event(), until_caught_up=True)
        self.clock.advance(HOUR.total_seconds())
        with capture_logs() as logs:
            self.monitor.tick("m")
        return [dict(each) for each in logs]

    def evaluations(self) -> dict[int, list[dict[str, Any]]]:
        """Return the documents of all revisions, by hour."""
        return {
            int((each.evaluation.key.window.start - START) / HOUR): [
                dict(one.evaluation.document) for one in self.ledger.evaluations.history(each.evaluation.key)
            ]
            for each in self.ledger.evaluations.evaluations("m")
        }


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    served = Service(tmp_path)
    yield served
    served.ledger.close()


def overall(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in document["slices"] if not each["slice"])
    return found


@pytest.mark.timeout(180)
def test_a_window_is_evaluated_early_at_the_horizon_and_again_when_labels_come_after_it(service: Service) -> None:
    truth = service.serve(0)
    service.quiet(service.requests, 1.5)
    service.label(0, truth, after=timedelta(minutes=10), places=range(40))
    service.look()
    (early,) = service.evaluations()[0]
    assert (early["stage"], early["labels"]["labelled"], early["verdict"]) == (
        "provisional",
        40,
        "insufficient_evidence",
    )
    service.label(0, truth, after=timedelta(minutes=90), places=range(40, 390))
    service.quiet(service.labels, 4.0)
    service.look()
    final = service.evaluations()[0][-1]
    assert (final["stage"], final["labels"]["labelled"]) == ("final", 390)
    assert overall(final)["metrics"]["example_count"] == 390
    accuracy = overall(final)["metrics"]["binary_accuracy"]
    assert 0.55 < accuracy < 0.8
    assert final["blessing"] == "BLESSED"
    assert {name["slice"].get("city") for name in final["slices"]} == {None, "oslo", "rome"}
    service.label(0, truth, after=timedelta(minutes=100), places=range(390, 400))
    service.label(0, 1 - truth, after=timedelta(minutes=110), places=[0])
    service.look()
    revisions = service.evaluations()[0]
    assert [each["stage"] for each in revisions] == ["provisional", "final", "restated"]
    assert revisions[-1]["labels"]["corrections"] == 1
    assert revisions[1] == final, "what was said before stays as it was said"
    assert service.ledger.audit_break() is None


@pytest.mark.timeout(300)
def test_loss_of_quality_is_told_and_estimates_say_when_they_are_not_to_be_relied_on(
    service: Service, driftline: Driftline
) -> None:
    logs: list[dict[str, Any]] = []
    for hour in range(14):
        truth = service.serve(hour, drifted=hour >= 10)
        service.quiet(service.requests, hour + 1.0)
        service.label(hour, truth, after=timedelta(minutes=30))
        service.quiet(service.labels, hour + 1.0)
        logs += service.look()
    service.quiet(service.labels, 30.0)
    logs += service.look()
    lost = [each["window_start"] for each in logs if each["event"] == "quality_lost"]
    assert lost == [rfc3339(START + HOUR * hour) for hour in range(10, 14)]
    found = service.evaluations()
    assert [found[hour][-1]["verdict"] for hour in range(8)] == ["insufficient_evidence"] * 8, "8 blocks are needed"
    assert [found[hour][-1]["verdict"] for hour in range(8, 14)] == ["ok", "ok"] + ["flagged"] * 4
    reasons = [each["explanation"] for each in found[12][-1]["reasons"]]
    assert any("binary_accuracy" in reason for reason in reasons), "the threshold of the EvalConfig is judged too"
    estimates = {
        int((key.window.start - START) / HOUR): {each["measure"]: each for each in document["estimates"]}
        for key, document in service.ledger.estimates.estimates("m").items()
    }
    before = estimates[9]["binary_accuracy"]
    assert before["estimable"]
    assert abs(before["value"] - overall(found[9][-1])["metrics"]["binary_accuracy"]) < 0.08
    assert not any(estimates[13][measure]["estimable"] for measure in ("auc", "binary_accuracy")) or (
        estimates[13]["binary_accuracy"]["value"] < 0.6
    ), "the concept drifted three hours before: the estimate is withdrawn, or was made anew"
    ran = driftline("quality", "m", "--config", service.folder / "driftline.yaml", "--lost", "--format", "jsonl")
    assert (ran.code, len(ran.stdout.splitlines())) == (0, 4)
    table = driftline("quality", "m", "--config", service.folder / "driftline.yaml").stdout
    assert "flagged" in table
    assert "auc" in table


def test_labels_that_are_no_numbers_are_told_in_the_ledger_and_stop_nothing(service: Service) -> None:
    service.serve(0)
    service.quiet(service.requests, 1.5)
    for place in range(ROWS):
        record = {"model": "m", "request_id": f"0-{place}", "label": "secret", "event_time": rfc3339(START + HOUR)}
        service.labels.append(0, json.dumps(record).encode())
    service.quiet(service.labels, 4.0)
    logs = service.look()
    (document,) = service.evaluations()[0]
    assert document["verdict"] == "insufficient_evidence"
    assert document["reason"] is not None
    assert "secret" not in json.dumps(logs, default=str), "no payload value is logged"


def test_an_evalconfig_that_is_wrong_is_said_once_and_windows_are_judged_all_the_same(service: Service) -> None:
    truth = service.serve(0)
    service.label(0, truth)
    (service.folder / "eval.pbtxt").write_text("metrics_specs { nonsense: 1 }")
    service.quiet(service.requests, 1.5)
    service.quiet(service.labels, 4.0)
    logs = service.look() + service.look()
    assert [each["event"] for each in logs].count("evaluation_refused") == 1
    assert service.ledger.findings("m"), "the window is judged"
    (service.folder / "eval.pbtxt").write_text(EVAL_CONFIG)
    service.look()
    assert service.evaluations()[0][-1]["stage"] == "final"


def test_predictions_that_are_not_finite_are_left_out_and_counted(service: Service) -> None:
    truth = service.serve(0)
    for place in range(5):
        record = {
            "model": "m",
            "version": "1",
            "request_id": f"bad-{place}",
            "event_time": rfc3339(START + HOUR / 2),
            "features": {"city": "oslo"},
            "prediction": None,
        }
        service.requests.append(0, json.dumps(record).encode())
        label = {"model": "m", "request_id": f"bad-{place}", "label": 1, "event_time": rfc3339(START + HOUR)}
        service.labels.append(0, json.dumps(label).encode())
    service.label(0, truth)
    service.quiet(service.requests, 1.5)
    service.quiet(service.labels, 4.0)
    service.look()
    document = service.evaluations()[0][-1]
    assert document["invalid_predictions"] == 5
    assert overall(document)["labelled"] == ROWS


def test_sampled_rows_count_for_the_traffic_that_they_stand_for(tmp_path: Path) -> None:
    sampling = "    sampling: {max_rows_per_window: 150, floors: [{by: [city], rows: 15}]}\n"
    service = Service(tmp_path, more=sampling, city=lambda place: "oslo" if place % 20 else "rome")
    truth = service.serve(0)
    service.label(0, truth)
    service.quiet(service.requests, 1.0)
    service.quiet(service.labels, 4.0)
    service.look()
    document = service.evaluations()[0][-1]
    assert 150 <= document["labels"]["labelled"] < 200
    assert overall(document)["metrics"]["example_count"] == pytest.approx(ROWS)
    rome = next(each for each in document["slices"] if each["slice"] == {"city": "rome"})
    assert rome["metrics"]["example_count"] == pytest.approx(ROWS / 20)
    assert rome["labelled"] < 30
    assert not any(finding["flagged"] for finding in rome["findings"]), "so few labels are held against no threshold"
    service.ledger.close()
