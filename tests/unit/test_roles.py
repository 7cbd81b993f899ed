"""Roles as they start: what they show before anything has happened."""

from __future__ import annotations

import threading
from pathlib import Path

from prometheus_client import CollectorRegistry

from monitor.clock import ManualClock
from monitor.config.loading import load_settings
from monitor.health import Health
from monitor.roles import Process, start_collector
from monitor.store.ledger import Ledger

SETTINGS = """
models:
  flights: {traffic: {files: "*.jsonl"}, labels: {files: "*.labels"}}
  taxi: {traffic: {files: "*.taxi"}}
"""


def test_a_collector_shows_from_its_start_that_nothing_came_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "driftline.yaml").write_text(SETTINGS)
    settings = load_settings(tmp_path / "driftline.yaml")
    ledger, registry, pause = Ledger.open(settings.store, settings.team), CollectorRegistry(), threading.Event()
    pause.set()
    failures: list[BaseException] = []
    start_collector(Process(settings, ledger, registry, Health(ManualClock()), pause, failures.append))()
    shown = {
        (model, kind): registry.get_sample_value("driftline_collector_records_total", {"model": model, "kind": kind})
        for model in settings.models
        for kind in ("traffic", "labels")
    }
    ledger.close()
    assert shown == {
        ("flights", "traffic"): 0,
        ("flights", "labels"): 0,
        ("taxi", "traffic"): 0,
        ("taxi", "labels"): None,
    }
    assert not failures
