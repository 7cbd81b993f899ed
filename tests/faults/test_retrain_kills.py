"""A monitor that is killed between any two of its writes, or beside any step outside: the loop ends as if it had not been."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from monitor.act.retrain import RetrainState
from monitor.act.steps import CanaryVerdict, Progress
from monitor.alert.alert import AlertState
from monitor.errors import TransientError
from monitor.jobs.act.acting import Actor
from monitor.jobs.retrain import events as retrain_events
from monitor.store import loop_tables as t
from monitor.store.ledger import Ledger
from tests.conftest import ROOT
from tests.ledgers import NOON
from tests.unit.act.steps import MemoryGpus
from tests.unit.jobs.retrain_world import MODEL, World, alert, opened, request, settings_of

POLICY = {"name": "again", "match": 'alertname="QualityLost"', "action": "retrain", "cooldown": "1h"}
ANSWERS: dict[str, list[object]] = {
    "submit": [TransientError("connection refused"), ""],
    "poll": [Progress.RUNNING, Progress.COMPLETED],
    "watch": [CanaryVerdict.WAITING, CanaryVerdict.GOOD],
}


class Killed(BaseException):
    """The process has ended here."""


@dataclass
class Axe:
    """Falls at the chosen one of all places where a process can end: before each write, and about each step outside."""

    at: int | None = None
    seen: list[str] = field(default_factory=list)

    def place(self, name: str) -> None:
        self.seen.append(name)
        if len(self.seen) - 1 == self.at:
            raise Killed(name)

    def watch(self, ledger: Ledger) -> None:
        @event.listens_for(ledger.database.engine, "before_cursor_execute")
        def _before(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith(("INSERT", "UPDATE", "DELETE")):
                self.place(statement.split("(", maxsplit=1)[0][:40])


@dataclass
class Loop:
    """The world with policies: one look decides, and takes the retrain a step further."""

    world: World
    cancels_when: RetrainState | None = None
    fires: bool = True

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.world.restart()
        gpus = {"serving": MemoryGpus(self.world.outside)}
        self.actor = Actor(self.world.ledger, self.world.settings, request, gpus)

    def look(self) -> None:
        world = self.world
        self.actor.tick(MODEL, world.held(), world.now)
        found = world.ledger.retrains.list(MODEL)
        if self.cancels_when is not None and found and found[0].state is self.cancels_when:
            retrain_events.cancel(world.ledger, found[0].retrain_id, "ada", world.now)
        world.look()
        if self.fires and world.newest().state is RetrainState.PROMOTED:
            world.ledger.alerts.take(alert(AlertState.RESOLVED), world.now)
            self.fires = False

    def run(self, killed: Callable[[], None] = lambda: None) -> None:
        """Look until nothing is left to do, for at most two minutes; whoever is killed is started again."""
        for _ in range(120):
            try:
                self.look()
                if self._over():
                    break
            except Killed:
                killed()
                self.restart()
        assert self.world.ledger.retrains.live(MODEL) is None, self.world.newest().reason
        assert self.world.ledger.retrains.to_look_after(MODEL) == []

    def _over(self) -> bool:
        retrains = self.world.ledger.retrains
        return retrains.live(MODEL) is None and not retrains.to_look_after(MODEL)

    def end(self) -> dict[str, Any]:
        """Return what must be the same however often somebody was killed."""
        world, ledger = self.world, self.world.ledger
        retrain = world.newest()
        with ledger.database.read() as connection:
            messages = connection.execute(select(func.count()).select_from(t.outbox)).scalar_one()
        assert ledger.audit_break() is None
        return {
            "retrains": len(ledger.retrains.list(MODEL)),
            "state": retrain.state,
            "reason": retrain.reason.replace(retrain.retrain_id, "ID"),
            "confirmation": retrain.confirmation,
            "events": [
                (each.document["event"], each.from_state, str(each.to_state))
                for each in ledger.retrains.events(retrain.retrain_id)
            ],
            "actions": [
                str(each.decided.decision.outcome) for each in ledger.decisions.list(MODEL) if each.decided.retrain_id
            ],
            "messages": messages,
            "runs": len(world.outside.runs),
            "stopped": len(world.outside.stopped),
            "canaries": len(world.outside.canaries),
            "stable": world.outside.stable == retrain.retrain_id,
        }


WAYS: dict[str, tuple[Mapping[str, list[object]], RetrainState | None, dict[str, Any]]] = {
    "promoted": (ANSWERS, None, {}),
    "promoted without a canary": (ANSWERS, None, {"canary": None, "headroom": None}),
    "rolled back": ({"watch": [CanaryVerdict.BAD]}, None, {"headroom": None}),
    "rejected": ({"judge": ["rejected"]}, None, {"headroom": None}),
    "cancelled while it ran": ({"poll": [Progress.RUNNING]}, RetrainState.RUNNING, {"headroom": None}),
    "cancelled as a canary": ({"watch": [CanaryVerdict.WAITING]}, RetrainState.CANARY, {"headroom": None}),
}


def told(folder: Path, way: str, axe: Axe) -> tuple[dict[str, Any], list[str]]:
    """Tell one way to its end, with an axe; returns where that fell."""
    answers, cancels, retrain = WAYS[way]
    folder.mkdir()
    fell: list[str] = []
    with opened(folder) as ledger:
        ledger.alerts.take(alert(), NOON)
        world = World(ledger, settings_of(policies=[POLICY], **retrain))
        world.outside.answers = dict(answers)
        loop = Loop(world, cancels)
        world.held()
        axe.watch(ledger)
        world.outside.pause = axe.place
        loop.run(lambda: fell.append(axe.seen[-1]))
        ended = loop.end()
    for path in folder.iterdir():
        path.unlink()
    return ended, fell


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way == "rejected" else pytest.mark.slow) for way in WAYS]
)
def test_a_kill_at_any_place_changes_nothing_of_the_end(tmp_path: Path, way: str) -> None:
    counted = Axe()
    expected, _ = told(tmp_path / "whole", way, counted)
    assert expected["retrains"] == 1
    assert len(counted.seen) > 30
    for place in range(len(counted.seen)):
        ended, fell = told(tmp_path / str(place), way, Axe(place))
        assert len(fell) == 1
        assert ended == expected, f"killed at place {place}, {fell[0]}"


_PROCESS = """
import os, signal, sys
from pathlib import Path

from tests.faults.test_retrain_kills import ANSWERS, Axe, Killed, Loop
from tests.unit.jobs.retrain_world import FINGERPRINT, MODEL, World, settings_of
from monitor.store.ledger import Ledger
from tests.unit.jobs import retrain_world


class Sword(Axe):
    def place(self, name):
        self.seen.append(name)
        if len(self.seen) - 1 == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


ledger = Ledger.open(sys.argv[1], "default")
world = World(ledger, settings_of(headroom=None))
sword = Sword(int(sys.argv[2]))
world.held()
sword.watch(ledger)
world.outside.pause = sword.place
world.outside.runs = {each.retrain_id: "run-1" for each in ledger.retrains.list(MODEL)}
world.outside.canaries = set(world.outside.runs)
while ledger.retrains.live(MODEL) is not None:
    world.look()
"""


@pytest.mark.slow
def test_a_process_that_is_really_killed_leaves_a_ledger_from_which_the_next_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        World(ledger).propose(fingerprint="")
        kills = 0
        for place in (3, 12, 10_000):
            command = [sys.executable, "-c", _PROCESS, f"sqlite:///{tmp_path}/ledger.db", str(place)]
            code = subprocess.run(command, cwd=ROOT, timeout=60, check=False, capture_output=True).returncode
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
            assert ledger.audit_break() is None
        assert kills == 2
        ended = ledger.retrains.list(MODEL)[0]
        assert ended.state is RetrainState.PROMOTED
        events = [each.document["event"] for each in ledger.retrains.events(ended.retrain_id)]
        assert len(events) == len(set(events)), "every event happened once"
