"""Alerts from served rows to messages and the command line: what the monitor judges, the alerter tells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from monitor.alert.alert import Alert, AlertState
from monitor.clock import SystemClock
from monitor.commands.acting import acting_user
from monitor.config.loading import load_settings
from monitor.jobs.alert.alerting import Alerter
from monitor.store import loop_tables as t
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics
from tests.integration.test_mark import Served
from tests.ledgers import HOUR, NOON

Driftline = Callable[..., Any]
SETTINGS = """
store: sqlite:///l.db
models:
  model:
    traffic: {files: requests}
alerts:
  - alert: TrafficChanged
    expr: {findings: 'kind="skew"'}
    for: 2
    labels: {team: ops}
    annotations: {summary: '{{ model }}: {{ findings[0].feature }} in {{ windows | length }} windows'}
receivers:
  ops: {type: webhook, url: 'https://ops.test/hook'}
"""


class Alerted(Served):
    """A served model, with an alerter that looks after each hour."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config.write_text(SETTINGS)
        self.settings = load_settings(self.config)
        self.alerter = Alerter(self.ledger, self.settings)
        self.now = NOON

    def look(self) -> list[Alert]:
        self.now += timedelta(minutes=1)
        lease = self.ledger.leases.acquire("model:model", "monitor", self.now, HOUR)
        assert lease is not None
        return self.alerter.tick("model", lease, self.now)

    def told(self) -> list[dict[str, Any]]:
        with self.ledger.database.read() as connection:
            rows = connection.execute(select(t.outbox.c.document).order_by(t.outbox.c.sequence)).scalars()
            return [json.loads(each) for each in rows]


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Alerted]:
    served = Alerted(tmp_path)
    yield served
    served.ledger.close()


@pytest.mark.timeout(180)
def test_what_moved_for_two_hours_is_told_shown_and_looked_after(driftline: Driftline, model: Alerted) -> None:
    model.hour(6, x=0.0)
    assert not model.look()
    model.hour(5, x=1.0)
    assert [alert.state for alert in model.look()] == [AlertState.PENDING]
    model.hour(4, x=1.0, y=0.5)
    (alert,) = model.look()
    assert (alert.state, alert.labels["team"]) == (AlertState.FIRING, "ops")
    assert {finding["feature"] for finding in alert.findings} == {"x", "y"}
    (document,) = model.told()
    assert document["annotations"] == {"summary": "model: x in 2 windows"}
    assert document["findings"][0]["p_value"] < 1e-6

    config = ("--config", model.config)
    (listed,) = json.loads(driftline("alerts", "list", *config, "--format", "json").stdout)
    assert (listed["fingerprint"], listed["state"], listed["silenced_by"]) == (alert.fingerprint, "firing", None)
    table = driftline("alerts", "list", *config, "--state", "firing").stdout
    assert alert.fingerprint in table
    assert driftline("alerts", "list", *config, "--model", "other").stdout == "no alerts\n"

    assert driftline("alerts", "ack", alert.fingerprint, *config, "--by", "ada").code == 0
    said = driftline("alerts", "assign", alert.fingerprint, *config, "--to", "bob", "--by", "ada").stdout
    assert said == "TrafficChanged of model: assigned to bob\n"
    shown = json.loads(driftline("alerts", "show", alert.fingerprint, *config, "--format", "json").stdout)
    assert [event["to"] for event in shown["events"]] == ["pending", "firing", "firing", "firing"]
    assert (shown["acknowledged_by"], shown["assignee"]) == ("ada", "bob")
    page = driftline("alerts", "show", alert.fingerprint, *config).stdout
    assert "acknowledged by ada; assigned to bob" in page
    assert "x: " in page

    model.hour(3, x=0.0)
    (ended,) = model.look()
    assert (ended.state, ended.assignee) == (AlertState.RESOLVED, "bob")
    assert [each["status"] for each in model.told()] == ["firing", "resolved"]
    refused = driftline("alerts", "ack", alert.fingerprint, *config)
    assert (refused.code, refused.stderr) == (
        2,
        f"driftline: alert {alert.fingerprint} is resolved, not firing: there is nothing to acknowledge\n",
    )
    unknown = driftline("alerts", "show", "0000", *config)
    assert (unknown.code, unknown.stderr) == (2, "driftline: there is no alert 0000; see `driftline alerts list`\n")
    assert model.ledger.audit_break() is None


def test_a_silence_is_added_listed_shown_and_expired(driftline: Driftline, model: Alerted) -> None:
    config = ("--config", model.config)
    matchers = ("--matchers", 'alertname="TrafficChanged"')
    added = driftline("silence", "add", *config, *matchers, "--for", "2h", "--comment", "a sale", "--by", "ada")
    silence = added.stdout.strip()
    (listed,) = json.loads(driftline("silence", "list", *config, "--format", "json").stdout)
    assert (listed["silence_id"], listed["state"], listed["comment"]) == (silence, "active", "a sale")
    assert silence in driftline("silence", "list", *config).stdout
    model.now = SystemClock().now()
    model.hour(5, x=1.0)
    model.hour(4, x=1.0)
    assert [alert.state for alert in model.look()] == [AlertState.FIRING]
    assert not model.told()
    assert "(silenced)" in " ".join(driftline("alerts", "list", *config).stdout.split())
    assert samples(model.ledger) == {("firing", "TrafficChanged", "warning"): 1.0, "silences": 1.0}
    assert driftline("silence", "expire", silence, *config).code == 0
    assert driftline("silence", "list", *config).stdout == "no silences\n"
    assert "expired" in driftline("silence", "list", *config, "--expired").stdout
    model.now = SystemClock().now()
    model.look()
    assert [each["status"] for each in model.told()] == ["firing"]
    assert samples(model.ledger)["silences"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["add", "--matchers", "model", "--for", "2h", "--comment", "x"], "matchers: 'model' is no matcher"),
        (["add", "--matchers", "", "--for", "2h", "--comment", "x"], "one at least must ask for something"),
        (["add", "--matchers", "model=m", "--for", "soon", "--comment", "x"], "'soon' is not a duration"),
        (["add", "--matchers", "model=m", "--for", "9999999d", "--comment", "x"], "would end beyond the year 9999"),
        (["add", "--matchers", "model=m", "--for", "9" * 400 + "d", "--comment", "x"], "longer than any duration"),
        (
            ["add", "--matchers", "model=m", "--for", "2h", "--from", "0001-01-01T00:00:00+05:00", "--comment", "x"],
            "is no RFC 3339 time",
        ),
        (["expire", "nope"], "there is no silence nope"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused_in_a_line(
    driftline: Driftline, model: Alerted, arguments: list[str], expected: str
) -> None:
    ran = driftline("silence", *arguments, "--config", model.config)
    assert ran.code == 2
    assert expected in ran.stderr


def test_who_has_no_name_in_the_system_is_named_by_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert acting_user() == "uid 54321"
    monkeypatch.setenv("LOGNAME", "ada")
    assert acting_user() == "ada"


def samples(ledger: Ledger) -> dict[Any, float]:
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(ledger))
    found: dict[Any, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == "driftline_alerts":
                found[sample.labels["state"], sample.labels["alertname"], sample.labels["severity"]] = sample.value
            elif sample.name == "driftline_silences":
                found["silences"] = sample.value
    return found
