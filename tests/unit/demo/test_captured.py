from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from collectors.capture.metrics import CaptureMetrics, Dropped
from monitor.clock import ManualClock
from monitor.demo.broker import free_port
from monitor.demo.captured import Captured, captured, served
from monitor.health import Health
from monitor.serving import serve
from tests.unit.demo.servers import Adding, model_server
from tests.unit.demo.test_server import PREDICT, ask, body_of


@pytest.fixture
def proxy() -> Iterator[tuple[str, CaptureMetrics]]:
    registry, address = CollectorRegistry(), f"127.0.0.1:{free_port()}"
    stop = serve(address, registry, Health(ManualClock()))
    yield address, CaptureMetrics.on(registry)
    stop()


def test_what_became_of_the_answers_is_read_from_the_proxys_metrics(proxy: tuple[str, CaptureMetrics]) -> None:
    address, metrics = proxy
    assert captured(address) == Captured()
    metrics.sent.inc(7)
    metrics.sampled_out.inc(3)
    metrics.dropped(Dropped.TOO_LARGE, 2)
    metrics.dropped(Dropped.BUFFER_FULL)
    metrics.failed.inc(4)
    counts = captured(address)
    assert counts == Captured(sent=7, sampled_out=3, dropped=3, failed=4)
    assert counts.settled == 17


def test_the_model_server_counts_what_it_answered_well() -> None:
    with model_server(Adding()) as address:
        assert served(address) == 0
        for body in (body_of(1), body_of(2, 3), body_of(-1)):
            ask(address, "POST", PREDICT, body)
        assert served(address) == 2


def test_nobody_there_has_counted_nothing_that_is_known() -> None:
    address = f"127.0.0.1:{free_port()}"
    assert (captured(address), served(address)) == (None, None)
