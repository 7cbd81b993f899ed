"""What Prometheus learns of retrains: where they stand, for how long, and whether they helped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain
from monitor.store.ledger import Ledger
from monitor.store.retrain_metrics import retrain_gauges
from tests.ledgers import HOUR, NOON


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


def proposed(ledger: Ledger, model: str) -> Retrain:
    return ledger.retrains.propose(model, created_by="ada", now=NOON, request={})


def values(families: Iterator[Metric], name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        if family.name == name
        for sample in family.samples
    }


def told(ledger: Ledger, name: str) -> dict[tuple[str, ...], float]:
    return values(iter(retrain_gauges(ledger, NOON + 3 * HOUR)), name)


def test_retrains_are_counted_by_their_state_and_timed_in_it(ledger: Ledger) -> None:
    proposed(ledger, "flights")
    ledger.retrains.change(proposed(ledger, "taxi"), Event.CANCEL, "ada", "no", NOON + HOUR)
    assert told(ledger, "driftline_retrains") == {("flights", "proposed"): 1, ("taxi", "cancelled"): 1}
    assert told(ledger, "driftline_retrain_state_seconds") == {("flights",): 3 * 3600}


def test_whether_alerts_cleared_is_told_of_the_retrains_that_promised_it(ledger: Ledger) -> None:
    proposed(ledger, "taxi")
    waiting = proposed(ledger, "flights")
    ledger.retrains.change(waiting, Event.APPROVE, "ada", "yes", NOON, confirmation=Confirmation.NOT_CLEARED)
    assert told(ledger, "driftline_retrain_confirmations") == {("flights", "not_cleared"): 1}
