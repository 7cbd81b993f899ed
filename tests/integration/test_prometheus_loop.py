"""From a metric to Driftline's alerts: a real Prometheus fires, a real Alertmanager posts, and what it repeats counts once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.api.application import application
from monitor.api.serving import serve_api
from monitor.clock import SystemClock
from monitor.config.loading import parse_settings
from monitor.health import Health
from monitor.store.ledger import Ledger
from tests.conftest import free_port
from tests.integration.prometheus import Watching, eventually, watching
from tests.loopback import http_server

SPOKEN = "of-the-alertmanager-alone"
SETTINGS = f"models: {{flights: {{traffic: {{files: logs}}}}}}\napi: {{alertmanager_token: {SPOKEN}}}\n"
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

    def alert(self) -> Alert | None:
        return next(iter(self.ledger.alerts.list("flights")), None)

    def received(self, outcome: str) -> float:
        return self.registry.get_sample_value("driftline_api_alerts_received_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    clock, registry, address = SystemClock(), CollectorRegistry(), f"127.0.0.1:{free_port()}"
    ledger = Ledger.open(f"sqlite:///{tmp_path}/driftline.db", "default")
    settings = parse_settings(SETTINGS, "driftline.yaml", {})
    stop = serve_api(address, application(settings, ledger, registry, Health(clock), clock))
    try:
        yield Api(f"http://{address}/v1/alerts/alertmanager", ledger, registry)
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


def test_a_wrong_token_is_refused_and_nothing_is_stored(tmp_path: Path, api: Api) -> None:
    with watching(tmp_path, [RULE], api.url, f"not-{SPOKEN}") as watched:
        gauge = latency(watched)
        gauge.labels("flights").set(3)
        refused = {"reason": "wrong"}
        eventually(lambda: api.registry.get_sample_value("driftline_api_refused_total", refused), "a post is refused")
        assert api.alert() is None
