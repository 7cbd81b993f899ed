"""From a metric to Driftline's alerts: a real Prometheus fires, a real Alertmanager posts, and what it repeats counts once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.api.application import application
from monitor.api.serving import serve_api
from monitor.clock import SystemClock
from monitor.config.loading import parse_settings
from monitor.config.settings import Settings
from monitor.health import Health
from monitor.loop import build_loop
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage
from tests.conftest import free_port
from tests.integration.prometheus import Watching, eventually, watching
from tests.loopback import http_server

SPOKEN = "of-the-alertmanager-alone"
SETTINGS = f"""\
store: sqlite:///FOLDER/driftline.db
spans: {{uri: "file:FOLDER/spans"}}
models:
  flights:
    traffic: {{files: logs}}
    retrain: {{trainer: {{type: command, command: [cat], folder: FOLDER}}, min_labelled_rows: 0}}
policies: [{{name: retrain, match: alertname="LatencyHigh", action: retrain}}]
api: {{alertmanager_token: {SPOKEN}}}
"""
RULE = {
    "alert": "LatencyHigh",
    "expr": "test_latency_seconds > 1",
    "labels": {"severity": "critical"},
    "annotations": {"summary": "{{ $labels.model }}: {{ $value }} s a request"},
}


def latency(watched: Watching) -> Gauge:
    """The metric that crosses: of one model, well at first."""
    gauge = Gauge("test_latency_seconds", "For a test.", ["model"], registry=watched.registry)
    gauge.labels("flights").set(0.2)
    eventually(lambda: watched.asked("test_latency_seconds") == [0.2], "the metric is scraped")
    return gauge


@dataclass
class Api:
    """The API, served, with its ledger."""

    url: str
    ledger: Ledger
    registry: CollectorRegistry
    settings: Settings

    def alert(self) -> Alert | None:
        return next(iter(self.ledger.alerts.list("flights")), None)

    def received(self, outcome: str) -> float:
        return self.registry.get_sample_value("driftline_api_alerts_received_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    clock, registry, address = SystemClock(), CollectorRegistry(), f"127.0.0.1:{free_port()}"
    ledger = Ledger.open(f"sqlite:///{tmp_path}/driftline.db", "default")
    settings = parse_settings(SETTINGS.replace("FOLDER", str(tmp_path)), "driftline.yaml", {})
    stop = serve_api(address, application(settings, ledger, registry, Health(clock), clock))
    try:
        yield Api(f"http://{address}/v1/alerts/alertmanager", ledger, registry, settings)
    finally:
        stop()
        ledger.close()


def test_an_alertmanager_posts_as_we_expect(tmp_path: Path) -> None:
    with http_server() as receiver, watching(tmp_path, [RULE], f"{receiver.url}/hook", SPOKEN) as watched:
        gauge = latency(watched)
        assert receiver.requests == []
        gauge.labels("flights").set(3)
        eventually(lambda: len(receiver.requests) >= 2, "the alert is posted, and again")
        gauge.labels("flights").set(0.1)
        eventually(lambda: b'"status":"resolved"' in receiver.requests[-1].body, "its end is posted")
    posted = [json.loads(request.body) for request in receiver.requests]
    assert {request.headers["authorization"] for request in receiver.requests} == {f"Bearer {SPOKEN}"}
    assert {each["version"] for each in posted} == {"4"}
    assert [each["status"] for each in posted][:2] == ["firing", "firing"]
    assert len({each["alerts"][0]["startsAt"] for each in posted}) == 1
    assert posted[0]["alerts"][0]["labels"]["model"] == "flights"


def test_a_metric_that_crosses_is_an_alert_once_until_it_is_well_again(tmp_path: Path, api: Api) -> None:
    with watching(tmp_path, [RULE], api.url, SPOKEN) as watched:
        gauge = latency(watched)
        assert api.alert() is None
        gauge.labels("flights").set(3)
        firing = eventually(api.alert, "the alert is in the ledger")
        eventually(lambda: api.received("repeated") >= 2, "it is posted again and again")
        assert api.received("taken") == 1
        assert api.alert() == firing
        assert (firing.state, firing.origin, firing.episode) == (AlertState.FIRING, Origin.ALERTMANAGER, 1)
        assert (firing.name, firing.labels["severity"]) == ("LatencyHigh", "critical")
        assert firing.annotations["summary"] == "flights: 3 s a request"

        gauge.labels("flights").set(0.1)
        eventually(lambda: not api.ledger.alerts.firing(), "the alert ends")
        gauge.labels("flights").set(5)
        again = eventually(lambda: next(iter(api.ledger.alerts.firing()), None), "it fires anew")
        assert (again.fingerprint, again.episode) == (firing.fingerprint, 2)


def test_a_metric_that_crosses_starts_a_retrain_once(tmp_path: Path, api: Api) -> None:
    storage, clock = open_storage(api.settings.spans.uri), SystemClock()
    with ThreadPoolExecutor(1) as executor, watching(tmp_path, [RULE], api.url, SPOKEN) as watched:
        loops = [build_loop(api.settings, api.ledger, storage, clock, executor, {}) for _ in range(2)]

        def looked() -> bool:
            """Two monitors look at the model, the second while the first has its lease."""
            for holder, loop in zip(("one", "two"), loops, strict=True):
                lease = api.ledger.leases.acquire("model:flights", holder, clock.now(), timedelta(minutes=1))
                if lease is not None:
                    loop.tick("flights", lease)
            return bool(api.ledger.retrains.list("flights"))

        gauge = latency(watched)
        assert not looked()
        gauge.labels("flights").set(3)
        eventually(looked, "a retrain begins")
        repeated = api.received("repeated")
        eventually(
            lambda: looked() and api.received("repeated") >= repeated + 2, "the alert is posted again, and again"
        )
    (retrain,) = api.ledger.retrains.list("flights")
    firing = api.alert()
    assert firing is not None
    assert (retrain.policy, retrain.fingerprint, retrain.episode) == ("retrain", firing.fingerprint, 1)
    assert retrain.request["why"]["alert"]["origin"] == "alertmanager"
    decided = api.ledger.decisions.list("flights")
    assert [str(each.decided.decision.outcome) for each in decided].count("acted") == 1


def test_a_wrong_token_is_refused_and_nothing_is_stored(tmp_path: Path, api: Api) -> None:
    with watching(tmp_path, [RULE], api.url, f"not-{SPOKEN}") as watched:
        gauge = latency(watched)
        gauge.labels("flights").set(3)
        refused = {"reason": "wrong"}
        eventually(lambda: api.registry.get_sample_value("driftline_api_refused_total", refused), "a post is refused")
        assert api.alert() is None
