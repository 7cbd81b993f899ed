"""`driftline retrain`, as a person uses it beside a monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitor.act.decision import Decided, Decision, Outcome, Rule
from monitor.act.lifecycle import Event
from monitor.clock import ManualClock
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics
from tests.integration.conftest import Driftline
from tests.ledgers import HOUR, NOON

SETTINGS = """
kafka: {bootstrap_servers: ["localhost:9092"]}
models:
  flights:
    traffic: {topic: flights.requests, format: json}
    retrain: {trainer: {type: kafka, topic: retrains}, approval: APPROVAL}
  quiet:
    traffic: {topic: quiet.requests, format: json}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, "none")
    return tmp_path


def configure(folder: Path, approval: str) -> None:
    (folder / "driftline.yaml").write_text(SETTINGS.replace("APPROVAL", approval))


def listed(driftline: Driftline, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(driftline("retrain", "list", "--format", "json", *options).stdout)
    return found


@pytest.mark.usefixtures("folder")
def test_a_retrain_by_hand_from_asking_for_it_to_its_end(driftline: Driftline) -> None:
    assert driftline("retrain", "list").stdout == "no retrains\n"
    asked = driftline("retrain", "trigger", "flights", "--reason", "new [carrier]", "--by", "ada")
    (retrain,) = listed(driftline)
    assert asked.stdout == f"retrain {retrain['retrain_id']} of flights is approved\n"
    assert (retrain["created_by"], retrain["reason"]) == ("ada", "new [carrier]")
    again = driftline("retrain", "trigger", "flights", "--reason", "once more")
    assert (again.code, again.stdout) == (2, "")
    assert f"flights is being retrained already, by {retrain['retrain_id']}" in again.stderr
    cancelled = driftline("retrain", "cancel", retrain["retrain_id"], "--reason", "wrong labels", "--by", "bob")
    assert cancelled.stdout == f"retrain {retrain['retrain_id']} of flights is cancelled\n"
    shown = driftline("retrain", "show", retrain["retrain_id"]).stdout
    assert "new [carrier]" in shown, "what looks like markup is text"
    assert "cancelled by bob" in shown
    assert listed(driftline, "--state", "cancelled") != []
    assert listed(driftline, "--state", "running") == []


def test_one_that_needs_approval_waits_for_it(folder: Path, driftline: Driftline) -> None:
    configure(folder, "required")
    said = driftline("retrain", "trigger", "flights", "--reason", "x").stdout
    (retrain,) = listed(driftline)
    assert f"driftline retrain approve {retrain['retrain_id']}" in said
    approved = driftline("retrain", "approve", retrain["retrain_id"], "--by", "ada")
    assert approved.stdout.endswith("is approved\n")
    document = json.loads(driftline("retrain", "show", retrain["retrain_id"], "--format", "json").stdout)
    assert document["details"]["approval"]["by"] == "ada"
    assert [event["to"] for event in document["events"]] == ["proposed", "approved"]


@pytest.mark.usefixtures("folder")
def test_the_same_key_asks_once(driftline: Driftline) -> None:
    arguments = ("retrain", "trigger", "flights", "--key", "march", "--reason")
    assert driftline(*arguments, "x").stdout == driftline(*arguments, "x").stdout
    refused = driftline(*arguments, "y")
    assert (refused.code, "another request before" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trigger", "flihgts", "--reason", "x"), "has no model 'flihgts'"),
        (("trigger", "quiet", "--reason", "x"), "model 'quiet' has no `retrain` settings"),
        (("show", "r0"), "there is no retrain 'r0'; see: driftline retrain list"),
        (("approve", "r0"), "there is no retrain 'r0'"),
        (("cancel", "r0"), "there is no retrain 'r0'"),
        (("confirm", "r0"), "there is no retrain 'r0'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(driftline: Driftline, arguments: tuple[str, ...], says: str) -> None:
    ran = driftline("retrain", *arguments)
    assert (ran.code, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_decisions_and_numbers(driftline: Driftline) -> None:
    assert driftline("retrain", "decisions").stdout == "no decisions\n"
    ledger = Ledger.open("sqlite:///state/driftline.db", "default")
    try:
        held = Decision(Outcome.HELD, Rule.QUIET_HOURS, "quiet hours 22:00-06:00 (UTC)", "retrain")
        for _ in range(3):
            ledger.decisions.record([Decided("night", "f" * 16, 1, "flights", held)], NOON)
        retrain = ledger.retrains.propose("flights", created_by="ada", now=NOON, request={})
        ledger.retrains.change(retrain, Event.APPROVE, "ada", "yes", NOON + HOUR)
        registry = CollectorRegistry()
        registry.register(LedgerMetrics(ledger, ManualClock(NOON + 3 * HOUR)))
        numbers = generate_latest(registry).decode().splitlines()
    finally:
        ledger.close()
    (decision,) = json.loads(driftline("retrain", "decisions", "--policy", "night", "--format", "json").stdout)
    assert (decision["rule"], decision["times"], decision["retrain_id"]) == ("quiet_hours", 3, None)
    assert "night:" in driftline("retrain", "decisions", "--model", "flights").stdout
    assert 'driftline_retrains{model="flights",state="approved"} 1.0' in numbers
    assert 'driftline_retrain_state_seconds{model="flights"} 7200.0' in numbers
    assert 'driftline_decisions{outcome="held",policy="night"} 3.0' in numbers
