"""When windows make an alert: a table of cases, and the laws that hold in any order of windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.memory import Memory, remembered
from monitor.alert.no_data import standing_without_data
from monitor.alert.state import Change, Timing, retired, standing_of, transition

LEGAL = frozenset(
    {
        (AlertState.INACTIVE, AlertState.PENDING),
        (AlertState.INACTIVE, AlertState.FIRING),
        (AlertState.PENDING, AlertState.FIRING),
        (AlertState.PENDING, AlertState.INACTIVE),
        (AlertState.FIRING, AlertState.RESOLVED),
        (AlertState.RESOLVED, AlertState.PENDING),
        (AlertState.RESOLVED, AlertState.FIRING),
    }
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
STATES = {
    "-": AlertState.INACTIVE,
    "p": AlertState.PENDING,
    "F": AlertState.FIRING,
    "r": AlertState.RESOLVED,
}


@dataclass
class World:
    """An alert and what is remembered, while windows are decided one after another."""

    timing: Timing
    alert: Alert = field(
        default_factory=lambda: Alert({"alertname": "A"}, {}, AlertState.INACTIVE, Origin.DRIFTLINE, START)
    )
    memory: Memory = field(default_factory=Memory)
    now: datetime = START

    def decide(self, hour: int, *, matched: bool) -> Sequence[Change]:
        self.now += timedelta(minutes=1)
        self.memory = remembered(self.memory, START + hour * HOUR, matched=matched, most=self.timing.windows)
        step = transition(self.alert, standing_of(self.memory.windows, self.timing), self.memory.covered, self.now)
        self.alert, self.memory = step.alert, replace(self.memory, covered=step.covered)
        return step.changes

    def follow(self, said: Iterable[tuple[int, bool]]) -> list[Change]:
        return [change for hour, matched in said for change in self.decide(hour, matched=matched)]


@pytest.mark.parametrize(
    ("timing", "windows", "states"),
    [
        pytest.param(Timing(), "010", "-Fr", id="one window fires at once and one without ends it"),
        pytest.param(Timing(2, 2), "0110", "-pFr", id="for 2: pending, then firing"),
        pytest.param(Timing(2, 2), "01010", "-p-p-", id="for 2: one alone comes to nothing"),
        pytest.param(Timing(3, 3), "1111", "ppFF", id="for 3: the third fires and the fourth changes nothing"),
        pytest.param(Timing(2, 3), "1010", "ppFr", id="2 of 3: one may lie between, until too few are left"),
        pytest.param(Timing(2, 3), "10010", "pp-pp", id="2 of 3: two between are too many"),
        pytest.param(Timing(1, 3), "1000", "FFFr", id="1 of 3 holds for three windows"),
        pytest.param(Timing(1, 1, 2), "10001", "FFFrF", id="kept firing for 2 windows after the last that matched"),
        pytest.param(Timing(1, 1, 2), "1001000", "FFFFFFr", id="what matches meanwhile keeps it on"),
        pytest.param(Timing(2, 2, 1), "110100", "pFFp--", id="kept on by what fired, not by one more that matches"),
        pytest.param(Timing(3, 5), "111001", "ppFFFF", id="3 of 5: two gaps at the end leave three"),
        pytest.param(Timing(3, 5), "11010000", "pppFFrrr", id="3 of 5: resolved stays resolved"),
        pytest.param(Timing(3, 5), "11010010", "pppFFrpp", id="3 of 5: and begins anew with the next that matches"),
    ],
)
def test_what_windows_make_of_an_alert(timing: Timing, windows: str, states: str) -> None:
    world, seen = World(timing), []
    for hour, each in enumerate(windows):
        world.decide(hour, matched=each == "1")
        seen.append(world.alert.state)
    assert seen == [STATES[each] for each in states]


@pytest.mark.parametrize(
    ("timing", "said", "states"),
    [
        pytest.param(Timing(), [(1, True), (1, False)], "Fr", id="a restatement resolves"),
        pytest.param(
            Timing(), [(1, True), (1, False), (1, True)], "Frr", id="and does not fire again by the same window"
        ),
        pytest.param(Timing(), [(1, True), (1, False), (1, True), (2, True)], "FrrF", id="but by a newer one it does"),
        pytest.param(
            Timing(),
            [(1, True), (2, True), (2, False), (2, True)],
            "FFrr",
            id="nor by a later window of the same episode",
        ),
        pytest.param(Timing(), [(1, False), (1, True)], "-F", id="a restatement may be the first to match"),
        pytest.param(Timing(), [(2, False), (1, True)], "--", id="an older window than decides changes nothing"),
        pytest.param(Timing(1, 1, 1), [(2, False), (1, True)], "-F", id="an older window that still decides fires"),
        pytest.param(Timing(2, 2), [(1, True), (3, True), (2, False)], "pFr", id="what comes between takes it back"),
        pytest.param(Timing(2, 2), [(1, True), (2, True), (1, False)], "pFr", id="the first of two restated, too"),
    ],
)
def test_restated_and_late_windows(timing: Timing, said: list[tuple[int, bool]], states: str) -> None:
    world, seen = World(timing), []
    for hour, matched in said:
        world.decide(hour, matched=matched)
        seen.append(world.alert.state)
    assert seen == [STATES[each] for each in states]


def test_an_episode_has_its_times_and_forgets_who_took_note_of_the_one_before() -> None:
    world = World(Timing(2, 2))
    world.decide(1, matched=True)
    began = world.now
    world.decide(2, matched=True)
    assert (world.alert.episode, world.alert.active_at, world.alert.fired_at) == (1, began, world.now)
    world.alert = replace(world.alert, acknowledged_by="ada", acknowledged_at=world.now, assignee="bob")
    world.decide(3, matched=False)
    assert (world.alert.resolved_at, world.alert.acknowledged_by) == (world.now, "ada")
    world.follow([(4, True), (5, True)])
    assert (world.alert.episode, world.alert.resolved_at, world.alert.acknowledged_by) == (2, None, None)
    assert world.alert.assignee == "bob"


def test_an_alert_without_a_rule_is_resolved_with_the_reason() -> None:
    world = World(Timing())
    world.decide(1, matched=True)
    (change,) = retired(world.alert, world.memory.covered, "there is no rule", world.now).changes
    assert (change.alert.state, change.reason) == (AlertState.RESOLVED, "there is no rule")
    assert not retired(change.alert, world.memory.covered, "there is no rule", world.now).changes


@pytest.mark.parametrize(
    ("last", "at", "state"),
    [
        pytest.param(START, START + HOUR, AlertState.INACTIVE, id="an hour is not yet too long"),
        pytest.param(START, START + 2 * HOUR, AlertState.FIRING, id="two hours are"),
        pytest.param(START + HOUR, START, AlertState.INACTIVE, id="a clock behind the data says nothing"),
        pytest.param(None, START, AlertState.INACTIVE, id="a replay before its first window"),
        pytest.param(START, None, AlertState.INACTIVE, id="a stream without a watermark"),
    ],
)
def test_silence_of_a_model(last: datetime | None, at: datetime | None, state: AlertState) -> None:
    assert standing_without_data(last, at, 2 * HOUR).holds is state


timings = st.builds(
    lambda matches, more, keep: Timing(matches, matches + more, keep),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(0, 3),
)
sayings = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=40)


@given(timings, sayings)
def test_no_change_of_state_is_illegal(timing: Timing, said: list[tuple[int, bool]]) -> None:
    world = World(timing)
    state = world.alert.state
    for change in world.follow(said):
        assert change.before is state
        assert (change.before, change.alert.state) in LEGAL
        state = change.alert.state
    assert world.alert.state is state


@given(timings, sayings)
def test_whatever_fired_resolves_once_windows_stop_matching(timing: Timing, said: list[tuple[int, bool]]) -> None:
    world = World(timing)
    fired = sum(change.alert.state is AlertState.FIRING for change in world.follow(said))
    world.follow((20 + hour, False) for hour in range(timing.windows))
    assert world.alert.state in (AlertState.INACTIVE, AlertState.RESOLVED)
    assert world.alert.episode >= fired
    if fired:
        assert world.alert.resolved_at is not None


@given(timings, sayings)
def test_no_window_begins_two_episodes(timing: Timing, said: list[tuple[int, bool]]) -> None:
    world = World(timing)
    begun = [
        world.memory.covered
        for hour, matched in said
        for change in world.decide(hour, matched=matched)
        if change.alert.state is AlertState.FIRING and world.memory.covered is not None
    ]
    assert len(begun) == world.alert.episode
    assert begun == sorted(set(begun)), "each begins with a newer window than all before"


@given(timings, sayings)
def test_what_is_remembered_is_bounded_and_survives_being_written(timing: Timing, said: list[tuple[int, bool]]) -> None:
    world = World(timing)
    world.follow(said)
    assert len(world.memory.windows) <= timing.windows
    assert Memory.from_document(world.memory.to_document()) == world.memory


@given(timings, st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_windows_may_come_in_any_order(timing: Timing, windows: list[bool], data: st.DataObject) -> None:
    straight, shuffled = World(timing), World(timing)
    straight.follow(enumerate(windows))
    changes = shuffled.follow(data.draw(st.permutations(list(enumerate(windows)))))
    assert shuffled.memory.windows == straight.memory.windows
    states = [world.alert.state is AlertState.FIRING for world in (straight, shuffled)]
    # What was told too early and taken back is not told again of the same window: only then may the orders differ.
    taken_back = any(change.alert.state is AlertState.RESOLVED for change in changes)
    assert states in ([True, True], [False, False], *([[True, False]] if taken_back else []))


@given(timings, st.lists(st.booleans(), min_size=1, max_size=20), st.data())
def test_windows_say_what_the_last_of_them_say_by_themselves(
    timing: Timing, windows: list[bool], data: st.DataObject
) -> None:
    world = World(timing)
    world.follow(enumerate(windows))
    counts = [sum(windows[max(0, end - timing.among) : end]) for end in range(1, len(windows) + 1)]
    holds = any(count >= timing.matches for count in counts[-timing.keep - 1 :])
    assert (world.alert.state is AlertState.FIRING) == holds
    again = data.draw(st.integers(max(0, len(windows) - timing.windows), len(windows) - 1))
    assert not world.decide(again, matched=windows[again]), "said twice is said once"
