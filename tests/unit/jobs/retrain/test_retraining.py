"""A retrain from a wish to its end, against ports in memory: every way it can go, and every way it can be stuck."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.act.lifecycle import Event
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.act.steps import CanaryVerdict, Found, GateVerdict, Headroom, Progress, Report
from monitor.alert.alert import AlertState
from monitor.errors import InputError, StaleClaim, TransientError
from monitor.jobs.retrain import events as retrain_events
from monitor.jobs.retrain.work import LongSteps
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON
from tests.unit.act.steps import CANDIDATE, MemoryRollout
from tests.unit.jobs.retrain_world import FINGERPRINT, MODEL, SECOND, World, alert, opened, retrainer, settings_of

MINUTE = timedelta(minutes=1)
GONE = TransientError("connection refused")
NO = InputError("no such pipeline")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as ledger:
        yield ledger


@dataclass(frozen=True)
class Story:
    """How the outside answers, and how the retrain ends."""

    ends: RetrainState
    because: str
    answers: dict[str, list[object]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    every: timedelta = SECOND
    serves: bool = False
    stopped: bool = False


S, V, H, P = RetrainState, CanaryVerdict, Headroom, Progress
STORIES = {
    "all goes well: the candidate is promoted": Story(S.PROMOTED, "promoted: promote says good", serves=True),
    "a model without a canary is promoted once its candidate passed the gate": Story(
        S.PROMOTED, "promoted", settings={"canary": None}, serves=True
    ),
    "a model without headroom settings asks no GPU": Story(
        S.PROMOTED, "promoted", {"headroom": [AssertionError()]}, {"headroom": None}, serves=True
    ),
    "busy GPUs put the training off until there is room": Story(
        S.PROMOTED, "promoted", {"headroom": [H.BUSY, H.SUSPECT, H.FAILED, H.HEALTHY]}, every=MINUTE, serves=True
    ),
    "without room for twelve hours the training is given up": Story(
        S.FAILED, "no room on the GPUs for 12h: busy: headroom says busy", {"headroom": [H.BUSY]}, every=10 * MINUTE
    ),
    "GPUs of which nothing is known do not hold a training back": Story(
        S.PROMOTED, "promoted", {"headroom": [H.UNKNOWN]}, serves=True
    ),
    "GPUs that do not answer are GPUs of which nothing is known": Story(
        S.PROMOTED, "promoted", {"headroom": [GONE]}, serves=True
    ),
    "unknown GPUs hold a training back where the settings say so": Story(
        S.FAILED,
        "no room on the GPUs for 12h",
        {"headroom": [H.UNKNOWN]},
        {"headroom": {"gpus": "training", "on_unknown": "defer"}},
        every=10 * MINUTE,
    ),
    "a trainer that cannot be reached at first is asked again": Story(
        S.PROMOTED, "promoted", {"submit": [GONE, GONE, ""]}, every=5 * SECOND, serves=True
    ),
    "a trainer that cannot be reached for half an hour is given up, and told so when it is back": Story(
        S.FAILED, "the trainer could not be reached for 30m", {"submit": [GONE]}, every=MINUTE, stopped=True
    ),
    "a trainer that refuses ends it": Story(S.FAILED, "the trainer refused: no such pipeline", {"submit": [NO]}),
    "a training that takes a while is awaited": Story(
        S.PROMOTED, "promoted", {"poll": [P.WAITING, P.RUNNING, P.RUNNING, P.COMPLETED]}, every=MINUTE, serves=True
    ),
    "a training that fails ends it": Story(
        S.FAILED, "the trainer failed: out of memory", {"poll": [P.RUNNING, Report(P.FAILED, "out of memory")]}
    ),
    "a run that the trainer does not know any more is lost": Story(
        S.FAILED, "the trainer is lost", {"poll": [P.RUNNING, P.LOST]}, stopped=True
    ),
    "a trainer that stops answering for half an hour is lost": Story(
        S.FAILED,
        "the trainer is lost: no sign of life for 30m: connection refused",
        {"poll": [P.RUNNING, GONE]},
        every=MINUTE,
        stopped=True,
    ),
    "a trainer that only reports by itself, and does not, is lost": Story(
        S.FAILED, "the trainer is lost: no sign of life for 30m", {"poll": [None]}, every=MINUTE, stopped=True
    ),
    "a training that goes on for more than a day is stopped": Story(
        S.FAILED, "the training took longer than 1d", {"poll": [P.RUNNING]}, every=10 * MINUTE, stopped=True
    ),
    "a trainer that is done and does not say where the model is has failed": Story(
        S.FAILED, "has not said where the model is", {"poll": [Report(P.COMPLETED)]}, every=MINUTE
    ),
    "a trainer that cannot be asked about its run has failed": Story(
        S.FAILED, "the trainer cannot be asked: no such pipeline", {"poll": [NO]}, stopped=True
    ),
    "a candidate that the gate rejects serves nobody": Story(
        S.REJECTED, "the gate rejected it: judge says rejected", {"judge": [GateVerdict.REJECTED]}
    ),
    "a candidate that cannot be found is rejected": Story(
        S.REJECTED, "the candidate cannot be judged: no such pipeline", {"judge": [NO]}
    ),
    "a gate that cannot judge yet is asked again": Story(
        S.PROMOTED, "promoted", {"judge": [GONE, GONE, GateVerdict.PASSED]}, every=10 * SECOND, serves=True
    ),
    "a gate that cannot judge for twelve hours ends it": Story(
        S.FAILED, "the candidate could not be judged: connection refused", {"judge": [GONE]}, every=10 * MINUTE
    ),
    "a candidate that does not come into service is rolled back": Story(
        S.ROLLED_BACK, "rolled back: begin says bad", {"begin": [V.BAD]}
    ),
    "serving that refuses the candidate has it rolled back": Story(
        S.ROLLED_BACK, "rolled back: it cannot serve: no such pipeline", {"begin": [NO]}
    ),
    "serving that is away is asked again": Story(
        S.PROMOTED, "promoted", {"begin": [GONE, V.WAITING], "watch": [GONE, V.GOOD]}, every=MINUTE, serves=True
    ),
    "serving that stays away has it rolled back": Story(
        S.ROLLED_BACK, "rolled back: it did not come into service", {"begin": [GONE]}, every=10 * MINUTE
    ),
    "a canary is watched until it is known to be good": Story(
        S.PROMOTED, "promoted", {"watch": [V.WAITING, V.WAITING, V.GOOD]}, every=MINUTE, serves=True
    ),
    "a bad canary is rolled back": Story(
        S.ROLLED_BACK, "rolled back: watch says bad", {"watch": [V.WAITING, V.BAD]}, every=MINUTE
    ),
    "a canary that cannot be promoted is rolled back": Story(
        S.ROLLED_BACK, "rolled back: it could not be promoted: promote says bad", {"promote": [V.BAD]}
    ),
    "a promotion that is refused without a canary has failed, and is taken back": Story(
        S.FAILED, "rolled back: it could not be promoted", {"promote": [NO]}, {"canary": None}
    ),
    "a promotion waits for serving that is away": Story(
        S.PROMOTED, "promoted", {"promote": [GONE, V.GOOD]}, every=MINUTE, serves=True
    ),
    "a roll-back waits for serving that is away": Story(
        S.ROLLED_BACK, "rolled back: watch says bad", {"watch": [V.BAD], "roll_back": [GONE, V.GOOD]}, every=MINUTE
    ),
    "a roll-back that is refused is a failure that says both reasons": Story(
        S.FAILED,
        "it could not be rolled back: no such pipeline; it was to be because: watch says bad",
        {"watch": [V.BAD], "roll_back": [NO]},
    ),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_a_retrain_ends_as_the_outside_has_it(ledger: Ledger, story: Story) -> None:
    world = World(ledger, settings_of(**story.settings))
    world.outside.answers = story.answers
    retrain = world.propose()
    ended = world.until_ended(every=story.every)
    assert ended.state is story.ends
    assert story.because in ended.reason
    world.look(story.every)
    assert (world.outside.stable == retrain.retrain_id) is story.serves
    assert (retrain.retrain_id in world.outside.stopped) is story.stopped, "a run that nobody waits for is stopped"
    if story.ends is not S.FAILED or "rolled back" not in ended.reason:
        assert len(world.outside.runs) <= 1
    assert ledger.retrains.live(MODEL) is None
    assert ledger.audit_break() is None


def test_the_states_of_a_good_retrain_in_their_order(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose()
    world.until(S.PROMOTED)
    assert world.way() == [
        "approved",
        "gpu_check",
        "submitted",
        "running",
        "evaluating",
        "canary",
        "promoted",
    ]
    assert world.newest().candidate == CANDIDATE
    assert world.newest().details["gate"]["reason"] == "judge says passed"


def test_a_wish_that_nobody_approves_is_cancelled_in_time(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose(S.PROPOSED, deadline_at=world.now + HOUR)
    world.look(59 * MINUTE)
    assert world.newest().state is S.PROPOSED
    world.look(MINUTE)
    assert (world.newest().state, world.newest().reason) == (S.CANCELLED, "nobody approved it within 1h")
    with pytest.raises(retrain_events.NotAllowed, match="it is cancelled"):
        retrain_events.approve(ledger, world.newest().retrain_id, "ada", world.now)


def test_an_approved_wish_goes_on_and_says_by_whom(ledger: Ledger) -> None:
    world = World(ledger)
    wish = world.propose(S.PROPOSED, deadline_at=world.now + HOUR)
    retrain_events.approve(ledger, wish.retrain_id, "ada", world.now)
    world.until(S.PROMOTED)
    assert world.newest().details["approval"]["by"] == "ada"


@pytest.mark.parametrize("state", [S.PROPOSED, S.APPROVED, S.GPU_CHECK, S.SUBMITTED, S.RUNNING, S.EVALUATING])
def test_a_retrain_that_is_cancelled_on_its_way_stops_there(ledger: Ledger, state: RetrainState) -> None:
    world = World(ledger)
    world.outside.answers = {"headroom": [H.BUSY, H.HEALTHY]}
    retrain = world.propose(S.PROPOSED if state is S.PROPOSED else S.APPROVED)
    world.until(state)
    retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now, "a mistake")
    for _ in range(5):
        world.look(MINUTE)
    assert world.newest().state is S.CANCELLED
    assert world.newest().reason.startswith("cancelled by ada: a mistake")
    assert (retrain.retrain_id in world.outside.stopped) is (state in (S.SUBMITTED, S.RUNNING))
    assert not world.outside.promoted


def test_a_canary_that_is_cancelled_is_rolled_back(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"watch": [V.WAITING]}
    retrain = world.propose()
    world.until(S.CANARY)
    world.look()
    assert world.outside.canaries == {retrain.retrain_id}
    retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
    retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
    ended = world.until_ended()
    assert (ended.state, ended.reason) == (S.ROLLED_BACK, "rolled back: cancelled by ada")
    assert not world.outside.canaries


def test_what_is_being_promoted_cannot_be_cancelled(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"promote": [GONE, V.GOOD]}
    retrain = world.propose()
    while world.outside.asked["promote"] == 0:
        world.look()
    with pytest.raises(retrain_events.NotAllowed, match="too late"):
        retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
    assert world.until_ended().state is S.PROMOTED


def test_a_trainer_that_is_away_is_told_to_stop_for_an_hour(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"poll": [P.RUNNING], "cancel": [GONE]}
    retrain = world.propose()
    world.until(S.RUNNING)
    retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
    for _ in range(80):
        world.look(MINUTE)
    assert "the trainer could not be told to stop: connection refused" in world.newest().reason
    asked = world.outside.asked["cancel"]
    assert asked > 5
    for _ in range(20):
        world.look(MINUTE)
    assert world.outside.asked["cancel"] == asked, "and then no more"
    assert not ledger.retrains.to_look_after(MODEL)


def test_waits_grow_and_are_said_once(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"headroom": [Found(H.BUSY, "98 % utilised")]}
    retrain = world.propose()
    for _ in range(3600):
        world.look()
    assert 10 < world.outside.asked["headroom"] < 20, "an hour of looks is not an hour of questions"
    assert world.newest().reason == "waiting for the GPUs: busy: 98 % utilised"
    said = [event for event in ledger.retrains.events(retrain.retrain_id) if event.document["event"] == "defer"]
    assert len(said) == 1


def test_signs_of_life_keep_a_silent_trainer_alive(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"poll": [None]}
    retrain = world.propose()
    world.until(S.RUNNING)
    for _ in range(10):
        world.look(20 * MINUTE)
        retrain_events.heartbeat(ledger, retrain.retrain_id, "trainer", world.now)
    assert world.newest().state is S.RUNNING
    retrain_events.complete(ledger, retrain.retrain_id, "trainer", CANDIDATE, world.now)
    assert world.until_ended().state is S.PROMOTED


def test_the_retrain_is_confirmed_when_its_alert_clears(ledger: Ledger) -> None:
    world = World(ledger)
    ledger.alerts.take(alert(at=world.now), world.now)
    world.propose()
    world.until(S.PROMOTED)
    began = world.newest().created_at
    world.look(HOUR)
    assert world.newest().confirmation is Confirmation.WAITING
    ledger.alerts.take(alert(AlertState.RESOLVED, at=began), world.now)
    world.look(HOUR)
    assert world.newest().confirmation is Confirmation.CLEARED
    assert "QualityLost has cleared" in world.newest().reason


def test_an_alert_that_does_not_clear_is_said_once(ledger: Ledger) -> None:
    world = World(ledger)
    ledger.alerts.take(alert(at=world.now), world.now)
    retrain = world.propose()
    world.until(S.PROMOTED)
    for _ in range(60):
        world.look(HOUR)
    assert world.newest().confirmation is Confirmation.NOT_CLEARED
    assert world.newest().reason == "the alert QualityLost still fires 2d after the promotion"
    said = [event for event in ledger.retrains.events(retrain.retrain_id) if event.document["event"] == "not_clear"]
    assert len(said) == 1
    assert retrain_events.confirm(ledger, retrain.retrain_id, "ada", world.now).confirmation is Confirmation.CLEARED


def test_a_retrain_without_an_alert_has_nothing_to_confirm(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose(policy="", fingerprint="", episode=0)
    world.until(S.PROMOTED)
    assert world.newest().confirmation is Confirmation.NONE
    assert ledger.retrains.to_look_after(MODEL) == []


def test_an_alert_that_is_gone_has_cleared(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose(fingerprint=FINGERPRINT)
    world.until(S.PROMOTED)
    world.look()
    assert world.newest().reason == f"the alert {FINGERPRINT} has cleared: there is no such alert any more"


def test_an_alert_that_flaps_has_cleared_only_where_it_did_so_after_the_promotion(ledger: Ledger) -> None:
    world = World(ledger)

    def flap() -> None:
        ledger.alerts.take(alert(AlertState.RESOLVED, at=world.now - HOUR), world.now)
        ledger.alerts.take(alert(at=world.now), world.now)

    ledger.alerts.take(alert(at=world.now - HOUR), world.now)
    world.propose()
    world.until(S.RUNNING)
    flap()
    world.until(S.PROMOTED)
    world.look(HOUR)
    assert world.newest().confirmation is Confirmation.WAITING, "it came back while the model was trained"
    flap()
    world.look(HOUR)
    assert "it cleared, and fired anew since" in world.newest().reason


def test_a_promotion_that_never_ends_is_rolled_back_and_a_roll_back_that_never_ends_fails(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"promote": [GONE], "roll_back": [GONE]}
    world.propose()
    ended = world.until_ended(every=10 * MINUTE)
    assert ended.state is S.FAILED
    assert "it could not be rolled back" in ended.reason
    assert "it could not be promoted" in ended.reason


def test_settings_that_are_taken_away_leave_nothing_waiting(ledger: Ledger) -> None:
    world = World(ledger)
    ledger.alerts.take(alert(at=world.now), world.now)
    world.propose()
    world.until(S.PROMOTED)
    without = world.settings.models[MODEL].model_copy(update={"retrain": None})
    world.settings = world.settings.model_copy(update={"models": {MODEL: without}})
    world.restart()
    world.look()
    assert world.newest().confirmation is Confirmation.NOT_CLEARED
    assert ledger.retrains.to_look_after(MODEL) == []


def test_a_clock_that_jumps_back_delays_nothing_for_long(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"submit": [GONE, ""], "poll": [P.RUNNING, P.RUNNING, P.COMPLETED]}
    world.propose()
    world.until(S.SUBMITTED)
    world.look()
    world.now -= timedelta(days=365)
    assert world.until_ended(every=SECOND).state is S.PROMOTED


def test_a_clock_that_jumps_ahead_by_a_day_finds_the_run_that_still_answers(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"poll": [P.RUNNING, P.COMPLETED]}
    world.propose()
    world.until(S.RUNNING)
    world.look()
    world.look(timedelta(days=400))
    assert world.until_ended().state is S.PROMOTED, "a run that is completed is not too late"


def test_a_model_that_is_not_retrained_any_more_ends_its_retrain(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose()
    world.until(S.RUNNING)
    models = {MODEL: world.settings.models[MODEL].model_copy(update={"retrain": None})}
    bare = world.settings.model_copy(update={"models": models})
    retrainer(ledger, bare, world.outside).tick(MODEL, world.lease(), world.now)
    assert (world.newest().state, "no longer say" in world.newest().reason) == (S.FAILED, True)


def test_a_monitor_that_lost_its_lease_writes_nothing(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose()
    old = world.lease(MINUTE)
    world.now += HOUR
    other = World(ledger, world.settings, world.outside, world.now, "another")
    other.lease()
    with pytest.raises(StaleClaim):
        world.retrainer.tick(MODEL, old, world.now)
    assert world.newest().state is S.APPROVED
    assert other.until_ended().state is S.PROMOTED


def test_a_step_that_breaks_is_not_tried_at_every_look(ledger: Ledger) -> None:
    world = World(ledger)
    world.propose()
    world.until(S.EVALUATING)

    class Broken:
        def judge(self, retrain: Retrain) -> Found:
            world.outside.asked["judge"] += 1
            raise KeyError("a defect")

    world.retrainer.gate = Broken()
    for _ in range(60):
        world.now += SECOND
        try:
            world.retrainer.tick(MODEL, world.lease(), world.now)
        except KeyError:
            assert world.newest().reason == "an internal error: KeyError"
    assert 3 <= world.outside.asked["judge"] <= 6


def test_a_long_step_is_done_beside_and_its_lease_goes_on(ledger: Ledger) -> None:
    world = World(ledger)
    asked, may_end = threading.Event(), threading.Event()

    class Slow:
        def judge(self, retrain: Retrain) -> Found:
            asked.set()
            assert may_end.wait(30)
            return Found(GateVerdict.PASSED, "after a while")

    world.propose()
    world.until(S.EVALUATING)
    with ThreadPoolExecutor(1) as executor:
        world.retrainer = retrainer(ledger, world.settings, world.outside)
        world.retrainer.gate, world.retrainer.executor = Slow(), executor
        world.retrainer.__post_init__()
        for _ in range(10):
            world.look()
        assert asked.wait(30)
        assert world.newest().state is S.EVALUATING
        may_end.set()
        while world.newest().state is S.EVALUATING:
            world.look(timedelta(microseconds=1))
    assert world.newest().details["gate"]["reason"] == "after a while"


def test_a_roll_back_waits_for_the_step_that_runs_beside(ledger: Ledger) -> None:
    world = World(ledger)
    begun, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    class Slow(MemoryRollout):
        def begin(self, retrain: Retrain) -> Found:
            begun.set()
            assert may_end.wait(30)
            order.append("begin")
            return super().begin(retrain)

        def roll_back(self, retrain: Retrain) -> Found:
            order.append("roll back")
            return super().roll_back(retrain)

    retrain = world.propose()
    world.until(S.CANARY)
    with ThreadPoolExecutor(4) as executor:
        world.retrainer = retrainer(ledger, world.settings, world.outside)
        world.retrainer.rollout, world.retrainer.executor = Slow(world.outside), executor
        world.retrainer.__post_init__()
        world.look()
        assert begun.wait(30)
        retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
        for _ in range(5):
            world.look()
        assert world.newest().state is S.CANARY
        may_end.set()
        while not world.newest().ended:
            world.look(timedelta(microseconds=1))
    assert order == ["begin", "roll back"]
    assert world.outside.canaries == set()


def test_what_was_found_under_an_earlier_lease_is_found_anew(ledger: Ledger) -> None:
    world = World(ledger)
    may_end = threading.Event()

    class Slow:
        def judge(self, retrain: Retrain) -> Found:
            world.outside.asked["judge"] += 1
            first = world.outside.asked["judge"] == 1
            assert not first or may_end.wait(30)
            return Found(GateVerdict.REJECTED, "as it was") if first else Found(GateVerdict.PASSED, "as it is")

    world.propose()
    world.until(S.EVALUATING)
    with ThreadPoolExecutor(4) as executor:
        world.retrainer = retrainer(ledger, world.settings, world.outside)
        world.retrainer.gate, world.retrainer.executor = Slow(), executor
        world.retrainer.__post_init__()
        world.look()
        ledger.leases.release(world.held())
        other = ledger.leases.acquire(f"model:{MODEL}", "another", world.now, HOUR)
        assert other is not None
        ledger.leases.release(other)
        world._lease = world.lease()
        for _ in range(5):
            world.look()
        assert world.outside.asked["judge"] == 1, "two steps of one retrain never run at once"
        may_end.set()
        while world.newest().state is S.EVALUATING:
            world.look(timedelta(microseconds=1))
    assert world.newest().details["gate"]["reason"] == "as it is"


@pytest.mark.parametrize(
    ("step", "state"),
    [
        pytest.param("headroom", S.GPU_CHECK, id="GPUs that do not say how they are"),
        pytest.param("submit", S.SUBMITTED, id="a trainer that takes no request"),
        pytest.param("poll", S.RUNNING, id="a trainer that does not say how its run goes"),
        pytest.param("cancel", S.CANCELLED, id="a trainer that does not say that it stops"),
    ],
)
def test_a_look_waits_for_nobody_outside(ledger: Ledger, step: str, state: RetrainState) -> None:
    world = World(ledger)
    asked, may_end = threading.Event(), threading.Event()
    answer = world.outside.answer

    def slow(name: str, usual: object) -> object:
        if name == step:
            asked.set()
            assert may_end.wait(30)
        return answer(name, usual)

    world.outside.answer = slow  # type: ignore[assignment, method-assign]
    world.outside.answers = {"poll": [P.RUNNING]} if step == "cancel" else {}
    with ThreadPoolExecutor(4) as executor:
        world.retrainer.executor = executor
        world.retrainer.__post_init__()
        retrain = world.propose()
        if step == "cancel":
            while world.newest().state is not S.RUNNING:
                world.look(timedelta(microseconds=1))
            retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
        while not asked.is_set():
            world.look(timedelta(microseconds=1))
        for _ in range(3):
            world.look()
        assert world.newest().state is state
        may_end.set()
        while not (world.newest().ended and not ledger.retrains.to_look_after(MODEL)):
            if world.newest().state is S.PROMOTED:
                break
            world.look(10 * SECOND)
    assert world.outside.asked[step] >= 1
    assert step != "cancel" or world.outside.stopped == {retrain.retrain_id}


def test_a_run_that_is_cancelled_while_it_is_asked_for_is_stopped_after_that(ledger: Ledger) -> None:
    world = World(ledger)
    asked, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    def pause(where: str) -> None:
        if where == "before submit":
            asked.set()
            assert may_end.wait(30)
        order.append(where)

    world.outside.pause = pause
    with ThreadPoolExecutor(4) as executor:
        world.retrainer.executor = executor
        world.retrainer.__post_init__()
        retrain = world.propose()
        while not asked.is_set():
            world.look(timedelta(microseconds=1))
        retrain_events.cancel(ledger, retrain.retrain_id, "ada", world.now)
        for _ in range(5):
            world.look()
        may_end.set()
        while ledger.retrains.to_look_after(MODEL):
            world.look(timedelta(microseconds=1))
    assert order == ["before submit", "after submit", "before cancel", "after cancel"]


def test_two_candidates_are_never_judged_at_once() -> None:
    may_end = threading.Event()
    begun: list[str] = []

    def judge(retrain: Retrain) -> Found:
        begun.append(retrain.model)
        assert may_end.wait(30)
        return Found(GateVerdict.PASSED, "")

    one = Retrain("r1", "one", S.EVALUATING, 1, "me", NOON, NOON, NOON)
    two = replace(one, retrain_id="r2", model="two")
    with ThreadPoolExecutor(4) as executor:
        long = LongSteps(executor)
        for retrain in (one, two):
            assert long.done("gate", judge, retrain) is None
        while long.done("watch", lambda _: Found("good", "meanwhile"), replace(two, retrain_id="r3")) is None:
            pass
        may_end.set()
        while long.done("gate", judge, one) is None:
            pass
        assert begun == ["one"]
        while long.done("gate", judge, two) is None:
            pass
    assert begun == ["one", "two"]


def test_a_poll_in_trouble_is_tried_less_and_less_often(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"poll": [GONE]}
    world.propose()
    world.until(S.RUNNING)
    for _ in range(600):
        world.look()
    assert 3 < world.outside.asked["poll"] < 10


def test_people_are_told_how_it_ended_once(ledger: Ledger) -> None:
    world = World(ledger)
    world.outside.answers = {"judge": [GateVerdict.REJECTED]}
    retrain = world.propose()
    world.until_ended()
    for _ in range(3):
        world.look()
    told = [event for event in ledger.retrains.events(retrain.retrain_id) if event.to_state is S.REJECTED]
    assert len(told) == 1
    assert told[0].document["event"] == str(Event.REJECT)
