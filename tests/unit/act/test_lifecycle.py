"""The states of a retrain: what can happen in each, and what can never."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.act.lifecycle import TRANSITIONS, Event, IllegalTransition, allows, step, transition_table
from monitor.act.retrain import ENDED, RetrainState
from tests.conftest import ROOT

GOOD_WAY = [
    Event.APPROVE,
    Event.CHECK_GPUS,
    Event.DEFER,
    Event.SUBMIT,
    Event.START,
    Event.COMPLETE,
    Event.PASS_GATE,
    Event.BEGIN_CANARY,
    Event.BEGIN_PROMOTION,
    Event.PROMOTE,
    Event.CLEAR,
]
events = st.lists(st.sampled_from(Event), max_size=40)
ORDER = list(RetrainState)


def after(state: RetrainState, happened: list[Event]) -> list[RetrainState]:
    """Return the states that a retrain is in when whatever can happen of these does, and the rest is refused."""
    states = [state]
    for event in happened:
        try:
            states.append(step(states[-1], event))
        except IllegalTransition:
            assert not allows(states[-1], event)
    return states


def test_the_good_way_leads_from_a_wish_to_the_promoted_model() -> None:
    assert after(RetrainState.PROPOSED, GOOD_WAY)[-1] is RetrainState.PROMOTED
    assert len(after(RetrainState.PROPOSED, GOOD_WAY)) == len(GOOD_WAY) + 1


@given(events)
def test_nothing_happens_that_the_table_does_not_name(happened: list[Event]) -> None:
    states = after(RetrainState.PROPOSED, happened)
    for before, then in pairwise(states):
        assert (before, then) in {(state, to) for (state, _), to in TRANSITIONS.items()}


@given(st.sampled_from(sorted(ENDED)), events)
def test_an_end_is_never_left(ended: RetrainState, happened: list[Event]) -> None:
    assert set(after(ended, happened)) == {ended}


@given(events)
def test_no_state_is_entered_again_once_it_was_left(happened: list[Event]) -> None:
    states = after(RetrainState.PROPOSED, happened)
    moves = [state for place, state in enumerate(states) if place == 0 or states[place - 1] is not state]
    assert len(moves) == len(set(moves))
    assert [ORDER.index(state) for state in moves] == sorted(ORDER.index(state) for state in moves)


@pytest.mark.parametrize("state", [state for state in RetrainState if state not in ENDED])
def test_every_state_has_a_way_out_that_needs_no_trainer_and_no_person(state: RetrainState) -> None:
    by_itself = (Event.EXPIRE, Event.FAIL, Event.ROLL_BACK)
    assert any(allows(state, event) and step(state, event) in ENDED for event in by_itself)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (RetrainState.PROPOSED, Event.SUBMIT),
        (RetrainState.PROPOSED, Event.CHECK_GPUS),
        (RetrainState.GPU_CHECK, Event.COMPLETE),
        (RetrainState.RUNNING, Event.BEGIN_CANARY),
        (RetrainState.RUNNING, Event.PROMOTE),
        (RetrainState.EVALUATING, Event.COMPLETE),
        (RetrainState.CANARY, Event.CANCEL),
        (RetrainState.PROMOTED, Event.ROLL_BACK),
        (RetrainState.CANCELLED, Event.APPROVE),
        (RetrainState.FAILED, Event.COMPLETE),
    ],
)
def test_what_would_skip_a_safeguard_is_refused(state: RetrainState, event: Event) -> None:
    with pytest.raises(IllegalTransition, match=str(state)):
        step(state, event)


def test_the_table_in_the_docs_is_this_one() -> None:
    assert transition_table() in (ROOT / "docs/retraining.md").read_text()
