"""Two drivers, people and a trainer at once, in any order: at most one retrain of a model runs, and it moves as it may."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.act.lifecycle import TRANSITIONS, Event
from monitor.act.steps import CanaryVerdict, Headroom, Progress
from monitor.errors import DriftlineError, InvariantBroken, TransientError
from monitor.jobs.retrain import events as retrain_events
from tests.unit.act.steps import CANDIDATE
from tests.unit.jobs.retrain_world import MODEL, World, opened, settings_of

ANSWERS: dict[str, list[object]] = {
    "headroom": [*Headroom],
    "submit": [TransientError("away"), ""],
    "poll": [None, Progress.RUNNING, Progress.COMPLETED, Progress.FAILED, Progress.LOST, TransientError("away")],
    "judge": ["passed", "rejected", TransientError("away")],
    "begin": [CanaryVerdict.WAITING, CanaryVerdict.BAD, TransientError("away")],
    "watch": [*CanaryVerdict],
    "promote": [CanaryVerdict.GOOD, CanaryVerdict.BAD, TransientError("away")],
    "roll_back": [CanaryVerdict.GOOD, TransientError("away")],
    "cancel": ["", TransientError("away")],
}


class Races(RuleBasedStateMachine):
    """Whatever happens is one of these, in an order that Hypothesis chooses."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._opened = opened(Path(self._folder.name))
        self.ledger = self._opened.__enter__()

    @initialize(canary=st.booleans())
    def begin(self, canary: bool) -> None:
        settings = settings_of() if canary else settings_of(canary=None)
        self.worlds = [World(self.ledger, settings, holder=name) for name in ("one", "two")]
        self.worlds[1].outside = self.worlds[0].outside
        self.worlds[1].restart()
        self.lease = {world.holder: None for world in self.worlds}

    @rule(step=st.sampled_from(sorted(ANSWERS)), data=st.data())
    def outside_changes(self, step: str, data: st.DataObject) -> None:
        answer = data.draw(st.sampled_from(ANSWERS[step]))
        self.worlds[0].outside.answers[step] = [answer]

    @rule(who=st.integers(0, 1), seconds=st.integers(1, 5_000))
    def look_later(self, who: int, seconds: int) -> None:
        self.look(who, seconds)

    def look(self, who: int, seconds: int) -> None:
        """Look under the lease, or under one that the other has taken meanwhile."""
        world = self.worlds[who]
        for each in self.worlds:
            each.now += timedelta(seconds=seconds)
        fresh = self.ledger.leases.acquire(f"model:{MODEL}", world.holder, world.now, timedelta(seconds=1_000))
        world._lease = fresh or world._lease
        if world._lease is not None:
            self.said(lambda: world.retrainer.tick(MODEL, world.held(), world.now))

    @rule(who=st.integers(0, 1), times=st.integers(2, 8))
    def look_on(self, who: int, times: int) -> None:
        """Look some times in a row, while all is well outside."""
        self.worlds[0].outside.answers.clear()
        for _ in range(times):
            self.look(who, 1)

    @rule(who=st.integers(0, 1))
    def crash(self, who: int) -> None:
        self.worlds[who].restart()

    @rule()
    def propose(self) -> None:
        self.said(lambda: self.worlds[0].propose(fingerprint=""))

    @rule(what=st.sampled_from(["approve", "cancel", "complete", "fail", "heartbeat"]), back=st.integers(0, 2))
    def said_of(self, what: str, back: int) -> None:
        known = self.ledger.retrains.list(MODEL)
        retrain_id = known[back].retrain_id if back < len(known) else "r0"
        now = self.worlds[0].now
        says = {
            "approve": lambda: retrain_events.approve(self.ledger, retrain_id, "ada", now),
            "cancel": lambda: retrain_events.cancel(self.ledger, retrain_id, "ada", now),
            "complete": lambda: retrain_events.complete(self.ledger, retrain_id, "trainer", CANDIDATE, now),
            "fail": lambda: retrain_events.fail(self.ledger, retrain_id, "trainer", "no memory", now),
            "heartbeat": lambda: retrain_events.heartbeat(self.ledger, retrain_id, "trainer", now),
        }
        self.said(says[what])

    def said(self, what: object) -> None:
        assert callable(what)
        try:
            what()
        except InvariantBroken:
            raise
        except DriftlineError:
            pass  # refused, or lost against the other: foreseen

    @invariant()
    def one_lives_and_each_has_moved_as_it_may(self) -> None:
        retrains = self.ledger.retrains.list(MODEL)
        assert sum(not each.ended for each in retrains) <= 1
        for each in retrains:
            for event in self.ledger.retrains.events(each.retrain_id)[1:]:
                way = (event.from_state, Event(event.document["event"]))
                assert TRANSITIONS[way] is event.to_state  # type: ignore[index]  # states are texts

    @invariant()
    def nothing_that_was_given_up_serves(self) -> None:
        if not hasattr(self, "worlds"):
            return
        outside = self.worlds[0].outside
        for each in self.ledger.retrains.list(MODEL):
            if str(each.state) in ("rejected", "cancelled", "rolled_back"):
                assert each.retrain_id not in outside.canaries
                assert outside.stable != each.retrain_id

    def teardown(self) -> None:
        assert self.ledger.audit_break() is None
        self._opened.__exit__(None, None, None)
        self._folder.cleanup()


TestRaces = Races.TestCase
TestRaces.settings = hypothesis_settings(max_examples=25, stateful_step_count=40, deadline=None)
